//! A new chain for a group: what puts an end to all its keys that are out.

use keycell_protocol::{Generation, GroupChain, Name, UnixMillis};
use rand_core::CryptoRng;

use super::{Chain, GroupRecord, LIFETIME, secret_name};
use crate::keyring::Keyring;
use crate::store::Write;

/// Begins a new chain, or the first one of a new group, by the record's own lifetime. What the one before has given out
/// for later seals nothing any more; what is on its way under it still opens, until its last ticket has ended. The record
/// is not written: who calls puts it into the same act, before these writes, with its next revision.
#[must_use]
pub fn begin_chain(
    record: GroupRecord,
    now: UnixMillis,
    keyring: &Keyring,
    random: &mut impl CryptoRng,
) -> (GroupRecord, Vec<Write>) {
    begin_chain_after(record, None, now, keyring, random)
}

/// The same where the group had another chain last, which is lost with the database that it was in.
pub(crate) fn begin_chain_after(
    mut record: GroupRecord,
    lost: Option<&Chain>,
    now: UnixMillis,
    keyring: &Keyring,
    random: &mut impl CryptoRng,
) -> (GroupRecord, Vec<Write>) {
    let at = now.seconds();
    let mut next = Chain {
        version: 1,
        first: Generation(0),
        begins_at: at,
        lifetime_seconds: record.lifetime_seconds,
        ended_at: None,
    };
    for before in record.chain().into_iter().chain(lost) {
        let Chain { version, first, .. } = before.successor(at, record.lifetime_seconds);
        next.version = next.version.max(version);
        next.first = next.first.max(first);
    }
    // Ahead of what a group of that name had in an earlier life, or in a database that was set back since: no key lives
    // shorter than this.
    let ever = at.0 / u64::from(*LIFETIME.start());
    next.first = next.first.max(Generation(u32::try_from(ever).unwrap_or(u32::MAX)));
    if let Some(last) = record.chains.last_mut() {
        last.ended_at = Some(at);
    }
    let name = secret_name(&record.name, next.version);
    let secret = GroupChain::generate(next.first, random);
    let sealed = keyring.seal_secret(&name, next.version, &*super::secret::bytes(&secret), random);
    let mut writes = vec![Write::AddSecret(sealed)];
    let excess = record.chains.len().saturating_sub(MAX_ENDED);
    let (gone, kept): (Vec<_>, Vec<_>) =
        record.chains.iter().enumerate().partition(|(number, chain)| *number < excess || chain.is_over(at));
    writes.extend(gone.iter().map(|(_, chain)| forget(&record.name, chain)));
    record.chains = kept.into_iter().map(|(_, chain)| *chain).chain([next]).collect();
    (record, writes)
}

/// The same where nobody is to open any more what is on its way either: all chains before are forgotten.
pub(crate) fn begin_chain_alone(
    record: GroupRecord,
    now: UnixMillis,
    keyring: &Keyring,
    random: &mut impl CryptoRng,
) -> (GroupRecord, Vec<Write>) {
    let (mut record, mut writes) = begin_chain(record, now, keyring, random);
    let new = record.chains.pop();
    writes.extend(forget_chains(&record));
    record.chains = new.into_iter().collect();
    (record, writes)
}

/// What forgets the chains of a group that is deleted.
#[must_use]
pub fn forget_chains(record: &GroupRecord) -> Vec<Write> {
    record.chains.iter().map(|chain| forget(&record.name, chain)).collect()
}

fn forget(group: &Name, chain: &Chain) -> Write {
    Write::DeleteSecret { name: secret_name(group, chain.version), version: chain.version }
}

/// So many chains that have ended are kept: who begins them faster loses what is on its way.
const MAX_ENDED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::{is_secret_of, secret};
    use crate::keyring::MasterKey;
    use keycell_protocol::UnixSeconds;

    fn record() -> GroupRecord {
        GroupRecord {
            name: "g@z".parse().unwrap(),
            members: vec!["g.*@z".parse().unwrap()],
            excluded: std::collections::BTreeSet::default(),
            lifetime_seconds: 300,
            author_proof: false,
            note: String::new(),
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
            revision: 1,
            chains: Vec::new(),
        }
    }

    fn added(writes: &[Write]) -> u32 {
        let [Write::AddSecret(secret), ..] = writes else { panic!("{writes:?}") };
        assert_eq!(secret.name, format!("group g@z {}", secret.version));
        assert!(
            is_secret_of(&"g@z".parse().unwrap(), secret) && !is_secret_of(&"h@z".parse().unwrap(), secret)
        );
        secret.version
    }

    fn deleted(writes: &[Write]) -> Vec<u32> {
        let version = |write: &Write| match write {
            Write::DeleteSecret { version, .. } => Some(*version),
            _ => None,
        };
        writes.iter().filter_map(version).collect()
    }

    #[test]
    fn each_chain_has_a_secret_of_its_own_and_later_numbers_than_the_one_before() {
        let random = &mut crate::random::system();
        let (keyring, _) = Keyring::create(MasterKey::generate(1, random), random);
        let start = UnixSeconds(6_000);
        let (first, writes) = begin_chain(record(), start.millis(), &keyring, random);
        assert_eq!((added(&writes), deleted(&writes).len()), (1, 0));
        assert_eq!(first.chain().unwrap().first, Generation(100));
        let Some(Write::AddSecret(sealed)) = writes.first() else { panic!() };
        let opened = secret::open(&keyring, sealed).unwrap();
        assert_eq!(opened.generation(), Generation(100));

        let mut before = GroupRecord { lifetime_seconds: 60, ..first.clone() };
        let at = start.plus(900);
        let (next, writes) = begin_chain(before.clone(), at.millis(), &keyring, random);
        assert_eq!(added(&writes), 2);
        let chain = next.chain().unwrap();
        // By the clock alone it would be 115.
        assert_eq!((chain.lifetime_seconds, chain.first), (60, Generation(115)));
        assert_eq!(next.chains.first().unwrap().ended_at, Some(at));
        assert!(first.chains.first().unwrap().given(at).iter().all(|given| *given < chain.first));

        // Nothing of the first one is on its way any more.
        before = next;
        let (next, writes) = begin_chain(before, at.plus(600).millis(), &keyring, random);
        assert_eq!((added(&writes), deleted(&writes)), (3, vec![1]));
        assert_eq!(next.chains.iter().map(|chain| chain.version).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_chain_that_begins_alone_leaves_none_before_it() {
        let random = &mut crate::random::system();
        let (keyring, _) = Keyring::create(MasterKey::generate(1, random), random);
        let (first, _) = begin_chain(record(), UnixMillis(6_000_000), &keyring, random);
        let (second, _) = begin_chain(first, UnixMillis(6_001_000), &keyring, random);
        assert_eq!(second.chains.len(), 2);
        let before = *second.chain().unwrap();
        let (alone, writes) = begin_chain_alone(second, UnixMillis(6_002_000), &keyring, random);
        assert_eq!((added(&writes), deleted(&writes)), (3, vec![1, 2]));
        let [chain] = alone.chains[..] else { panic!("{:?}", alone.chains) };
        assert!(chain.version == 3 && chain.first > before.first);
    }

    #[test]
    fn who_rotates_all_the_time_fills_nothing() {
        let random = &mut crate::random::system();
        let (keyring, _) = Keyring::create(MasterKey::generate(1, random), random);
        let mut record = record();
        let (mut alive, mut numbers) = (std::collections::BTreeSet::new(), Vec::new());
        for n in 0..40 {
            let (next, writes) = begin_chain(record, UnixMillis(6_000_000 + n), &keyring, random);
            assert!(alive.insert(added(&writes)));
            deleted(&writes).iter().for_each(|version| assert!(alive.remove(version)));
            numbers.push(next.chain().unwrap().first);
            record = next;
        }
        assert_eq!(record.chains.len(), MAX_ENDED + 1);
        assert_eq!(alive, record.chains.iter().map(|chain| chain.version).collect());
        assert!(numbers.is_sorted_by(|a, b| a.0 + 1 < b.0), "not even the next one is used again");
        assert_eq!(deleted(&forget_chains(&record)).len(), MAX_ENDED + 1);
    }
}

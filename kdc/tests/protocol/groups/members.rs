//! What the tests of groups share: groups as an administrator makes them, and members that ask by function call.

use std::collections::BTreeMap;

use keycell_client::system_rng;
use keycell_kdc::administration::Caller;
use keycell_kdc::audit::Action;
use keycell_kdc::groups::{Chain, GroupRecord, begin_chain};
use keycell_kdc::kdc::Kdc;
use keycell_kdc::store::{Act, Kind, Write};
use keycell_protocol::{
    Grant, GroupKeysRequest, GroupOutcome, HeldGroup, HeldKey, Instance, LongTermKey, Nonce, Outcome,
    ProblemType, SealedGroupKeys, SealedReply, SignedGroupRequest, SignedRequest, TicketRequest, UnixSeconds,
};

use crate::zone::Zone;

/// For how long a group's key seals.
pub(super) const L: u64 = 300;
pub(super) const HOUR: u64 = 3_600_000;

impl Zone {
    /// Makes a group of the parties `<local>.*`.
    pub(crate) async fn group(&self, local: &str) {
        let name = self.name(local);
        let record = GroupRecord {
            members: vec![format!("{local}.*@{}", self.kdc.zone()).parse().unwrap()],
            excluded: std::collections::BTreeSet::default(),
            lifetime_seconds: u32::try_from(L).unwrap(),
            author_proof: local.ends_with("proved"),
            note: String::new(),
            created_at: self.now(),
            updated_at: self.now(),
            revision: self.kdc.directory().memberships().change().0 + 1,
            chains: Vec::new(),
            name,
        };
        self.write_group(record, None, true).await;
    }

    /// Changes a group, and begins a new chain if that is wanted.
    pub(super) async fn change_group(&self, local: &str, ends_keys: bool, change: impl Fn(&mut GroupRecord)) {
        let mut record = self.kdc.directory().groups().get(local).cloned().unwrap();
        let expected = record.revision;
        change(&mut record);
        record.revision += 1;
        self.write_group(record, Some(expected), ends_keys).await;
    }

    pub(super) async fn exclude(&self, local: &str, party: &str) {
        let party = self.name(party);
        let exclude = |group: &mut GroupRecord| assert!(group.excluded.insert(party.clone()));
        self.change_group(local, true, exclude).await;
    }

    async fn write_group(&self, record: GroupRecord, expected: Option<u64>, ends_keys: bool) {
        let (keyring, random) = (self.kdc.ledger().keyring(), &mut system_rng());
        let (record, writes) =
            if ends_keys { begin_chain(record, self.now(), keyring, random) } else { (record, Vec::new()) };
        let body = serde_json::to_string(&record).unwrap();
        let id = record.name.local().to_owned();
        let document = keyring.seal_document(Kind::Group, id, record.revision, body, random);
        let event = Caller::console().event(self.now(), Action::GroupRotate, record.name.as_str());
        let mut act = Act::new(Write::PutDocument { document, expected }, event);
        act.writes.extend(writes);
        self.kdc.ledger().commit(&act).await.unwrap();
    }

    /// The chain of a group that is in force.
    pub(super) fn chain(&self, local: &str) -> Chain {
        *self.kdc.directory().groups().get(local).unwrap().chain().unwrap()
    }

    /// The keys of all groups of a party.
    pub(super) fn own_groups(&self, member: &str, key: &LongTermKey) -> BTreeMap<String, HeldGroup> {
        let outcomes = self.ask_for_groups(&self.kdc, member, key, &[]).unwrap();
        let granted = outcomes.into_iter().map(|outcome| match outcome {
            GroupOutcome::Granted(held) => (held.group.local().to_owned(), held),
            GroupOutcome::Refused { group, problem } => panic!("{group}: {problem:?}"),
        });
        granted.collect()
    }

    /// The keys of one group.
    pub(super) fn keys_of(
        &self,
        member: &str,
        key: &LongTermKey,
        group: &str,
    ) -> Result<HeldGroup, ProblemType> {
        self.keys_at(&self.kdc, member, key, group)
    }

    /// The keys of one group, from one of several KDCs.
    pub(super) fn keys_at(
        &self,
        kdc: &Kdc,
        member: &str,
        key: &LongTermKey,
        group: &str,
    ) -> Result<HeldGroup, ProblemType> {
        let mut outcomes = self.ask_for_groups(kdc, member, key, &[group])?;
        assert_eq!(outcomes.len(), 1);
        match outcomes.pop().unwrap() {
            GroupOutcome::Granted(held) => Ok(held),
            GroupOutcome::Refused { problem, .. } => Err(problem.unwrap()),
        }
    }

    pub(crate) fn ask_for_groups(
        &self,
        kdc: &Kdc,
        member: &str,
        key: &LongTermKey,
        groups: &[&str],
    ) -> Result<Vec<GroupOutcome>, ProblemType> {
        let request = GroupKeysRequest {
            source: self.name(member),
            groups: groups.iter().map(|local| self.name(local)).collect(),
            timestamp: self.now(),
            nonce: Nonce::generate(&mut system_rng()),
            instance: Instance([1; 16]),
        };
        let keys = self.turned_to_now(key).keys_for();
        let json = SignedGroupRequest::sign(&request, &keys).unwrap().to_json();
        let given = kdc.group_keys(&SignedGroupRequest::parse(&json).unwrap(), None);
        let body = given.map_err(|denied| denied.problem())?.body;
        let reply = SealedGroupKeys::parse(&body).unwrap().open(&keys, &request).unwrap();
        assert_eq!(reply.server_time, self.now());
        assert_eq!(reply.signers.len(), 2, "the zone's signing keys comes with every answer");
        Ok(reply.groups)
    }

    /// A ticket from a party to a group, or to another party.
    pub(super) fn ticket_to(
        &self,
        from: &str,
        key: &LongTermKey,
        to: &str,
    ) -> Result<Box<Grant>, ProblemType> {
        self.ticket_at(&self.kdc, from, key, to)
    }

    pub(super) fn ticket_at(
        &self,
        kdc: &Kdc,
        from: &str,
        key: &LongTermKey,
        to: &str,
    ) -> Result<Box<Grant>, ProblemType> {
        let request = TicketRequest {
            source: self.name(from),
            destinations: vec![self.name(to)],
            timestamp: self.now(),
            nonce: Nonce::generate(&mut system_rng()),
            instance: Instance([1; 16]),
        };
        let keys = self.turned_to_now(key).subkeys();
        let json = SignedRequest::sign(&request, &keys).unwrap().to_json();
        let issued = kdc.tickets(&SignedRequest::parse(&json).unwrap(), None);
        let body = issued.map_err(|denied| denied.problem())?.body;
        let mut reply = SealedReply::parse(&body).unwrap().open(&keys.reply, &request).unwrap();
        match reply.outcomes.pop().unwrap() {
            Outcome::Granted(grant) => Ok(grant),
            Outcome::Refused { problem, .. } => Err(problem.unwrap()),
        }
    }

    fn turned_to_now(&self, key: &LongTermKey) -> LongTermKey {
        let now = self.kdc.zone_record().ratchet_period.epoch(self.now().seconds());
        key.clone().advance(now.max(key.epoch())).unwrap()
    }
}

/// Whether any of these keys opens the ticket, whatever generation it names.
pub(super) fn opens(keys: &[HeldKey], grant: &Grant) -> bool {
    keys.iter().any(|held| grant.ticket.open(&held.key.ticket_key()).is_ok())
}

/// Whether a member opens the ticket as it should: with the key of the generation that it names, while that is good.
pub(super) fn opens_now(held: &HeldGroup, grant: &Grant, now: UnixSeconds) -> bool {
    let key = held.keys.iter().find(|held| held.key.generation() == grant.ticket.generation());
    key.is_some_and(|held| {
        grant.ticket.open(&held.key.ticket_key()).is_ok() && now < held.ends && grant.expiration <= held.ends
    })
}

pub(super) fn generations(held: &HeldGroup) -> Vec<u32> {
    held.keys.iter().map(|held| held.key.generation().0).collect()
}

/// What two members hold is the same.
pub(super) fn same(one: &HeldGroup, other: &HeldGroup) -> bool {
    let times = |held: &HeldGroup| held.keys.iter().map(|held| (held.begins, held.ends)).collect::<Vec<_>>();
    let seal = |held: &HeldKey| {
        // Equal keys open what the other one seals.
        let random = &mut system_rng();
        let rkey = keycell_protocol::Rkey::generate(random);
        let generation = held.key.generation();
        keycell_protocol::Ticket::seal_for_group(&rkey, generation, &held.key.ticket_key(), random)
    };
    generations(one) == generations(other)
        && times(one) == times(other)
        && one.keys.iter().zip(&other.keys).all(|(a, b)| seal(a).open(&b.key.ticket_key()).is_ok())
}

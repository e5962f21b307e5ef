//! The keys of a party's groups, and what they open.

use core::fmt;
use std::collections::HashMap;

use keycell_protocol::{
    Cause, Extras, Generation, GroupKey, HeldGroup, HeldKey, Name, Rkey, Ticket, UnixSeconds,
};

/// The groups whose messages a party opens, each with what the KDC gave last.
#[derive(Default)]
pub(crate) struct HeldGroups(HashMap<Name, Held>);

#[derive(Default)]
struct Held {
    author_proof: bool,
    /// By generation.
    keys: Vec<HeldKey>,
    /// The newest that the last answer gave: a message under a later one comes from after a change that is not known here.
    newest: Option<Generation>,
}

impl HeldGroups {
    /// Messages to the group are meant for this party from now on; without keys they wait for some.
    pub(crate) fn join(&mut self, group: Name) {
        self.0.entry(group).or_default();
    }

    /// These are the group's keys, and no others.
    pub(crate) fn put(&mut self, group: HeldGroup) {
        let HeldGroup { group, author_proof, refresh_at: _, spread: _, keys } = group;
        let newest = keys.iter().map(|held| held.key.generation()).max();
        self.0.insert(group, Held { author_proof, keys, newest });
    }

    pub(crate) fn leave(&mut self, group: &Name) {
        self.0.remove(group);
    }

    /// The group of that name, if it is one of them.
    pub(crate) fn find(&self, name: &[u8]) -> Option<&Name> {
        if self.0.is_empty() {
            return None;
        }
        let name = core::str::from_utf8(name).ok()?;
        self.0.get_key_value(name).map(|(group, _)| group)
    }

    /// A message to a group opens only with a proof of its author, if the group requires it.
    pub(crate) fn author(&self, group: Option<&Name>, extras: Extras) -> Result<(), Cause> {
        let required = group.and_then(|group| self.0.get(group)).is_some_and(|held| held.author_proof);
        if required && !extras.author_proof { Err(Cause::AuthorMissing) } else { Ok(()) }
    }

    /// Whether a message under that generation would be looked at: the key is here, or will never be.
    pub(crate) fn knows(&self, group: &Name, generation: Generation) -> bool {
        self.0.get(group).is_none_or(|held| held.newest >= Some(generation))
    }

    /// Opens a ticket for the group that ends at `expiration`.
    pub(crate) fn open(&self, group: &Name, ticket: &Ticket, expiration: UnixSeconds) -> Result<Rkey, Cause> {
        let key = self.key(group, ticket, expiration)?;
        Ok(ticket.open(&key.key.ticket_key())?)
    }

    /// The key that a ticket for the group names, if one that ends at `expiration` can be under it.
    pub(crate) fn key(
        &self,
        group: &Name,
        ticket: &Ticket,
        expiration: UnixSeconds,
    ) -> Result<&HeldKey, Cause> {
        let held = self.0.get(group).ok_or(Cause::NotForMe)?;
        let (generation, epoch) = (ticket.generation(), ticket.epoch());
        if epoch != GroupKey::EPOCH {
            return Err(Cause::NoKey { generation, epoch });
        }
        if held.newest < Some(generation) {
            return Err(Cause::Waiting { generation });
        }
        let key = held.keys.iter().find(|key| key.key.generation() == generation);
        let key = key.ok_or(Cause::NoKey { generation, epoch })?;
        if expiration > key.ends { Err(Cause::ExpiresTooLate) } else { Ok(key) }
    }

    /// Erases the keys that nothing opens under any more.
    pub(crate) fn expire(&mut self, now: UnixSeconds) {
        self.0.values_mut().for_each(|held| held.keys.retain(|key| key.ends > now));
    }

    /// Until when messages to the group open with what is held.
    pub(crate) fn until(&self, group: &Name) -> Option<UnixSeconds> {
        self.0.get(group)?.keys.iter().map(|key| key.ends).max()
    }
}

impl fmt::Debug for HeldGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generations = |held: &Held| held.keys.iter().map(|key| key.key.generation()).collect::<Vec<_>>();
        f.debug_map().entries(self.0.iter().map(|(group, held)| (group, generations(held)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha20Rng;
    use keycell_protocol::{GroupChain, UnixMillis};
    use rand_core::SeedableRng as _;

    fn group(author_proof: bool, generations: core::ops::RangeInclusive<u32>) -> HeldGroup {
        let key = |generation| GroupKey::new(Generation(generation), [generation as u8; 32]);
        let keys = generations.map(|generation| HeldKey {
            key: key(generation),
            begins: UnixSeconds(u64::from(generation) * 100),
            ends: UnixSeconds(u64::from(generation) * 100 + 200),
        });
        HeldGroup {
            group: "g@z".parse().unwrap(),
            author_proof,
            refresh_at: UnixMillis(0),
            spread: 0,
            keys: keys.collect(),
        }
    }

    #[test]
    fn a_key_opens_its_generation_until_its_end() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let rkey = Rkey::generate(&mut rng);
        let mut ticket = |generation, secret| {
            let key = GroupKey::new(Generation(generation), [secret; 32]).ticket_key();
            Ticket::seal_for_group(&rkey, Generation(generation), &key, &mut rng)
        };
        let mut groups = HeldGroups::default();
        let (g, end) = ("g@z".parse().unwrap(), UnixSeconds(700));
        let of_five = ticket(5, 5);
        assert_eq!(groups.open(&g, &of_five, end).err(), Some(Cause::NotForMe));
        groups.join(g.clone());
        let waiting = Cause::Waiting { generation: Generation(5) };
        assert_eq!(groups.open(&g, &of_five, end).err(), Some(waiting));
        groups.put(group(true, 5..=7));
        assert_eq!(groups.author(Some(&g), Extras::NONE), Err(Cause::AuthorMissing));
        assert_eq!(groups.author(None, Extras::NONE), Ok(()));
        assert!(groups.find(b"g@z") == Some(&g) && groups.find(b"h@z").is_none());
        assert!(groups.open(&g, &of_five, end).is_ok());
        assert_eq!(groups.open(&g, &of_five, end.plus(1)).err(), Some(Cause::ExpiresTooLate));
        assert_eq!(groups.open(&g, &ticket(5, 6), end).err(), Some(Cause::TicketForged));
        let code = |cause: Result<Rkey, Cause>| cause.err().unwrap().code();
        assert_eq!(code(groups.open(&g, &ticket(4, 4), end)), "no-key");
        assert_eq!(code(groups.open(&g, &ticket(8, 8), end)), "waiting");
        // What is over is erased, and does not look new for that.
        groups.expire(UnixSeconds(900));
        assert_eq!(groups.until(&g), None);
        assert!(groups.knows(&g, Generation(7)) && !groups.knows(&g, Generation(8)));
        assert_eq!(code(groups.open(&g, &of_five, end)), "no-key");
        // A party's ticket names epochs.
        let chain = GroupChain::generate(Generation(5), &mut rng);
        assert_eq!(chain.key().generation(), Generation(5));
        assert_eq!(format!("{groups:?}"), r#"{"g@z": []}"#);
    }
}

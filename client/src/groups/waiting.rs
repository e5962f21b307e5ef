//! Messages to groups whose key is on its way.

use keycell_protocol::{Envelope, Generation, Name, Under, UnixMillis, UnixSeconds};
use rand_core::CryptoRng;

use super::HeldGroups;

/// Keeps messages until the key that they are written under is there. Bounded.
///
/// Nothing of them is proved yet. So whoever floods a member takes room from others here, but no more than this.
#[derive(Default)]
pub(crate) struct Waiting {
    /// In the order in which they came.
    messages: Vec<Message>,
    bytes: usize,
}

struct Message {
    group: Name,
    generation: Generation,
    expiration: UnixSeconds,
    /// How often the KDC gave keys of the group, and none of this generation.
    missed: u8,
    bytes: Vec<u8>,
}

impl Waiting {
    /// Keeps a message. What has to give way to it is drawn by lot, so that a flood does not push out all others: how
    /// many did is returned, and 1 if it is too long itself.
    pub(crate) fn keep(
        &mut self,
        group: Name,
        generation: Generation,
        expiration: UnixSeconds,
        bytes: &[u8],
        rng: &mut impl CryptoRng,
    ) -> u64 {
        if bytes.len() > MAX_BYTES {
            return 1;
        }
        if self.messages.iter().any(|kept| kept.bytes == bytes) {
            return 0;
        }
        let mut lost = 0;
        while self.messages.len() >= MAX_MESSAGES || self.bytes + bytes.len() > MAX_BYTES {
            let at = rng.next_u64() % self.messages.len() as u64;
            self.bytes -= self.messages.remove(at as usize).bytes.len();
            lost += 1;
        }
        self.bytes += bytes.len();
        self.messages.push(Message { group, generation, expiration, missed: 0, bytes: bytes.to_vec() });
        lost
    }

    /// Takes the messages that need not wait any longer: their key is here, or they are over, or not for this party.
    pub(crate) fn take(&mut self, now: UnixMillis, groups: &HeldGroups) -> Vec<Vec<u8>> {
        let ready = |kept: &mut Message| kept.is_ready(now, groups);
        let taken: Vec<_> = self.messages.extract_if(.., ready).map(|kept| kept.bytes).collect();
        self.bytes -= taken.iter().map(Vec::len).sum::<usize>();
        taken
    }

    /// The KDC gave keys of a group. What waits for one that was not among them waits a few times more, and then is
    /// dropped: there is no such key. How many were.
    pub(crate) fn missed(&mut self, group: &Name, newest: Generation) -> u64 {
        let before = self.messages.len();
        self.messages.retain_mut(|kept| {
            if kept.group != *group || kept.generation <= newest {
                return true;
            }
            kept.missed += 1;
            kept.missed < MAX_MISSED
        });
        self.bytes = self.messages.iter().map(|kept| kept.bytes.len()).sum();
        (before - self.messages.len()) as u64
    }

    /// The newest generation that a message waits for.
    pub(crate) fn newest(&self, group: &Name) -> Option<Generation> {
        self.messages.iter().filter(|kept| kept.group == *group).map(|kept| kept.generation).max()
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }
}

impl Message {
    fn is_ready(&self, now: UnixMillis, groups: &HeldGroups) -> bool {
        groups.knows(&self.group, self.generation) || self.expiration <= now.seconds()
    }
}

/// Under which group and generation a message that waits was written, and when it is over.
pub(crate) fn waits_for(bytes: &[u8], generation: Generation) -> Option<(Name, Generation, UnixSeconds)> {
    let envelope = Envelope::parse(bytes).ok()?;
    let Under::Ticket(_) = envelope.under else { return None };
    Some((Name::try_from(envelope.destination).ok()?, generation, envelope.expiration))
}

const MAX_MESSAGES: usize = 64;
const MAX_BYTES: usize = 1 << 20;
const MAX_MISSED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    fn keep(waiting: &mut Waiting, generation: u32, bytes: &[u8]) -> u64 {
        let (group, end) = ("g@z".parse().unwrap(), UnixSeconds(100));
        waiting.keep(group, Generation(generation), end, bytes, &mut ChaCha20Rng::seed_from_u64(1))
    }

    #[test]
    fn it_is_bounded_in_messages_and_in_bytes() {
        let mut waiting = Waiting::default();
        let lost: u64 = (0..1_000_u32).map(|n| keep(&mut waiting, 5, &n.to_be_bytes())).sum();
        assert_eq!((waiting.len(), waiting.bytes, lost), (MAX_MESSAGES, 4 * MAX_MESSAGES, 936));
        assert_eq!(keep(&mut waiting, 5, &999_u32.to_be_bytes()), 0, "one that is there already");
        assert_eq!(keep(&mut waiting, 5, &[0; MAX_BYTES + 1]), 1);
        assert_eq!(keep(&mut waiting, 5, &[0; MAX_BYTES]), 64);
        assert_eq!((waiting.len(), waiting.bytes), (1, MAX_BYTES));
        assert_eq!(keep(&mut waiting, 5, &[1]), 1);
        assert_eq!((waiting.len(), waiting.bytes), (1, 1));
    }

    #[test]
    fn what_has_no_key_waits_a_few_times_only() {
        let mut waiting = Waiting::default();
        let (group, mut groups): (Name, _) = ("g@z".parse().unwrap(), HeldGroups::default());
        groups.join(group.clone());
        assert_eq!(keep(&mut waiting, 9, b"message") + keep(&mut waiting, 8, b"another"), 0);
        assert!(waiting.take(UnixMillis(99_999), &groups).is_empty());
        for _ in 1..MAX_MISSED {
            assert_eq!(waiting.missed(&group, Generation(8)), 0);
        }
        assert_eq!(waiting.newest(&group), Some(Generation(9)));
        assert_eq!(waiting.missed(&group, Generation(8)), 1);
        assert_eq!((waiting.newest(&group), waiting.bytes), (Some(Generation(8)), 7));
        assert_eq!(waiting.take(UnixMillis(100_000), &groups), [b"another"], "it is over");
        assert_eq!(waiting.bytes, 0);
        // A group that was left has nothing to wait for.
        keep(&mut waiting, 9, b"message");
        groups.leave(&group);
        assert_eq!(waiting.take(UnixMillis(0), &groups), [b"message"]);
    }
}

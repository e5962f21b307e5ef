//! Names that a policy cannot tell apart are of one class.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::rules::RuleSet;

/// All that a policy knows of a name: the rules whose source it may be, and those whose destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Class {
    pub(super) as_source: RuleSet,
    pub(super) as_destination: RuleSet,
}

impl Class {
    /// About how many bytes it takes here, with what keeps it.
    const fn size(&self) -> usize {
        self.as_source.size() + self.as_destination.size() + 128
    }
}

/// The classes of a policy that were met so far. Reading takes no lock.
#[derive(Debug)]
pub(super) struct Classes {
    serial: u64,
    met: Box<[OnceLock<Arc<Class>>]>,
    numbers: Mutex<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    of: HashMap<Arc<Class>, usize>,
    bytes: usize,
}

impl Classes {
    /// No classes yet, for a policy of so many patterns.
    pub(super) fn new(patterns: usize) -> Self {
        // Each pattern matches or does not: more classes than this there cannot be.
        let most = 1 << patterns.min(NUMBER_BITS as usize);
        Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            met: (0..most).map(|_| OnceLock::new()).collect(),
            numbers: Mutex::default(),
        }
    }

    /// The class that the slot remembers, if it is one of this policy.
    pub(super) fn remembered(&self, slot: &ClassSlot) -> Option<&Class> {
        let slot = slot.0.load(Ordering::Relaxed);
        if slot >> NUMBER_BITS != self.serial {
            return None;
        }
        let number = usize::try_from(slot & ((1 << NUMBER_BITS) - 1)).ok()?;
        self.met.get(number)?.get().map(|class| &**class)
    }

    /// Keeps a class and notes it in the slot. Where there is no room left for another class, nothing is noted, and it
    /// is found anew each time.
    pub(super) fn remember(&self, class: Class, slot: &ClassSlot) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match numbers.of.get(&class) {
            Some(number) => *number,
            None => {
                let number = numbers.of.len();
                let bytes = numbers.bytes + class.size();
                let Some(place) = self.met.get(number).filter(|_| bytes <= MAX_BYTES) else { return };
                let class = Arc::new(class);
                let _ = place.set(class.clone());
                numbers.of.insert(class, number);
                numbers.bytes = bytes;
                number
            }
        };
        slot.0.store(self.serial << NUMBER_BITS | number as u64, Ordering::Relaxed);
    }
}

/// Where a party keeps its class: the policy's serial, and the number of the class in it. One of an earlier policy
/// does not count.
#[derive(Debug, Default)]
pub struct ClassSlot(AtomicU64);

/// How many bits of a slot are the class: 65,536 classes.
const NUMBER_BITS: u32 = 16;

/// What the classes of a policy may take.
const MAX_BYTES: usize = 64 << 20;

/// The next policy's serial. It starts at 1: an empty slot is of no policy.
static SERIAL: AtomicU64 = AtomicU64::new(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn class(rules: &[u16]) -> Class {
        let rules = rules.iter().copied();
        Class { as_source: RuleSet::new(rules, 100), as_destination: RuleSet::new([], 100) }
    }

    #[test]
    fn a_slot_is_good_for_one_policy() {
        let (one, two) = (Classes::new(5), Classes::new(5));
        let slot = ClassSlot::default();
        assert_eq!(one.remembered(&slot), None);
        one.remember(class(&[1, 70]), &slot);
        assert_eq!(one.remembered(&slot), Some(&class(&[1, 70])));
        assert_eq!(two.remembered(&slot), None);
        two.remember(class(&[2]), &slot);
        assert_eq!(two.remembered(&slot), Some(&class(&[2])));
        assert_eq!(one.remembered(&slot), None);
    }

    #[test]
    fn equal_classes_are_kept_once_and_room_is_bounded() {
        let classes = Classes::new(1);
        let slots: Vec<ClassSlot> = (0..4).map(|_| ClassSlot::default()).collect();
        for (slot, rules) in slots.iter().zip([[1], [2], [1], [3]]) {
            classes.remember(class(&rules), slot);
        }
        assert_eq!(classes.numbers.lock().unwrap().of.len(), 2);
        assert_eq!(classes.remembered(&slots[2]), Some(&class(&[1])));
        assert_eq!(classes.remembered(&slots[3]), None, "two classes were all the room");
    }
}

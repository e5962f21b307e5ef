//! Places for those who wait for one zone, of which no party gets them all.

use std::collections::HashMap;
use std::sync::Mutex;

use keycell_protocol::Name;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::line::lock;

/// The places of one line.
#[derive(Debug)]
pub(super) struct Places {
    free: Semaphore,
    /// How many each party has. Who has none is not in it.
    taken: Mutex<HashMap<Name, usize>>,
}

/// A place of a party, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    places: &'a Places,
    party: &'a Name,
    _free: SemaphorePermit<'a>,
}

impl Places {
    /// So many.
    pub(super) fn new(most: usize) -> Self {
        Self { free: Semaphore::new(most), taken: Mutex::default() }
    }

    /// One for that party, if one is left, and it has not enough of them.
    pub(super) fn take<'a>(&'a self, party: &'a Name) -> Option<Place<'a>> {
        let mut taken = lock(&self.taken);
        if taken.get(party).is_some_and(|count| *count >= MOST) {
            return None;
        }
        let free = self.free.try_acquire().ok()?;
        *taken.entry(party.clone()).or_default() += 1;
        Some(Place { places: self, party, _free: free })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = lock(&self.places.taken);
        if let Some(count) = taken.get_mut(self.party) {
            *count -= 1;
            if *count == 0 {
                taken.remove(self.party);
            }
        }
    }
}

/// Of one party. One that does nothing wrong asks for all it wants at once.
const MOST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_gets_four_of_them_and_leaves_nothing_behind() {
        let (places, a, b) = (Places::new(6), "a@z".parse().unwrap(), "b@z".parse().unwrap());
        let mut of_a: Vec<_> = (0..4).map(|_| places.take(&a).unwrap()).collect();
        assert!(places.take(&a).is_none());
        let of_b = [places.take(&b).unwrap(), places.take(&b).unwrap()];
        assert!(places.take(&b).is_none(), "no more of them");
        of_a.pop();
        assert!(places.take(&b).is_some());
        assert!(places.take(&a).is_some());
        drop((of_a, of_b));
        assert!(places.taken.lock().unwrap().is_empty());
        assert_eq!(places.free.available_permits(), 6);
    }
}

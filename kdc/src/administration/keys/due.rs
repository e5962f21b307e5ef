//! Whose key is to be replaced.

use aws_lc_rs::digest::{SHA256, digest};
use keycell_protocol::{Name, UnixMillis};

use crate::directory::Party;
use crate::store::KeyState;

/// Whether `party` is to rotate its key: an administrator asked for it, or the key is older than `after_days`. Not while
/// the one before is still retiring, when it would be refused.
#[must_use]
pub fn due(party: &Party, now: UnixMillis, after_days: Option<u32>) -> bool {
    let Some(active) = party.active() else { return false };
    let asked = || party.record().rotate_after.is_some_and(|after| active.created_at < after);
    let old = || after_days.is_some_and(|days| old(party.name(), active.created_at, now, days));
    (asked() || old()) && !retiring(party, now)
}

fn retiring(party: &Party, now: UnixMillis) -> bool {
    let lasts = |key: &crate::store::KeyRecord| {
        key.state == KeyState::Retiring && key.ends_at.is_some_and(|end| now < end)
    };
    party.record().keys.iter().any(lasts)
}

/// Whether a key of that age is too old. A fleet that was made on one day is spread over a tenth of the time, each party
/// by its name, so that every KDC says the same.
fn old(name: &Name, created_at: UnixMillis, now: UnixMillis, days: u32) -> bool {
    let most = u64::from(days) * DAY_MS;
    // Hashed only where it matters.
    now >= created_at.plus(most) && now >= created_at.plus(most).plus(delay(name, most / 10))
}

/// Which part of `most` falls to a name.
fn delay(name: &Name, most: u64) -> u64 {
    let hash = digest(&SHA256, name.as_str().as_bytes());
    let part = hash.as_ref().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    (most >> 16).saturating_mul(u64::from(part >> 16))
}

const DAY_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = DAY_MS;

    #[test]
    fn a_fleet_is_spread_over_a_tenth_of_the_time() {
        let (mut days, most) = ([0; 10], 100 * DAY);
        for n in 0..1000 {
            let name: Name = format!("nanoprobe.web{n}@z").parse().unwrap();
            let delay = delay(&name, most / 10);
            assert!(delay < 10 * DAY);
            days[usize::try_from(delay / DAY).unwrap()] += 1;
            let created = UnixMillis(5);
            assert!(!old(&name, created, UnixMillis(4 + most), 100));
            assert!(!old(&name, created, UnixMillis(4 + most + delay), 100));
            assert!(old(&name, created, UnixMillis(5 + most + delay), 100));
        }
        assert!(days.iter().all(|count| (60..=140).contains(count)), "{days:?}");
    }
}

//! When parties were last seen, and by which of their processes.

use std::collections::BTreeMap;

use keycell_protocol::{Name, UnixMillis};

use super::column;
use crate::enrollment::Sighting;
use crate::store::SeenRecord;

/// name, at, process, address, process_at
pub(in crate::store) type SeenRow = (String, i64, String, String, i64);

/// A row that is damaged is left out, for nobody's rights depend on it; so is what it says of a process.
pub(in crate::store) fn seen(rows: Vec<SeenRow>) -> Vec<SeenRecord> {
    let seen = |(name, at, process, address, process_at): SeenRow| {
        let read = name.parse().ok().zip(u64::try_from(at).ok());
        let by = sighting(&process, &address, process_at);
        if read.is_none() || by.is_none() && !process.is_empty() {
            tracing::warn!(party = name, at, "a row of party_seen is left out: it is damaged");
        }
        read.map(|(name, at)| SeenRecord { name, at: UnixMillis(at), by })
    };
    rows.into_iter().filter_map(seen).collect()
}

/// Each name once with its latest moment and its latest process, in the order of the names: two that write at once never
/// wait for each other in a circle.
pub(in crate::store) fn latest(seen: &[SeenRecord]) -> Vec<SeenRow> {
    let mut all: BTreeMap<&Name, (UnixMillis, Option<Sighting>)> = BTreeMap::new();
    for SeenRecord { name, at, by } in seen {
        let latest = all.entry(name).or_insert((UnixMillis(0), None));
        latest.0 = latest.0.max(*at);
        if by.map(|by| by.at) > latest.1.map(|by| by.at) {
            latest.1 = *by;
        }
    }
    let row = |(name, (at, by)): (&Name, (UnixMillis, Option<Sighting>))| {
        let (process, address, process_at) = by.map(columns).unwrap_or_default();
        (name.as_str().to_owned(), column(at.0), process, address, process_at)
    };
    all.into_iter().map(row).collect()
}

fn sighting(process: &str, address: &str, at: i64) -> Option<Sighting> {
    let (process, address) = (process.parse().ok()?, address.parse().ok()?);
    Some(Sighting { process, address, at: UnixMillis(u64::try_from(at).ok()?) })
}

fn columns(by: Sighting) -> (String, String, i64) {
    (by.process.to_string(), by.address.to_string(), column(by.at.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrollment::Process;
    use keycell_protocol::Instance;

    fn by(process: u8, at: u64) -> Option<Sighting> {
        let process = Process::of(Instance([process; 16]));
        Some(Sighting { process, address: [192, 0, 2, 1].into(), at: UnixMillis(at) })
    }

    fn record(name: &str, at: u64, by: Option<Sighting>) -> SeenRecord {
        SeenRecord { name: name.parse().unwrap(), at: UnixMillis(at), by }
    }

    #[test]
    fn what_is_damaged_is_left_out() {
        let row = |name: &str, at, (process, address, process_at): (&str, &str, i64)| {
            (name.to_owned(), at, process.to_owned(), address.to_owned(), process_at)
        };
        let (none, process) = (("", "", 0), ("0707070707070707", "192.0.2.1", 7));
        let rows = vec![
            row("no name", 3, none),
            row("a@z", 4, none),
            row("b@z", -1, process),
            row("c@z", 5, process),
            row("d@z", 6, ("07", "192.0.2.1", 7)),
            row("e@z", 6, ("0707070707070707", "here", 7)),
            row("f@z", 6, ("0707070707070707", "192.0.2.1", -7)),
        ];
        let whole =
            [("a@z", 4, None), ("c@z", 5, by(7, 7)), ("d@z", 6, None), ("e@z", 6, None), ("f@z", 6, None)];
        assert_eq!(seen(rows), whole.map(|(name, at, by)| record(name, at, by)));
    }

    #[test]
    fn the_latest_of_each_name_counts() {
        let all = [
            record("b@z", 3, by(1, 9)),
            record("a@z", 5, None),
            record("b@z", 4, by(2, 8)),
            record("b@z", 2, None),
        ];
        let latest = latest(&all);
        assert_eq!(
            latest,
            [
                ("a@z".to_owned(), 5, String::new(), String::new(), 0),
                ("b@z".to_owned(), 4, "0101010101010101".to_owned(), "192.0.2.1".to_owned(), 9),
            ]
        );
        assert_eq!(seen(latest), [record("a@z", 5, None), record("b@z", 4, by(1, 9))]);
    }
}

//! Rows that no Keycell wrote: each is read as it stands or named as damaged, and keeps no other from being read.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::document::{DocumentRow, documents};
use super::party::{
    KeyRow, PartyRow, author_column, enrollment_column, moment_column, seal_column, seal_master_column,
    snapshot,
};
use super::*;
use crate::mangle::json_edits;
use crate::store::dump::{Cell, Described, Holds, Table};
use crate::store::{KeyRecord, PartyRecord};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![2 => "[a-c]@z", 1 => "\\PC{0,6}"]
}

fn enrollment() -> impl Strategy<Value = String> {
    let key = "A".repeat(43);
    let whole = format!(
        "{{\"service\":\"a\",\"host\":\"b\",\"public_key\":\"{key}\",\"identity\":\"#KDC#00001\",\"generation\":1,\
         \"timestamp\":1,\"request\":\"00\",\"admission\":\"tofu\",\"address\":\"::1\",\"enrolled_at\":1,\"renewed_at\":2}}"
    );
    let spaced = whole.replace(':', ": ");
    prop_oneof![3 => Just(String::new()), 2 => Just(whole), 1 => Just(spaced), 1 => "\\PC{0,6}"]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..4_i64,
        1 => any::<i64>(),
        1 => select(vec![-1, i64::MIN, i64::MAX, u32::MAX.into(), 1 << 32]),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 32),
        prop::collection::vec(any::<u8>(), 0..80)
    ]
}

fn state() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(vec!["staged", "active", "retiring", "dead"]).prop_map(str::to_owned), 1 => text()]
}

fn party_row() -> impl Strategy<Value = PartyRow> {
    let flags = any::<(bool, bool)>();
    let numbers = (number(), number(), number(), number(), number(), number());
    let texts = (text(), enrollment());
    let bytes = (bytes(), (bytes(), number()));
    (text(), flags, numbers, texts, bytes).prop_map(|(name, (enabled, log), numbers, texts, bytes)| {
        let (note, enrollment) = texts;
        let (author, seal) = bytes;
        let (revision, epoch, created, updated, rotate, change) = numbers;
        let columns =
            (name, enabled, revision, epoch, created, updated, log, note, rotate, author, enrollment, change);
        PartyRow { columns, seal }
    })
}

fn key_row() -> impl Strategy<Value = KeyRow> {
    (text(), number(), state(), number(), number(), number(), number(), bytes())
}

/// The row of a party, with the number of its change, and with what of its seal is not read where nothing is sealed.
fn back(party: &PartyRecord, row: &PartyRow) -> PartyRow {
    let columns = (
        party.name.to_string(),
        party.enabled,
        column(party.revision),
        party.revocation_epoch.into(),
        column(party.created_at.0),
        column(party.updated_at.0),
        party.log_tickets,
        party.note.clone(),
        moment_column(party.rotate_after),
        author_column(party.author_key.as_ref()).to_vec(),
        enrollment_column(party.enrollment.as_deref()),
        row.columns.11,
    );
    let seal = match party.enrollment {
        Some(_) => (seal_column(party).to_vec(), seal_master_column(party)),
        None => row.seal.clone(),
    };
    PartyRow { columns, seal }
}

fn key_back(party: &PartyRecord, key: &KeyRecord) -> KeyRow {
    (
        party.name.to_string(),
        key.generation.0.into(),
        key.state.as_str().to_owned(),
        key.epoch.0.into(),
        column(key.created_at.0),
        moment_column(key.ends_at),
        key.master_version.into(),
        key.wrapped.clone(),
    )
}

proptest! {
    #[test]
    fn a_party_is_read_as_it_stands_or_is_damaged(
        last in number(),
        mut parties in prop::collection::vec(party_row(), 0..6),
        mut keys in prop::collection::vec(key_row(), 0..10),
    ) {
        // As the tables' own keys have it.
        parties.sort_by(|one, other| one.columns.0.cmp(&other.columns.0));
        parties.dedup_by(|one, other| one.columns.0 == other.columns.0);
        keys.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
        keys.dedup_by(|one, other| (&one.0, one.1) == (&other.0, other.1));

        let read = snapshot(last, parties.iter().cloned().map(Ok).collect(), keys.iter().cloned().map(Ok).collect());
        let Ok(read) = read else {
            prop_assert!(last < 0);
            return Ok(());
        };
        for party in &read.parties {
            let row = parties.iter().find(|row| row.columns.0 == party.name.as_str()).unwrap();
            prop_assert_eq!(&back(party, row), row);
            for key in &party.keys {
                prop_assert!(keys.contains(&key_back(party, key)));
            }
        }
        let is_read = |name: &str| read.parties.iter().any(|party| party.name.as_str() == name);
        let unreadable = |name: &str| parties.iter().any(|row| row.columns.0 == name) && !is_read(name);
        let keys_read: usize = read.parties.iter().map(|party| party.keys.len()).sum();
        // Of a party that cannot be read its row is named, and not each key.
        let counted = keys.iter().filter(|row| !unreadable(&row.0)).count();
        let lost = (parties.len() - read.parties.len()) + (counted - keys_read);
        prop_assert_eq!(read.damaged.len(), lost);
    }

    #[test]
    fn a_document_is_read_as_it_stands_or_is_damaged(
        rows in prop::collection::vec(
            (
                prop_oneof![select(vec!["rule", "setting", "token", "group"]).prop_map(str::to_owned), text()],
                text(), number(), text(), number(), bytes(),
            ),
            0..6,
        ),
    ) {
        let read = documents(None, rows.iter().cloned().map(Ok).collect()).unwrap();
        prop_assert_eq!(read.documents.len() + read.damaged.len(), rows.len());
        for document in read.documents {
            let back: DocumentRow = (
                document.kind.as_str().to_owned(),
                document.id,
                column(document.revision),
                document.body,
                document.master_version.into(),
                document.sealed,
            );
            prop_assert!(rows.contains(&back));
        }
    }

    /// What a backup has in a row goes into the columns as it stands, or not at all.
    #[test]
    fn a_row_of_a_backup_fits_its_columns_or_is_refused(edits in json_edits()) {
        let columns = ["number", "flag", "text", "bytes"].map(str::to_owned).to_vec();
        let table = Table { name: "t".to_owned(), columns };
        let described = Described { table, holds: vec![Holds::Number, Holds::Flag, Holds::Text, Holds::Bytes] };
        let row = edits.of(&serde_json::json!([7, 1, "text", "AAEC"]));
        let Value::Array(row) = row else { return Ok(()) };
        let Ok(cells) = described.values(row.clone()) else { return Ok(()) };
        let back = |cell: &Cell| match cell {
            Cell::Number(number) => Value::from(*number),
            Cell::Flag(flag) => Value::from(u8::from(*flag)),
            Cell::Text(text) => Value::from(text.as_str()),
            Cell::Bytes(bytes) => crate::store::dump::bytes(bytes),
        };
        prop_assert_eq!(cells.iter().map(back).collect::<Vec<_>>(), row);
    }
}

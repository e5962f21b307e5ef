//! Backups that somebody who could decrypt them has changed: none of it is put back.

use keycell_protocol::{RatchetPeriod, UnixMillis};
use proptest::prelude::*;
use serde_json::json;
use zeroize::Zeroizing;

use super::{BackupError, CellFile, Header, Reader, Writer};
use crate::mangle::edits;
use crate::store::ZoneRecord;
use crate::store::dump::{Item, Moment, Sink as _, Source as _, Table};

const SECRET: &str = "the text of a file of the cell";

fn sample() -> Vec<u8> {
    let files = vec![CellFile { file: "keycell.toml".to_owned(), text: Zeroizing::new(SECRET.to_owned()) }];
    let mut writer = Writer::new(Vec::new(), 5, &[1; 32], files);
    let zone = ZoneRecord {
        zone: "z".parse().unwrap(),
        ratchet_period: RatchetPeriod::DEFAULT,
        created_at: UnixMillis(1),
    };
    writer.begin(&Moment { schema: 4, zone, head: None }).unwrap();
    for name in ["party", "audit"] {
        let columns = ["name", "at"].map(str::to_owned).to_vec();
        writer.table(&Table { name: name.to_owned(), columns }).unwrap();
        for at in 0..3 {
            writer.row(vec![json!("a@z"), json!(at)]).unwrap();
        }
    }
    writer.finish().unwrap().out
}

/// All that a backup says, as text.
type Said = (Header, Option<String>, Vec<String>);

fn read(bytes: &[u8]) -> Result<Option<Said>, String> {
    let said = |error: &dyn std::error::Error| format!("{error} {error:?}");
    let Some(mut reader) = Reader::new(bytes).map_err(|error: BackupError| said(&error))? else {
        return Ok(None);
    };
    let (header, file) = (reader.header().clone(), reader.cell_file("keycell.toml").map(str::to_owned));
    let mut items = Vec::new();
    while let Some(item) = reader.next().map_err(|error| said(&*error))? {
        items.push(match item {
            Item::Table(table) => format!("{table:?}"),
            Item::Row(row) => format!("{row:?}"),
        });
    }
    Ok(Some((header, file, items)))
}

proptest! {
    #[test]
    fn a_changed_backup_is_none_or_says_the_same(edits in edits()) {
        let whole = sample();
        let changed = edits.bytes(&whole);
        match read(&changed) {
            Ok(Some(found)) => prop_assert_eq!(Some(found), read(&whole).unwrap()),
            Ok(None) => prop_assert_ne!(changed, whole),
            Err(said) => {
                prop_assert_ne!(changed, whole);
                prop_assert!(!said.contains(&SECRET[..12]), "{}", said);
            }
        }
    }
}

//! Records of which every field has something in it.

use keycell_kdc::store::{KeyRecord, KeyState, PartyRecord, SecretRecord, ZoneRecord};
use keycell_protocol::{AuthorPublicKey, Epoch, Generation, Name, RatchetPeriod, UnixMillis};

pub(super) fn zone() -> ZoneRecord {
    ZoneRecord {
        zone: "z".parse().unwrap(),
        ratchet_period: RatchetPeriod::from_seconds(3600).unwrap(),
        created_at: UnixMillis(1_700_000_000_123),
    }
}

pub(super) fn secret(name: &str) -> SecretRecord {
    SecretRecord { name: name.to_owned(), version: 3, master_version: 2, wrapped: name.as_bytes().to_vec() }
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn party(text: &str, generations: &[u32]) -> PartyRecord {
    PartyRecord {
        updated_at: UnixMillis(3),
        rotate_after: Some(UnixMillis(6)),
        author_key: Some(AuthorPublicKey::new([7; 32])),
        keys: keys(generations),
        ..PartyRecord::new(name(text), UnixMillis(2))
    }
}

pub(super) fn keys(generations: &[u32]) -> Vec<KeyRecord> {
    let key = |generation: &u32| KeyRecord {
        generation: Generation(*generation),
        state: KeyState::Active,
        epoch: Epoch(u32::MAX),
        created_at: UnixMillis(4),
        ends_at: Some(UnixMillis(5)),
        master_version: 1,
        wrapped: vec![0, 255, 7],
    };
    generations.iter().map(key).collect()
}

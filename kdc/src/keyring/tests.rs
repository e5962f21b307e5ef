//! What the keyring must refuse (docs/protocol.md §14, the database) and say.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use keycell_protocol::{Epoch, Generation, UnixMillis};

use super::*;

mod aboard;
mod mangled;
mod versions;

#[test]
fn keys_and_secrets_come_back() {
    let (keyring, check) = keyring();
    let party = party(&keyring);
    for (record, byte) in party.keys.iter().zip([3, 4]) {
        let key = keyring.open_key(&party, record).unwrap();
        assert_eq!((key.generation(), key.epoch()), (record.generation, record.epoch));
        assert_eq!(key.expose_secret(), &[byte; 32]);
        assert_eq!(record.wrapped.len(), 5 + 24 + 32 + 16);
    }
    let secret = keyring.seal_secret("token key", 2, b"secret", &mut rng());
    assert_eq!(*keyring.open_secret(&secret).unwrap(), b"secret");
    let again = keyring.seal_secret("token key", 2, b"secret", &mut rng());
    assert_ne!(secret.wrapped, again.wrapped, "a nonce is used once");
    assert!(Keyring::open(same_key(), &[check], None).is_ok());
}

#[test]
fn a_wrong_master_key_is_not_a_damaged_row() {
    let (_, check) = keyring();
    let open =
        |keys: MasterKeys, check: &SecretRecord| Keyring::open(keys, std::slice::from_ref(check), None);
    let other = fresh(1);
    assert!(matches!(open(other, &check), Err(KeyringError::WrongMasterKey { version: 1 })));
    let error = open(fresh(2), &check).unwrap_err();
    assert!(matches!(error, KeyringError::Lacking { version: 1, .. }), "{error}");

    let mut cut = check.clone();
    cut.wrapped.pop();
    assert!(matches!(open(same_key(), &cut), Err(KeyringError::Damaged { .. })));
    let mut relabelled = check;
    relabelled.master_version = 2;
    assert!(matches!(open(same_key(), &relabelled), Err(KeyringError::Damaged { .. })));
}

#[test]
fn another_secret_is_no_key_check() {
    let (keyring, _) = keyring();
    let mut other = keyring.seal_secret("token key", 1, CHECKED, &mut rng());
    other.name = Keyring::CHECK.to_owned();
    assert!(Keyring::open(same_key(), &[other], None).is_err());
}

#[test]
fn every_flipped_byte_and_every_cut_is_found() {
    let (keyring, _) = keyring();
    let mut party = party(&keyring);
    let whole = party.keys[0].clone();
    for at in 0..whole.wrapped.len() {
        party.keys[0].wrapped[at] ^= 1;
        assert_damaged(keyring.open_key(&party, &party.keys[0]), "party_key a@z 3");
        party.keys[0] = whole.clone();
        party.keys[0].wrapped.truncate(at);
        assert_damaged(keyring.open_key(&party, &party.keys[0]), "party_key a@z 3");
        party.keys[0] = whole.clone();
    }
    party.keys[0].wrapped.push(0);
    assert_damaged(keyring.open_key(&party, &party.keys[0]), "party_key a@z 3");
}

#[test]
fn a_row_opens_nowhere_else() {
    let (keyring, _) = keyring();
    let party = party(&keyring);
    type Change = fn(&mut PartyRecord);
    let changes: [(&str, Change); 8] = [
        ("party", |p| p.name = "b@z".parse().unwrap()),
        ("enabled", |p| p.enabled = false),
        ("revocation epoch", |p| p.revocation_epoch += 1),
        ("author key", |p| p.author_key = Some(AuthorPublicKey::new([9; 32]))),
        ("generation", |p| p.keys[0].generation = Generation(4)),
        ("state", |p| p.keys[0].state = KeyState::Retiring),
        ("epoch", |p| p.keys[0].epoch = Epoch(8)),
        ("end", |p| p.keys[0].ends_at = Some(UnixMillis(1))),
    ];
    for (what, change) in changes {
        let mut changed = party.clone();
        change(&mut changed);
        let opened = keyring.open_key(&changed, &changed.keys[0]);
        assert!(matches!(opened, Err(KeyringError::Damaged { .. })), "{what}");
    }
    let mut swapped = party.clone();
    swapped.keys[0].wrapped = party.keys[1].wrapped.clone();
    assert_damaged(keyring.open_key(&swapped, &swapped.keys[0]), "party_key a@z 3");

    let secret = keyring.seal_secret("one", 1, b"secret", &mut rng());
    for (name, version) in [("two", 1), ("one", 2)] {
        let moved = SecretRecord { name: name.to_owned(), version, ..secret.clone() };
        assert_damaged(keyring.open_secret(&moved), &format!("secret {name}"));
    }
}

#[test]
fn disabling_binds_the_keys_anew() {
    let (keyring, _) = keyring();
    let mut party = party(&keyring);
    let before = party.clone();
    keyring.set_enabled(&mut party, false, &mut rng()).unwrap();
    assert_eq!((party.enabled, party.revocation_epoch), (false, 1));
    assert_eq!(keyring.open_key(&party, &party.keys[0]).unwrap().expose_secret(), &[3; 32]);

    // Putting the old rows back, or the flag alone, brings nothing back.
    let flag = PartyRecord { enabled: true, ..party.clone() };
    assert!(keyring.open_key(&flag, &flag.keys[0]).is_err());
    let keys = PartyRecord { keys: before.keys.clone(), ..party.clone() };
    assert!(keyring.open_key(&keys, &keys.keys[0]).is_err());

    keyring.set_enabled(&mut party, true, &mut rng()).unwrap();
    assert_eq!((party.enabled, party.revocation_epoch), (true, 1));
    let keys = PartyRecord { keys: before.keys, ..party.clone() };
    assert!(keyring.open_key(&keys, &keys.keys[0]).is_err(), "from before it was disabled");
    let same = party.clone();
    keyring.set_enabled(&mut party, true, &mut rng()).unwrap();
    assert_eq!(party, same);
}

#[test]
fn keys_are_bound_to_the_author_key() {
    let (keyring, _) = keyring();
    let mut party = party(&keyring);
    let before = party.clone();
    let standing = |author_key| Standing { author_key, ..Standing::of(&before) };
    let (one, other) = (Some(AuthorPublicKey::new([5; 32])), Some(AuthorPublicKey::new([6; 32])));
    keyring.rewrap(&mut party, standing(one), &mut rng()).unwrap();
    assert_eq!(party.author_key, one);
    assert_eq!(keyring.open_key(&party, &party.keys[0]).unwrap().expose_secret(), &[3; 32]);
    // One that somebody wrote there, and the one that was removed, are none.
    for author_key in [other, None] {
        let swapped = PartyRecord { author_key, ..party.clone() };
        assert_damaged(keyring.open_key(&swapped, &swapped.keys[0]), "party_key a@z 3");
    }
    let registered = party.clone();
    keyring.rewrap(&mut party, standing(None), &mut rng()).unwrap();
    let put_back = PartyRecord { author_key: one, ..party.clone() };
    assert_damaged(keyring.open_key(&put_back, &put_back.keys[0]), "party_key a@z 3");

    // An end and an author key are never taken for each other.
    let mut retiring = registered.clone();
    retiring.keys[0].ends_at = Some(UnixMillis(1));
    assert_damaged(keyring.open_key(&retiring, &retiring.keys[0]), "party_key a@z 3");

    // It stays through disabling, for as long as a key is bound to it.
    let mut disabled = registered.clone();
    keyring.set_enabled(&mut disabled, false, &mut rng()).unwrap();
    assert_eq!(disabled.author_key, one);
    let mut lost = registered;
    lost.keys.iter_mut().for_each(|key| key.wrapped[40] ^= 1);
    keyring.set_enabled(&mut lost, false, &mut rng()).unwrap();
    assert_eq!(lost.author_key, None, "nothing vouches for it any more");
}

#[test]
fn a_failed_rewrap_changes_nothing() {
    let (keyring, _) = keyring();
    let mut party = party(&keyring);
    party.keys[1].wrapped[40] ^= 1;
    let before = party.clone();
    let standing = Standing { enabled: false, revocation_epoch: 1, author_key: None };
    let result = keyring.rewrap(&mut party, standing, &mut rng());
    assert!(matches!(result, Err(KeyringError::Damaged { .. })));
    assert_eq!(party, before);
}

#[test]
fn a_key_that_does_not_open_keeps_nobody_from_disabling() {
    let (keyring, _) = keyring();
    let mut party = party(&keyring);
    party.keys[1].wrapped[40] ^= 1;
    keyring.set_enabled(&mut party, false, &mut rng()).unwrap();
    assert!(!party.enabled);
    assert!(keyring.open_key(&party, &party.keys[0]).is_ok());
    assert_eq!((party.keys[1].state, party.keys[1].wrapped.len()), (KeyState::Dead, 0));
}

#[test]
fn an_answer_is_bound_to_its_end() {
    let (keyring, _) = keyring();
    let answer = Answer {
        actor: "console:root".to_owned(),
        idempotency: "k".to_owned(),
        fingerprint: [7; 32],
        status: 201,
        master_version: 0,
        wrapped: Vec::new(),
        expires_at: UnixMillis(5),
    };
    let sealed = keyring.seal_answer(answer, b"body", &mut rng());
    assert_eq!(*keyring.open_answer(&sealed).unwrap(), b"body");
    let longer = Answer { expires_at: UnixMillis(6), ..sealed };
    assert!(keyring.open_answer(&longer).is_err());
}

#[test]
fn a_dead_key_is_gone() {
    let (keyring, _) = keyring();
    let mut party = party(&keyring);
    let key = keyring.open_key(&party, &party.keys[0]).unwrap();
    party.keys[0] =
        keyring.seal_key(&party.name, Standing::of(&party), &key, life(KeyState::Dead), &mut rng());
    assert!(party.keys[0].wrapped.is_empty());
    assert!(keyring.open_key(&party, &party.keys[0]).is_err());
    keyring.set_enabled(&mut party, false, &mut rng()).unwrap();
    assert!(keyring.open_key(&party, &party.keys[1]).is_ok());
}

#[test]
fn associated_data_has_no_two_readings() {
    let name = |name| RowBinding::Secret { name, version: 1 }.associated_data(b"");
    assert_ne!(name("a"), name("ab"));
    let one = RowBinding::Secret { name: "", version: 1 }.associated_data(b"ab");
    let two = RowBinding::Secret { name: "b", version: 1 }.associated_data(b"a");
    assert_ne!(one, two);
    let secret = RowBinding::Secret { name: "n", version: 1 }.associated_data(b"h");
    assert_eq!(
        secret,
        b"\0\0\0\0\0\0\0\x01h\0\0\0\0\0\0\0\x06secret\0\0\0\0\0\0\0\x01n\0\0\0\0\0\0\0\x04\0\0\0\x01"
    );
}

#[test]
fn a_written_key_is_read_again_by_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let master = MasterKey::generate(7, &mut rng());
    master.write_new(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(master.write_new(&path), Err(KeyringError::Exists { .. })));

    let source = MasterKeySource::File(path.clone());
    let (_, check) = Keyring::create(master, &mut rng());
    for mode in [0o600, 0o400] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(
            Keyring::open(source.load().unwrap(), std::slice::from_ref(&check), None).is_ok(),
            "{mode:o}"
        );
    }
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o700, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = source.load().unwrap_err().to_string();
        assert!(error.contains(&format!("chmod 600 {}", path.display())), "{mode:o}: {error}");
    }
}

#[test]
fn a_missing_key_is_never_made() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = |_: &str| None;
    for source in [
        MasterKeySource::File(folder.path().join("master.key")),
        MasterKeySource::Credential("master".to_owned()),
        MasterKeySource::Environment("KEYCELL_MASTER_KEY".to_owned()),
    ] {
        let error = source.load_with(nothing).unwrap_err();
        assert!(matches!(error, KeyringError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("never made anew"), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn credentials_and_variables_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master");
    MasterKey::generate(1, &mut rng()).write_new(&path).unwrap();
    let line = fs::read_to_string(&path).unwrap();
    let environment = |name: &str| -> Option<OsString> {
        match name {
            "CREDENTIALS_DIRECTORY" => Some(folder.path().into()),
            "KEY" => Some(line.trim_end().into()),
            _ => None,
        }
    };
    // As systemd shows it when it grants access by a list.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    let source = MasterKeySource::Credential("master".to_owned());
    assert_eq!(source.load_with(environment).unwrap().versions(), [1]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    assert!(matches!(source.load_with(environment), Err(KeyringError::Loose { .. })));
    let source = MasterKeySource::Environment("KEY".to_owned());
    assert_eq!(source.load_with(environment).unwrap().versions(), [1]);
}

#[test]
fn what_is_no_master_key_is_refused() {
    let key = "A".repeat(43);
    assert!(MasterKey::parse(&format!("keycell-master-key-1:1:{key}\n"), "here").is_ok());
    for text in [
        String::new(),
        format!("keycell-master-key-2:1:{key}"),
        format!("keycell-master-key-1:{key}"),
        format!("keycell-master-key-1::{key}"),
        format!("keycell-master-key-1:+1:{key}"),
        format!("keycell-master-key-1:4294967296:{key}"),
        format!("keycell-master-key-1:1:{key}\n\n"),
        format!("keycell-master-key-1:1:{key} "),
        format!("keycell-master-key-1:1:{key}A"),
        format!("keycell-master-key-1:1:{key}="),
        format!("keycell-master-key-1:1:{}", &key[1..]),
        format!("keycell-master-key-1:1:{}B", &key[1..]),
        format!(" keycell-master-key-1:1:{key}"),
    ] {
        let error = MasterKey::parse(&text, "here").unwrap_err();
        assert!(matches!(error, KeyringError::Form { .. }), "{text:?}");
        assert!(!error.to_string().contains("AAAA"), "an error prints no key");
    }
}

#[test]
fn a_master_key_does_not_print() {
    let (keyring, _) = keyring();
    let keys = "MasterKeys { versions: [1], source: None, .. }";
    assert_eq!(format!("{keyring:?}"), format!("Keyring {{ active: 1, lacking: None, keys: {keys}, .. }}"));
    assert_eq!(format!("{:?}", first_key()), "MasterKey { version: 1, .. }");
}

fn rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}

fn first_key() -> MasterKey {
    MasterKey::parse(&format!("keycell-master-key-1:1:{}", "A".repeat(43)), "here").unwrap()
}

fn same_key() -> MasterKeys {
    Arc::new(first_key()).into()
}

fn fresh(version: u32) -> MasterKeys {
    Arc::new(MasterKey::generate(version, &mut rng())).into()
}

fn keyring() -> (Keyring, SecretRecord) {
    Keyring::create(first_key(), &mut rng())
}

fn life(state: KeyState) -> Life {
    Life { state, created_at: UnixMillis(0), ends_at: None }
}

fn party(keyring: &Keyring) -> PartyRecord {
    let name: Name = "a@z".parse().unwrap();
    let key = |generation: u32, state| {
        let secret = [u8::try_from(generation).unwrap(); 32];
        let key = LongTermKey::new(Generation(generation), Epoch(7), secret);
        keyring.seal_key(&name, Standing::NEW, &key, life(state), &mut rng())
    };
    let keys = vec![key(3, KeyState::Active), key(4, KeyState::Staged)];
    PartyRecord { keys, ..PartyRecord::new(name.clone(), UnixMillis(1)) }
}

fn assert_damaged<T>(result: Result<T, KeyringError>, expected: &str) {
    match result {
        Err(KeyringError::Damaged { row }) => assert_eq!(row, expected),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opened"),
    }
}

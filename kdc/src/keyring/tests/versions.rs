//! Several versions of the master key: in one source, and in one database.

use super::*;

#[test]
fn each_row_opens_with_its_version_and_new_ones_are_under_the_active_one() {
    let (first, check) = keyring();
    let party = party(&first);
    let both = same_key().with(MasterKey::generate(2, &mut rng())).unwrap();
    let keyring = Keyring::open(both.clone(), std::slice::from_ref(&check), None).unwrap();
    assert_eq!((keyring.master_version(), keyring.versions()), (1, vec![1, 2]));
    let (second, document) = keyring.activation(2, 1, &mut rng()).unwrap();
    assert_eq!((&*second.name, second.master_version, document.master_version), ("key check 2", 2, 2));
    keyring.check_document(&document).unwrap();
    assert!(
        keyring.follow(2) && !keyring.follow(2) && !keyring.follow(1),
        "it goes over once and never back"
    );
    assert_eq!(keyring.master_version(), 2);
    assert!(keyring.open_key(&party, &party.keys[0]).is_ok());
    let secret = keyring.seal_secret("one", 1, b"secret", &mut rng());
    assert_eq!(secret.master_version, 2);
    assert!(matches!(first.open_secret(&secret), Err(KeyringError::NoVersion { needed: 2, .. })));

    // Each version is held against its own key check.
    let checks = [check, second];
    assert_eq!(Keyring::open(both.clone(), &checks, Some(2)).unwrap().master_version(), 2);
    let error = Keyring::open(same_key(), &checks, Some(2)).unwrap_err();
    assert!(matches!(error, KeyringError::Lacking { version: 2, .. }), "{error}");
    let wrong = both.clone().without(2).with(MasterKey::generate(2, &mut rng())).unwrap();
    let error = Keyring::open(wrong, &checks, Some(2)).unwrap_err();
    assert!(matches!(error, KeyringError::WrongMasterKey { version: 2 }), "{error}");
    let wrong = both.clone().without(1).with(MasterKey::generate(1, &mut rng())).unwrap();
    let error = Keyring::open(wrong, &checks, Some(2)).unwrap_err();
    assert!(matches!(error, KeyringError::WrongMasterKey { version: 1 }), "{error}");
    assert_eq!(Keyring::open(both.clone().without(1), &checks, Some(2)).unwrap().versions(), [2]);
    // Version 2 was in use, whatever a document that was put back says, or one that is gone.
    for announced in [None, Some(1)] {
        let secrets = [checks.as_slice(), std::slice::from_ref(&secret)].concat();
        assert_eq!(Keyring::open(both.clone(), &secrets, announced).unwrap().master_version(), 2);
    }
}

#[test]
fn a_version_that_is_awaited_is_neither_here_nor_damaged() {
    let (keyring, _) = keyring();
    assert!(keyring.lacking().is_none());
    keyring.expect(2);
    assert!(keyring.expects(2) && !keyring.expects(3));
    assert!(matches!(keyring.lacking(), Some(KeyringError::Lacking { version: 2, .. })));
    let mut party = party(&keyring);
    party.keys[0].master_version = 2;
    party.keys[0].wrapped[4] = 2;
    let before = party.clone();
    let disabled = keyring.set_enabled(&mut party, false, &mut rng());
    assert!(
        matches!(disabled, Err(KeyringError::NoVersion { .. })),
        "a key that only waits is not thrown away"
    );
    assert_eq!(party, before);
    keyring.expect(1);
    assert!(keyring.lacking().is_none());
}

#[test]
fn a_file_holds_several_versions_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let first = MasterKey::generate(1, &mut rng());
    first.write_new(&path).unwrap();
    let source = MasterKeySource::File(path.clone());
    let second = source.append(None, &mut rng()).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!((second, text.lines().count()), (2, 2));
    assert!(text.starts_with(&*first.text()), "what was there is there");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // There is one above already: an attempt that was cut off is gone on with.
    assert_eq!(source.append(Some(1), &mut rng()).unwrap(), 2);
    assert_eq!(source.append(Some(2), &mut rng()).unwrap(), 3);
    assert_eq!(source.load().unwrap().versions(), [1, 2, 3]);
    // What a killed attempt has left is in nobody's way.
    fs::write(folder.path().join("master.key.new"), "half").unwrap();
    source.remove(2).unwrap();
    assert_eq!(source.load().unwrap().versions(), [1, 3]);
    assert!(matches!(source.remove(2), Err(KeyringError::Refused(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // In any order, and none twice.
    let lines: Vec<_> = text.lines().collect();
    fs::write(&path, format!("{}\n{}", lines[1], lines[0])).unwrap();
    assert_eq!(source.load().unwrap().versions(), [1, 2]);
    fs::write(&path, format!("{}\n{}\n", lines[1], lines[1])).unwrap();
    assert!(matches!(source.load(), Err(KeyringError::Twice { version: 2, .. })));
    fs::write(&path, format!("{}\n\n{}\n", lines[0], lines[1])).unwrap();
    assert!(matches!(source.load(), Err(KeyringError::Form { .. })));
}

#[test]
fn many_at_once_make_one_version_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    MasterKey::generate(1, &mut rng()).write_new(&path).unwrap();
    let append = |_| MasterKeySource::File(path.clone()).append(None, &mut rng()).unwrap();
    let mut made: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || append(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    made.sort_unstable();
    assert_eq!(made, (2..10).collect::<Vec<_>>());
    assert_eq!(MasterKeySource::File(path.clone()).load().unwrap().versions(), (1..10).collect::<Vec<_>>());
}

/// A version is put into the file twice before the zone goes over to it: what counts is what the file says then.
#[test]
fn a_version_that_is_not_in_use_is_as_the_source_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    MasterKey::generate(1, &mut rng()).write_new(&path).unwrap();
    let source = MasterKeySource::File(path);
    let line = fs::read_to_string(folder.path().join("master.key")).unwrap();
    let (_, check) = Keyring::create(MasterKey::parse(line.trim_end(), "here").unwrap(), &mut rng());
    source.append(None, &mut rng()).unwrap();
    let keyring = Keyring::open(source.load().unwrap(), std::slice::from_ref(&check), None).unwrap();
    source.remove(2).unwrap();
    source.append(None, &mut rng()).unwrap();
    keyring.renew(std::slice::from_ref(&check)).unwrap();
    let (second, document) = keyring.activation(2, 1, &mut rng()).unwrap();
    let checks = [check, second];
    let again = Keyring::open(source.load().unwrap(), &checks, Some(2)).unwrap();
    again.check_document(&document).unwrap();

    // Another KDC has another key of that number: it lacks the right one, and no row is damaged.
    let other = MasterKeySource::File(folder.path().join("other.key"));
    fs::copy(folder.path().join("master.key"), folder.path().join("other.key")).unwrap();
    other.remove(2).unwrap();
    other.append(None, &mut rng()).unwrap();
    let behind = Keyring::open(other.load().unwrap(), &checks[..1], None).unwrap();
    assert_eq!(behind.versions(), [1, 2]);
    assert!(matches!(behind.renew(&checks), Err(KeyringError::WrongMasterKey { version: 2 })));
    assert_eq!(behind.versions(), [1]);
    let error = behind.check_document(&document).unwrap_err();
    assert!(matches!(error, KeyringError::NoVersion { needed: 2, .. }), "{error}");
    // The active one stays, although its line is gone.
    fs::copy(folder.path().join("master.key"), folder.path().join("other.key")).unwrap();
    other.remove(1).unwrap();
    behind.renew(&checks).unwrap();
    assert_eq!((behind.versions(), behind.master_version()), (vec![1, 2], 1));
    assert!(behind.follow(2));
    behind.check_document(&document).unwrap();
}

//! What a host's folder looks like whatever happens in and to it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};
use std::thread;

use keycell_protocol::{
    Epoch, Generation, IdentityEncryptionKey, IdentityName, KdcIdentity, LongTermKey, RatchetPeriod,
    SignerKey,
};
use tempfile::TempDir;

use super::*;
use crate::{KdcAddress, KeyFileError, KeyStore};

const PAIR: &str = "nanoprobe.web1.example@z";

fn new() -> (TempDir, HostStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = HostStore::open(folder.path().join("host")).unwrap();
    (folder, store)
}

fn host_of(store: &HostStore, service: &str, host: &str) -> Result<StoredHost, HostStoreError> {
    store.host(&zone(), &service.parse().unwrap(), &host.parse().unwrap())
}

fn host(store: &HostStore) -> Result<StoredHost, HostStoreError> {
    host_of(store, "nanoprobe", "web1.example")
}

fn zone() -> Zone {
    "z".parse().unwrap()
}

fn bundle(identities: &[u32], byte: u8) -> Bundle {
    let identity = |number: &u32| KdcIdentity {
        name: IdentityName::new(*number).unwrap(),
        signing_key: SignerKey::new([byte + *number as u8; 32]),
        encryption_key: IdentityEncryptionKey([byte; IdentityEncryptionKey::SIZE]),
    };
    Bundle {
        zone: zone(),
        urls: vec!["https://kdc.example:7423".into()],
        tls_roots: "PEM".into(),
        identities: identities.iter().map(identity).collect(),
        trusted: Vec::new(),
    }
}

fn key_of(host: &StoredHost) -> AgentKey {
    let key = LongTermKey::new(Generation(1), Epoch(100), [1; 32]);
    AgentKey::new(host.full_name(), key, RatchetPeriod::DEFAULT, KdcAddress::default())
}

fn file(store: &HostStore, end: &str) -> PathBuf {
    store.folder().join(format!("{PAIR}.{end}"))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn names(store: &HostStore) -> Vec<String> {
    let entries = fs::read_dir(store.folder()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs the shell on a refusal's advice.
fn mend(error: &HostStoreError) {
    let text = error.to_string();
    let (_, command) = text.split_once("run: ").unwrap();
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success());
}

#[test]
fn a_pair_is_made_once() {
    let (_folder, store) = new();
    assert_eq!(mode(store.folder()), 0o700);
    let made = host(&store).unwrap();
    let (name, key) = (made.full_name(), made.key().public());
    assert_eq!(name.to_string(), format!("nanoprobe.web1.example::{}@z", Fingerprint::of(&key)));
    assert_eq!((mode(&file(&store, "pub")), mode(&file(&store, "seed"))), (0o644, 0o600));
    let secret = URL_SAFE_NO_PAD.encode(made.key().expose_secret());
    assert!(!format!("{made:?} {store:?}").contains(&secret));
    assert!(!fs::read_to_string(file(&store, "pub")).unwrap().contains(&secret));
    drop(made);
    let again = host(&store).unwrap();
    assert_eq!((again.full_name(), again.key().public()), (name, key));
    assert_eq!(names(&store), [format!("{PAIR}.pub"), format!("{PAIR}.seed")]);
}

#[test]
fn another_name_is_another_pair_and_services_stand_beside_each_other() {
    let (_folder, store) = new();
    let first = host(&store).unwrap();
    first.keep_key(&key_of(&first)).unwrap();
    let before = fs::read(file(&store, "key")).unwrap();
    let renamed = host_of(&store, "nanoprobe", "web2.example").unwrap();
    let other = host_of(&store, "cma", "web1.example").unwrap();
    let mut keys: Vec<_> = [&first, &renamed, &other].iter().map(|host| host.full_name()).collect();
    keys.dedup();
    assert_eq!(keys.len(), 3);
    assert!(first.is_enrolled().unwrap() && !renamed.is_enrolled().unwrap() && !other.is_enrolled().unwrap());
    assert_eq!(fs::read(file(&store, "key")).unwrap(), before);
}

#[test]
fn what_others_could_use_is_refused_with_what_mends_it() {
    let (_folder, store) = new();
    drop(host(&store).unwrap());
    store.install(bundle(&[1, 2], 1)).unwrap();
    let opened = || -> Result<(), HostStoreError> {
        let store = HostStore::open(store.folder())?;
        store.bundle(&zone())?;
        host(&store).map(|_| ())
    };
    let zone_bundle = store.folder().join("z.bundle");
    for (path, bad, good) in [
        (store.folder().to_owned(), vec![0o750, 0o701, 0o755], 0o700),
        (file(&store, "seed"), vec![0o640, 0o604, 0o644, 0o620], 0o600),
        (file(&store, "pub"), vec![0o664, 0o646], 0o644),
        (zone_bundle, vec![0o664, 0o646], 0o644),
    ] {
        for loose in bad {
            set_mode(&path, loose);
            let error = opened().unwrap_err();
            assert!(matches!(error, HostStoreError::Mode { .. }), "{loose:o} {error}");
            mend(&error);
            assert_eq!(mode(&path), good, "{error}");
            opened().unwrap();
        }
    }
    // Stricter ones are nobody's business.
    set_mode(&file(&store, "pub"), 0o400);
    set_mode(&file(&store, "seed"), 0o400);
    opened().unwrap();
}

#[test]
fn another_owner_is_refused() {
    let (_folder, store) = new();
    drop(host(&store).unwrap());
    if !rustix::process::geteuid().is_root() {
        // Only root gives files away; what stands for the owner then is somebody else's folder.
        let error = HostStore::open("/").unwrap_err();
        return assert!(matches!(error, HostStoreError::Owner { owner: 0, .. }), "{error}");
    }
    for path in [file(&store, "seed"), file(&store, "pub"), store.folder().to_owned()] {
        std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
        let error = HostStore::open(store.folder()).and_then(|store| host(&store).map(|_| ())).unwrap_err();
        assert!(matches!(error, HostStoreError::Owner { owner: 12_345, .. }), "{error}");
        mend(&error);
        drop(host(&store).unwrap());
    }
}

#[test]
fn links_pipes_and_folders_are_no_files() {
    let (_folder, store) = new();
    let made = host(&store).unwrap();
    made.keep_key(&key_of(&made)).unwrap();
    drop(made);
    store.install(bundle(&[1], 1)).unwrap();
    let away = store.folder().join("away");
    let check = || {
        store.bundle(&zone())?;
        host(&store).and_then(|host| host.is_enrolled())
    };
    for path in
        [file(&store, "seed"), file(&store, "pub"), file(&store, "key"), store.folder().join("z.bundle")]
    {
        fs::rename(&path, &away).unwrap();
        let not_a_file = |what: &str| {
            let error = check().unwrap_err();
            assert!(matches!(error, HostStoreError::NotAFile { .. }), "{what} {error}");
        };
        symlink(&away, &path).unwrap();
        not_a_file("a link");
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg("-m").arg("600").arg(&path).status().unwrap().success());
        not_a_file("a pipe");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        not_a_file("a folder");
        fs::remove_dir(&path).unwrap();
        // A link to nothing is not a reason to make a new pair.
        symlink("/nowhere", &path).unwrap();
        assert!(check().is_err());
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
        assert!(check().unwrap());
    }
    // The folder itself may be linked to.
    let link = store.folder().with_file_name("link");
    symlink(store.folder(), &link).unwrap();
    host(&HostStore::open(link).unwrap()).unwrap();
    let error = HostStore::open(file(&store, "pub")).unwrap_err();
    assert!(matches!(error, HostStoreError::Folder { .. }), "{error}");
    let error = HostStore::open(store.folder().join("a/b")).unwrap_err();
    assert!(matches!(error, HostStoreError::Folder { .. }), "{error}");
}

#[test]
fn the_pair_is_whole_wherever_its_making_was_cut_off() {
    let (_folder, store) = new();
    let name = host(&store).unwrap().full_name();
    // Killed between the two halves.
    fs::remove_file(file(&store, "pub")).unwrap();
    assert_eq!(host(&store).unwrap().full_name(), name);
    assert_eq!(mode(&file(&store, "pub")), 0o644);
    // Killed while one was written: what is left of it is gone once somebody writes again.
    let (_folder, store) = new();
    let left = store.folder().join(".keycell-0123456789abcdef.tmp");
    fs::write(&left, "half a secr").unwrap();
    fs::write(store.folder().join(".keycell-notes"), "of the owner").unwrap();
    drop(host(&store).unwrap());
    assert_eq!(names(&store).len(), 3);
    assert!(!left.exists());
    // Never by cutting off: the secret half was taken away.
    let seed = fs::read(file(&store, "seed")).unwrap();
    fs::remove_file(file(&store, "seed")).unwrap();
    let error = host(&store).unwrap_err();
    assert!(matches!(error, HostStoreError::NoSeed { .. }), "{error}");
    assert!(!file(&store, "seed").exists());
    // Nor does another secret go with this name.
    drop(host_of(&store, "nanoprobe", "web2").unwrap());
    fs::copy(store.folder().join("nanoprobe.web2@z.seed"), file(&store, "seed")).unwrap();
    let error = host(&store).unwrap_err();
    assert!(matches!(error, HostStoreError::NotAPair { .. }), "{error}");
    for nonsense in
        [&b""[..], b"x", &[b'A'; 44], &[b'A'; 45], b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"]
    {
        fs::write(file(&store, "seed"), nonsense).unwrap();
        let error = host(&store).unwrap_err();
        assert!(matches!(error, HostStoreError::Form { .. }), "{error}");
    }
    fs::write(file(&store, "seed"), seed).unwrap();
    host(&store).unwrap();
    fs::write(file(&store, "pub"), "{}").unwrap();
    assert!(matches!(host(&store).unwrap_err(), HostStoreError::Form { .. }));
}

#[test]
fn one_process_at_a_time_has_a_pair() {
    let (_folder, store) = new();
    let held = host(&store).unwrap();
    let error = host(&store).unwrap_err();
    assert!(matches!(error, HostStoreError::InUse { .. }), "{error}");
    host_of(&store, "cma", "web1.example").unwrap();
    let other = |path: &Path| Command::new("flock").arg("-n").arg(path).arg("true").status().unwrap();
    assert!(!other(&file(&store, "seed")).success());
    drop(held);
    assert!(other(&file(&store, "seed")).success());
}

#[test]
fn many_that_begin_at_once_make_one_pair() {
    let (_folder, store) = new();
    let begin = || {
        let store = store.clone();
        thread::spawn(move || match host(&store) {
            Ok(host) => Some(host.full_name()),
            Err(HostStoreError::InUse { .. }) => None,
            Err(error) => panic!("{error}"),
        })
    };
    let threads: Vec<_> = (0..16).map(|_| begin()).collect();
    let mut names: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
    names.push(host(&store).unwrap().full_name());
    names.dedup();
    assert_eq!(names.len(), 1);
    assert_eq!(self::names(&store).len(), 2);
}

/// The turn ends with the process, however that comes.
#[test]
fn who_is_killed_while_writing_keeps_nobody_out() {
    let (_folder, store) = new();
    let mut script = Command::new("flock");
    script.arg(store.folder()).args(["sh", "-c", "echo held; exec sleep 600"]);
    let mut child = script.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let waiting = {
        let store = store.clone();
        thread::spawn(move || host(&store).map(|host| host.full_name()))
    };
    // `flock` waits for its child, which has the folder open as well: both go.
    let found = Command::new("pgrep").args(["-P", &child.id().to_string()]).output().unwrap();
    let sleeper = String::from_utf8(found.stdout).unwrap();
    assert!(Command::new("kill").args(["-9", sleeper.trim()]).status().unwrap().success());
    child.kill().unwrap();
    child.wait().unwrap();
    waiting.join().unwrap().unwrap();
}

#[test]
fn bundles_go_forward_only() {
    let (_folder, store) = new();
    let made = host(&store).unwrap();
    let error = made.bundle().unwrap_err();
    assert!(matches!(error, HostStoreError::NoBundle { .. }), "{error}");
    store.install(bundle(&[1, 2], 1)).unwrap();
    assert_eq!(mode(&store.folder().join("z.bundle")), 0o644);
    // The same KDC at another address.
    let mut moved = bundle(&[1, 2], 1);
    moved.urls = vec!["https://elsewhere.example".into()];
    assert_eq!(store.install(moved.clone()).unwrap(), moved);
    assert_eq!(made.bundle().unwrap(), moved);
    // Somebody else's KDC, one without the identity that comes after, and one that adds another.
    for (other, why) in [
        (bundle(&[1, 2], 9), "it has other keys of #KDC#00001"),
        (bundle(&[1, 3], 1), "it leaves out #KDC#00002"),
        (bundle(&[1, 2, 3], 1), "it adds #KDC#00003"),
    ] {
        let error = store.install(other.clone()).unwrap_err();
        assert!(
            matches!(error, HostStoreError::OtherKdc { .. }) && error.to_string().contains(why),
            "{error}"
        );
        assert!(made.keep_bundle(&other).is_err());
        assert_eq!(made.bundle().unwrap(), moved);
    }
    // Recovered: there is no way back, and whoever brings the one of before can tell why.
    made.keep_bundle(&bundle(&[2, 3], 1)).unwrap();
    let counts = store.install(bundle(&[1, 2], 1)).unwrap();
    assert_eq!(counts, bundle(&[2, 3], 1));
    assert!(matches!(counts.accepts(&bundle(&[1, 2], 1)), Err(SuccessionError::Earlier { .. })));
    made.keep_bundle(&bundle(&[1, 2], 1)).unwrap();
    assert_eq!(made.bundle().unwrap(), bundle(&[2, 3], 1));
    // What comes with the software is not newer than what the KDC sent, unless it is of a later identity.
    let sent = Bundle { urls: vec!["https://new.example".into()], ..bundle(&[2, 3], 1) };
    made.keep_key(&key_of(&made)).unwrap();
    made.keep_bundle(&sent).unwrap();
    assert_eq!(store.install(bundle(&[2, 3], 1)).unwrap(), sent);
    assert_eq!(made.bundle().unwrap(), sent);
    let error = store.install(bundle(&[2, 3], 9)).unwrap_err();
    assert!(matches!(error, HostStoreError::OtherKdc { .. }), "{error}");
    assert_eq!(store.install(bundle(&[3, 4], 1)).unwrap(), bundle(&[3, 4], 1));
    fs::write(store.folder().join("z.bundle"), "{}").unwrap();
    assert!(matches!(made.bundle().unwrap_err(), HostStoreError::Form { .. }));
    fs::write(store.folder().join("other.bundle"), bundle(&[1], 1).to_json()).unwrap();
    let error = store.bundle(&"other".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("it is of the zone z"), "{error}");
}

#[test]
fn the_first_key_file_is_never_overwritten() {
    let (_folder, store) = new();
    let made = host(&store).unwrap();
    assert!(!made.is_enrolled().unwrap());
    made.keep_key(&key_of(&made)).unwrap();
    assert_eq!(mode(&file(&store, "key")), 0o600);
    assert!(made.is_enrolled().unwrap());
    let enrolled = store.enrolled(&zone(), &made.name().service, &made.name().host).unwrap();
    assert_eq!(enrolled, Some(made.full_name()));
    let error = made.keep_key(&key_of(&made)).unwrap_err();
    assert!(matches!(error, HostStoreError::KeyFile(KeyFileError::Exists { .. })), "{error}");
    // A key file of another host's pair.
    let other = host_of(&store, "nanoprobe", "web2").unwrap();
    fs::copy(file(&store, "key"), other.key_path()).unwrap();
    assert!(matches!(other.is_enrolled().unwrap_err(), HostStoreError::Form { .. }));
}

/// Root writes everywhere, so what a folder refuses is shown by who is not root.
#[test]
fn an_enrolled_host_does_with_a_folder_that_is_read_only() {
    let (_folder, store) = new();
    let made = host(&store).unwrap();
    store.install(bundle(&[1, 2], 1)).unwrap();
    made.keep_key(&key_of(&made)).unwrap();
    drop(made);
    set_mode(store.folder(), 0o500);
    let root = rustix::process::geteuid().is_root();
    let store = HostStore::open(store.folder()).unwrap();
    assert_eq!(store.install(bundle(&[1, 2], 1)).unwrap(), bundle(&[1, 2], 1));
    let made = host(&store).unwrap();
    assert!(made.is_enrolled().unwrap());
    made.keep_bundle(&bundle(&[1, 2], 1)).unwrap();
    let (mut keys, key) = KeyStore::open(made.key_path()).unwrap();
    if !root {
        assert!(matches!(keys.save(&key), Err(KeyFileError::Write { .. })));
        assert!(matches!(made.keep_bundle(&bundle(&[2, 3], 1)), Err(HostStoreError::Write { .. })));
        assert_eq!(made.bundle().unwrap(), bundle(&[1, 2], 1));
    }
    set_mode(store.folder(), 0o700);
}

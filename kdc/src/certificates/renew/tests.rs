use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::certificates;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const YEAR_MS: u64 = 366 * DAY_MS;

/// A cell's files as `init` makes them, in a folder of their own.
struct Cell {
    _folder: tempfile::TempDir,
    config: Config,
}

impl Cell {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = "listen = '127.0.0.1:1'\nurls = ['https://kdc.example.com']\ndatabase = 'sqlite:x'\n\
                    master_key = { file = 'x' }\n\
                    tls = { certificate = 's.pem', key = 's.key', roots = 'roots.pem' }\n";
        let path = folder.path().join(Config::FILE);
        fs::write(&path, text).unwrap();
        let config = Config::load(&path, None).unwrap();
        let made = certificates::make(&config.urls, config.listen, NOW).unwrap();
        for (path, text) in [
            (&config.tls.certificate, &made.server),
            (&config.tls.key, &*made.server_key),
            (&config.tls.roots, &made.roots),
            (&config.tls.roots.with_extension("key"), &*made.roots_key),
        ] {
            fs::write(path, text).unwrap();
        }
        Self { _folder: folder, config }
    }

    fn renew(&self, now: UnixMillis, when: When) -> Renewed {
        renew(&self.config, now, when).unwrap()
    }

    fn leaf(&self) -> Vec<u8> {
        fs::read(&self.config.tls.certificate).unwrap()
    }
}

#[test]
fn a_certificate_is_renewed_in_its_last_days_and_not_before() {
    let cell = Cell::new();
    let before = cell.leaf();
    assert_eq!(cell.renew(NOW.plus(335 * DAY_MS), When::Due), Renewed::NotDue);
    assert_eq!(cell.leaf(), before);
    let late = NOW.plus(337 * DAY_MS);
    let Renewed::Done { ends_at } = cell.renew(late, When::Due) else { panic!("it was due") };
    assert_eq!(ends_at.0, late.0 + YEAR_MS);
    let pair = Pair::read(&cell.config.tls).unwrap();
    assert_eq!(pair.ends_at(), Some(ends_at));
    assert!(pair.root_ends_at().is_some());
    assert_eq!(cell.renew(late, When::Due), Renewed::NotDue);
    assert!(!tls::next_key(&cell.config.tls).exists());
    let Renewed::Done { ends_at } = cell.renew(late.plus(DAY_MS), When::Now) else {
        panic!("it was told to")
    };
    assert_eq!(ends_at.0, late.0 + DAY_MS + YEAR_MS);
}

/// The machine stops after each step of a renewal: what is there can be served, and the next renewal goes through.
#[test]
fn a_renewal_that_is_killed_leaves_a_pair_that_fits() {
    for steps in 0..=2 {
        let cell = Cell::new();
        let files = &cell.config.tls;
        let authority = Authority::of(files).unwrap().unwrap();
        let (certificate, key) = authority.issue(&cell.config.urls, cell.config.listen, NOW).unwrap();
        if steps >= 1 {
            replace(&tls::next_key(files), key.as_bytes(), [&files.key, &files.key]).unwrap();
        }
        if steps >= 2 {
            replace(&files.certificate, certificate.as_bytes(), [&files.certificate, &files.roots]).unwrap();
        }
        Pair::read(files).unwrap_or_else(|error| panic!("after {steps} steps: {error}"));
        // And killed again, between the check and the first step: what fits must not be written over.
        finish(files).unwrap();
        let by_key_alone = fs::read(&files.key).unwrap();
        Pair::read(files).unwrap();
        assert_eq!(by_key_alone == key.as_bytes(), steps == 2, "after {steps} steps");
        assert!(matches!(cell.renew(NOW, When::Now), Renewed::Done { .. }));
        Pair::read(files).unwrap();
    }
}

#[test]
fn what_is_not_the_cells_own_is_left_alone() {
    // Somebody else's certificate, although the key of a root is here.
    let (cell, other) = (Cell::new(), Cell::new());
    for (from, to) in [
        (&other.config.tls.certificate, &cell.config.tls.certificate),
        (&other.config.tls.key, &cell.config.tls.key),
    ] {
        fs::copy(from, to).unwrap();
    }
    assert_eq!(cell.renew(NOW, When::Now), Renewed::NotOurs);
    assert_eq!(cell.leaf(), other.leaf());
    // The key of another root.
    let roots_key = |cell: &Cell| cell.config.tls.roots.with_extension("key");
    let cell = Cell::new();
    fs::copy(roots_key(&other), roots_key(&cell)).unwrap();
    assert_eq!(cell.renew(NOW, When::Now), Renewed::NotOurs);
    // None at all.
    fs::remove_file(roots_key(&cell)).unwrap();
    assert_eq!(cell.renew(NOW, When::Now), Renewed::NotOurs);
    fs::write(roots_key(&cell), "no key").unwrap();
    assert!(
        renew(&cell.config, NOW, When::Now).unwrap_err().to_string().contains("does not hold what it should")
    );
}

/// With the root at hand, a pair that is lost is no reason not to have another.
#[test]
fn what_is_lost_is_made_anew_when_it_is_told_to() {
    for lost in [["s.pem"].as_slice(), &["s.key"], &["s.pem", "s.key"]] {
        for half in [false, true] {
            let cell = Cell::new();
            let files = &cell.config.tls;
            for name in lost {
                let path = files.roots.with_file_name(name);
                if half { fs::write(path, "half").unwrap() } else { fs::remove_file(path).unwrap() }
            }
            if lost.contains(&"s.pem") {
                assert!(renew(&cell.config, NOW, When::Due).is_err(), "by itself, a KDC does not guess");
            }
            assert!(matches!(cell.renew(NOW, When::Now), Renewed::Done { .. }), "{lost:?}");
            Pair::read(files).unwrap();
        }
    }
}

#[test]
fn a_certificate_never_outlives_its_root() {
    let cell = Cell::new();
    let late = NOW.plus((3653 - 10) * DAY_MS);
    let Renewed::Done { ends_at } = cell.renew(late, When::Due) else { panic!("it was due") };
    assert_eq!(ends_at.0, late.0 + 10 * DAY_MS);
    let over = renew(&cell.config, NOW.plus(3653 * DAY_MS), When::Due).unwrap_err();
    assert!(matches!(over, RenewError::RootEnds));
}

#[test]
fn two_do_not_renew_at_once() {
    let cell = Cell::new();
    let _held = lock(&cell.config.tls).unwrap();
    assert!(matches!(renew(&cell.config, NOW, When::Now), Err(RenewError::Busy)));
}

/// Root may renew for the user who serves; that user must be able to read what comes of it.
#[test]
fn files_keep_their_owner_and_permissions() {
    use std::os::unix::fs::chown;

    let cell = Cell::new();
    let (key, certificate) = (&cell.config.tls.key, &cell.config.tls.certificate);
    fs::set_permissions(key, fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(certificate, fs::Permissions::from_mode(0o664)).unwrap();
    let owner = fs::metadata(key).unwrap().uid();
    // Only root can give files away; anybody else owns what it renews.
    let owner = if owner == 0 { 65_534 } else { owner };
    for path in [key, certificate] {
        chown(path, Some(owner), None).unwrap();
    }
    assert!(matches!(cell.renew(NOW, When::Now), Renewed::Done { .. }));
    for (path, mode) in [(key, 0o640), (certificate, 0o664)] {
        let now = fs::metadata(path).unwrap();
        assert_eq!((now.uid(), now.mode() & 0o777), (owner, mode), "{}", path.display());
    }
    let lock = key.with_file_name("s.key.lock");
    assert_eq!(fs::metadata(&lock).unwrap().uid(), owner);
    // A link in the place of the lock leads nowhere.
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(certificate, &lock).unwrap();
    let refused = renew(&cell.config, NOW, When::Now).unwrap_err();
    assert!(matches!(refused, RenewError::Write { .. }), "{refused}");
}

//! The key files of an import: in a folder, or in an encrypted archive.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keycell_client::{AgentKey, KdcAddress};
use keycell_protocol::{LongTermKey, RatchetPeriod, SignerKey, TrustedSigners};
use zeroize::Zeroizing;

use super::super::Outcome;
use super::super::recipients::Recipients;
use super::NO_LINK;
use super::answer::Made;
use super::archive::Archive;
use super::progress::Progress;

/// What every key file says of the KDC.
pub(super) struct Known {
    /// Where it is.
    pub(super) address: KdcAddress,
    /// Whose vouchers hold in the zone.
    pub(super) signers: Vec<SignerKey>,
    /// And whose over its borders.
    pub(super) trusted: TrustedSigners,
}

/// Where key files go.
pub(super) enum KeyFiles {
    Folder(PathBuf),
    Archive(Box<Archive>),
}

impl KeyFiles {
    /// Into a folder, which is made if it is not there.
    pub(super) fn folder(path: &Path) -> Outcome<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| format!("cannot make the folder {}: {error}", path.display()))?;
        Ok(Self::Folder(path.to_owned()))
    }

    /// Into an archive.
    pub(super) fn archive(path: &Path, recipients: &Recipients, again: bool) -> Outcome<Self> {
        Ok(Self::Archive(Box::new(Archive::create(path, recipients, again)?)))
    }

    /// Writes them all, durably, and says where they are. `resumed`: an earlier run may have been cut off while it wrote.
    pub(super) fn write(
        mut self,
        made: &[Made],
        period: RatchetPeriod,
        Known { address, signers, trusted }: &Known,
        resumed: bool,
        mut progress: Progress,
    ) -> Outcome<PathBuf> {
        for made in made {
            let key = LongTermKey::new(made.generation, made.epoch, *made.secret);
            let key = AgentKey::new(made.name.clone(), key, period, address.clone());
            let mut key = key.with_signers(signers.clone());
            key.trusted = trusted.clone();
            let name = format!("{}.key", made.name.local());
            match &mut self {
                Self::Folder(folder) => write_file(&folder.join(name), &key, resumed)?,
                Self::Archive(archive) => {
                    let written = archive.add(&name, &key.to_json());
                    written.map_err(|error| format!("cannot write the archive: {error}"))?;
                }
            }
            progress.one();
        }
        progress.finish();
        match self {
            Self::Folder(folder) => {
                let synced = File::open(&folder).and_then(|open| sync_all_of(&open));
                synced.map_err(|error| format!("cannot write {}: {error}", folder.display()))?;
                Ok(folder)
            }
            Self::Archive(archive) => {
                Ok(archive.finish().map_err(|error| format!("cannot write the archive: {error}"))?)
            }
        }
    }
}

/// Writes a key file without waiting for the disk. One that is there with the same key is good; one that an earlier run did
/// not write to its end is made anew, whoever's it is and whoever may read it; any other is somebody's, and stays.
fn write_file(path: &Path, key: &AgentKey, resumed: bool) -> Outcome {
    let failed = |error: io::Error| format!("cannot write {}: {error}", path.display());
    let json = key.to_json();
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match create() {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let there = read(path).map_err(failed)?;
            match AgentKey::from_json(&there) {
                Ok(there) if same(&there, key) => return Ok(()),
                Err(_) if resumed && unfinished(&there, &json) => {
                    fs::remove_file(path).and_then(|()| create()).map_err(failed)?
                }
                _ => {
                    return Err(
                        format!("{} is there and has another key; move it away", path.display()).into()
                    );
                }
            }
        }
        Err(error) => return Err(failed(error).into()),
    };
    Ok(file.write_all(&json).map_err(failed)?)
}

/// Reads what is there, not through a link.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::new());
    OpenOptions::new().read(true).custom_flags(NO_LINK).open(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Whether a file is what a run that was cut off, or a machine that went down, leaves of what was to be written.
fn unfinished(there: &[u8], whole: &[u8]) -> bool {
    whole.starts_with(there) || there.iter().all(|byte| *byte == 0)
}

fn same(one: &AgentKey, other: &AgentKey) -> bool {
    use subtle::ConstantTimeEq as _;
    let secret: bool = one.key.expose_secret().ct_eq(other.key.expose_secret()).into();
    secret && one.name == other.name && one.key.generation() == other.key.generation()
}

/// Makes durable whatever is written on the file system of `file`: one wait for 100,000 files.
fn sync_all_of(file: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(file)?;
    #[cfg(not(target_os = "linux"))]
    rustix::fs::sync();
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use keycell_protocol::{Epoch, Generation, ZoneSigners};

    use super::super::super::output::Output;
    use super::*;

    fn made(name: &str, secret: u8) -> Made {
        Made {
            name: name.parse().unwrap(),
            secret: Zeroizing::new([secret; 32]),
            generation: Generation(1),
            epoch: Epoch(20_000),
        }
    }

    fn write(keys: KeyFiles, made: &[Made], resumed: bool) -> Outcome<PathBuf> {
        let address = KdcAddress { urls: vec!["https://a:1".to_owned()], tls_roots: "roots".to_owned() };
        let progress = Progress::new(&Output { json: true }, "key files", None);
        let trusted =
            vec![ZoneSigners { zone: "other".parse().unwrap(), signers: vec![SignerKey::new([8; 32])] }];
        let trusted = TrustedSigners::new("z", trusted).unwrap();
        let kdc = Known { address, signers: vec![SignerKey::new([9; 32])], trusted };
        keys.write(made, RatchetPeriod::DEFAULT, &kdc, resumed, progress)
    }

    #[test]
    fn a_folder_is_filled_again_but_nothing_in_it_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/keys");
        let keys = || KeyFiles::folder(&path).unwrap();
        let two = [made("a@z", 1), made("b@z", 2)];
        write(keys(), &two, false).unwrap();
        let file = path.join("a.key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let read = AgentKey::load(&file).unwrap();
        assert_eq!((read.key.expose_secret(), &read.signers[..]), (&[1; 32], &[SignerKey::new([9; 32])][..]));
        assert_eq!(read.trusted.of("other"), [SignerKey::new([8; 32])]);
        // Once more, with one that was cut off.
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..100]).unwrap();
        assert!(write(keys(), &two, false).is_err());
        write(keys(), &two, true).unwrap();
        assert_eq!(fs::read(&file).unwrap(), whole);
        // Another key, or something else, stays.
        for content in [AgentKey::load(path.join("b.key")).unwrap().to_json().to_vec(), b"precious".to_vec()]
        {
            fs::write(&file, &content).unwrap();
            assert!(write(keys(), &two, true).is_err());
            assert_eq!(fs::read(&file).unwrap(), content);
        }
    }

    #[test]
    fn what_somebody_put_in_the_way_does_not_get_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let (open, elsewhere) = (fs::Permissions::from_mode(0o666), folder.path().join("elsewhere"));
        let file = folder.path().join("a.key");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, open.clone()).unwrap();
        fs::hard_link(&file, &elsewhere).unwrap();
        write(KeyFiles::folder(folder.path()).unwrap(), &[made("a@z", 1)], true).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&elsewhere).unwrap(), b"");
        fs::remove_file(&file).unwrap();
        symlink(&elsewhere, &file).unwrap();
        assert!(write(KeyFiles::folder(folder.path()).unwrap(), &[made("a@z", 1)], true).is_err());

        let part = folder.path().join("keys.part");
        symlink(&elsewhere, &part).unwrap();
        let recipients = [age::x25519::Identity::generate().to_public().to_string()];
        let recipients = Recipients::read(&recipients, None).unwrap();
        let path = folder.path().join("keys");
        write(KeyFiles::archive(&path, &recipients, false).unwrap(), &[made("a@z", 1)], false).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(&elsewhere).unwrap(), b"");
    }

    #[test]
    fn an_archive_opens_for_its_recipients_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.tar.age");
        let identity = age::x25519::Identity::generate();
        let recipients = [identity.to_public().to_string()];
        let recipients = Recipients::read(&recipients, None).unwrap();
        let archive = || KeyFiles::archive(&path, &recipients, false);
        write(archive().unwrap(), &[made("a@z", 1), made("b@z", 2)], false).unwrap();
        assert!(archive().is_err(), "it is there");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let open = |identity: &age::x25519::Identity| {
            let decryptor = age::Decryptor::new(File::open(&path).unwrap()).unwrap();
            decryptor.decrypt(std::iter::once(identity as &dyn age::Identity))
        };
        assert!(open(&age::x25519::Identity::generate()).is_err());
        let mut tar = tar::Archive::new(open(&identity).unwrap());
        let mut names = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mode().unwrap(), 0o600);
            names.push(entry.path().unwrap().to_string_lossy().into_owned());
            let mut json = Vec::new();
            entry.read_to_end(&mut json).unwrap();
            let key = AgentKey::from_json(&json).unwrap();
            assert_eq!(key.key.expose_secret(), &[u8::try_from(names.len()).unwrap(); 32]);
        }
        assert_eq!(names, ["a.key", "b.key"]);
    }

    #[test]
    fn recipients_are_checked_before_anything_is_done() {
        let read = |text: &str| Recipients::read(&[text.to_owned()], None).map(drop);
        assert!(read(&age::x25519::Identity::generate().to_public().to_string()).is_ok());
        assert!(read("age1").is_err() && Recipients::read(&[], None).is_err());
        use age::secrecy::ExposeSecret as _;
        let secret = age::x25519::Identity::generate().to_string();
        let error = read(secret.expose_secret()).unwrap_err().to_string();
        assert!(!error.contains(secret.expose_secret()), "{error}");
    }
}

//! What a host has to enroll with, in one folder.

mod error;
mod folder;
mod pair;

use core::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use keycell_protocol::{
    AuthorKey, AuthorPublicKey, Bundle, EnrolledName, Fingerprint, HostName, JoinToken, Name, ServiceName,
    SuccessionError, Zone,
};
use rustix::fs::{FlockOperation, flock};

use crate::enrollment::Enrollment;
use crate::keyfile::AgentKey;

pub use error::HostStoreError;
use folder::{Folder, For, Turn};
use pair::{MAX_PUBLIC, Paths, Public, lock, make_seed, read_seed};

/// One folder with what a host needs to come aboard a zone, and what it is given there. Only its owner may look into it.
///
/// ```text
/// 0700  the folder
/// 0644  example.com.bundle                        where the zone's KDCs are, and by which keys they are known
/// 0644  nanoprobe.web1.example.com@example.com.pub    the public half of the host's own key, and its fingerprint
/// 0600  nanoprobe.web1.example.com@example.com.seed   its secret half: made once, never overwritten
/// 0600  nanoprobe.web1.example.com@example.com.key    the key file: what enrolling gave
/// ```
///
/// The pair is named after the service and the host: a host that was renamed, or copied and renamed, makes a pair of its
/// own and leaves the other alone, and several services of a host stand beside each other. A link in the place of a file
/// is refused, and so is what others could read or change, with the command that mends it.
#[derive(Debug, Clone)]
pub struct HostStore(Folder);

impl HostStore {
    /// Opens a folder, and makes it if there is none; the folder above must be there.
    ///
    /// # Errors
    /// [`HostStoreError`], also when anybody else could look into it.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, HostStoreError> {
        Folder::open(folder.as_ref()).map(Self)
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// The bundle of a zone, if there is one.
    ///
    /// # Errors
    /// [`HostStoreError`].
    pub fn bundle(&self, zone: &Zone) -> Result<Option<Bundle>, HostStoreError> {
        let path = self.bundle_path(zone);
        let Some(file) = folder::open(&path, For::Everybody)? else { return Ok(None) };
        let json = folder::read(&file, &path, Bundle::MAX as u64)?;
        let bundle = Bundle::from_json(&json).map_err(|error| error.to_string());
        match bundle.and_then(|bundle| {
            if bundle.zone == *zone { Ok(bundle) } else { Err(format!("it is of the zone {}", bundle.zone)) }
        }) {
            Ok(bundle) => Ok(Some(bundle)),
            Err(what) => Err(HostStoreError::Form { path, what }),
        }
    }

    /// Takes a bundle that came with the host's software, unless the one that is there is of a later identity of the KDC.
    /// Once a service of the folder is enrolled in the zone, the one that is there came from the KDC itself: then only a
    /// later identity replaces it, for nothing else tells which of two bundles is the newer.
    /// Gives the one that counts: if that is another, and of another identity, [`Bundle::accepts`] of it says why.
    ///
    /// # Errors
    /// [`HostStoreError::OtherKdc`] when the two are not of one KDC: one has other keys than the other, or another successor.
    pub fn install(&self, bundle: Bundle) -> Result<Bundle, HostStoreError> {
        if self.bundle(&bundle.zone)?.is_some_and(|known| known == bundle) {
            return Ok(bundle);
        }
        let turn = self.0.turn()?;
        if let Some(known) = self.bundle(&bundle.zone)?
            && known.accepts(&bundle).is_ok()
            && known.identities.first() == bundle.identities.first()
            && self.0.has(&format!("@{}.key", bundle.zone))?
        {
            return Ok(known);
        }
        self.put(bundle, &turn)
    }

    /// The pair of a service on a host, which is made now if there is none. It is this process's alone as long as the value
    /// lives.
    ///
    /// # Errors
    /// [`HostStoreError::InUse`] when another process has it, and [`HostStoreError`].
    pub fn host(
        &self,
        zone: &Zone,
        service: &ServiceName,
        host: &HostName,
    ) -> Result<StoredHost, HostStoreError> {
        let paths = self.paths(zone, service, host);
        // Before the secret half is looked for: another process may just be making both, that one first.
        let other = [&paths.public, &paths.key].into_iter().find(|path| path.symlink_metadata().is_ok());
        let held = match folder::open(&paths.seed, For::Owner)? {
            Some(held) => held,
            None => match other {
                Some(other) => {
                    return Err(HostStoreError::NoSeed { seed: paths.seed, other: other.clone() });
                }
                None => make_seed(&paths.seed, &self.0.turn()?)?,
            },
        };
        lock(&held, &paths.seed)?;
        let key = read_seed(&held, &paths.seed)?;
        let fingerprint = Fingerprint::of(&key.public());
        let name = EnrolledName { service: service.clone(), host: host.clone(), fingerprint };
        self.check_public(&paths, &name, zone, key.public())?;
        Ok(StoredHost { store: self.clone(), zone: zone.clone(), name, key, paths, held })
    }

    /// Under which name a service on a host is enrolled, if it is.
    ///
    /// # Errors
    /// [`HostStoreError`] when its key file cannot be read.
    pub fn enrolled(
        &self,
        zone: &Zone,
        service: &ServiceName,
        host: &HostName,
    ) -> Result<Option<Name>, HostStoreError> {
        let path = self.paths(zone, service, host).key;
        match folder::open(&path, For::Owner)? {
            Some(file) => Ok(Some(AgentKey::read(&file, &path)?.name)),
            None => Ok(None),
        }
    }

    /// Where the bundle of a zone is, or will be.
    #[must_use]
    pub fn bundle_path(&self, zone: &Zone) -> PathBuf {
        self.0.file(&format!("{zone}.bundle"))
    }

    /// Where the key file of a service on a host is, or will be.
    #[must_use]
    pub fn key_path(&self, zone: &Zone, service: &ServiceName, host: &HostName) -> PathBuf {
        self.paths(zone, service, host).key
    }

    /// Puts a bundle in its place, unless that would be a step back.
    fn put(&self, bundle: Bundle, turn: &Turn) -> Result<Bundle, HostStoreError> {
        let path = self.bundle_path(&bundle.zone);
        if let Some(known) = self.bundle(&bundle.zone)? {
            match known.accepts(&bundle) {
                Ok(()) if known == bundle => return Ok(known),
                Ok(()) => {}
                Err(SuccessionError::Earlier { .. }) => return Ok(known),
                Err(why) => return Err(HostStoreError::OtherKdc { path, zone: bundle.zone, why }),
            }
        }
        turn.replace(&path, &bundle.to_json(), For::Everybody)?;
        Ok(bundle)
    }

    /// The public half says what the secret one is; one that is missing is written.
    fn check_public(
        &self,
        paths: &Paths,
        name: &EnrolledName,
        zone: &Zone,
        key: AuthorPublicKey,
    ) -> Result<(), HostStoreError> {
        let public = Public {
            zone: zone.clone(),
            service: name.service.clone(),
            host: name.host.clone(),
            public_key: key,
            fingerprint: name.fingerprint,
        };
        let path = &paths.public;
        let Some(file) = folder::open(path, For::Everybody)? else {
            self.0.turn()?.write_new(path, &public.to_json(), For::Everybody)?;
            return Ok(());
        };
        let json = folder::read(&file, path, MAX_PUBLIC)?;
        let read: Public = serde_json::from_slice(&json).map_err(|error| HostStoreError::Form {
            path: path.clone(),
            what: format!("it is no public key: see line {}, column {}", error.line(), error.column()),
        })?;
        if read == public {
            Ok(())
        } else {
            Err(HostStoreError::NotAPair { public: path.clone(), seed: paths.seed.clone() })
        }
    }

    fn paths(&self, zone: &Zone, service: &ServiceName, host: &HostName) -> Paths {
        // Letters, digits, `.`, `-` and `_`, and 217 bytes of them at the most: a name that every file system takes.
        let file = |end: &str| self.0.file(&format!("{service}.{host}@{zone}.{end}"));
        Paths { public: file("pub"), seed: file("seed"), key: file("key") }
    }
}

/// What this system calls itself.
///
/// # Errors
/// [`HostStoreError::HostName`] when that is no host name, or one that every host has.
pub fn this_host() -> Result<HostName, HostStoreError> {
    let uname = rustix::system::uname();
    let text = uname.nodename().to_string_lossy();
    let name = HostName::canonical(&text).ok();
    name.filter(|name| name.as_str() != "localhost" && !name.as_str().starts_with("localhost."))
        .ok_or_else(|| HostStoreError::HostName { text: text.into_owned() })
}

/// A service on a host with its pair of keys, which no other process uses.
pub struct StoredHost {
    store: HostStore,
    zone: Zone,
    name: EnrolledName,
    key: AuthorKey,
    paths: Paths,
    /// The secret half, locked. It is never replaced, so that the lock is of all processes that ever look for it.
    held: File,
}

impl StoredHost {
    /// Which zone it is for.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// What it is called, without the zone.
    #[must_use]
    pub const fn name(&self) -> &EnrolledName {
        &self.name
    }

    /// What it is called once it is enrolled.
    #[must_use]
    pub fn full_name(&self) -> Name {
        self.name.name(&self.zone)
    }

    /// What it proves with that it is itself, and that it wrote something.
    #[must_use]
    pub const fn key(&self) -> &AuthorKey {
        &self.key
    }

    /// Where its key file is, or will be.
    #[must_use]
    pub fn key_path(&self) -> &Path {
        &self.paths.key
    }

    /// Whether it has a key file.
    ///
    /// # Errors
    /// [`HostStoreError`] when that cannot be used.
    pub fn is_enrolled(&self) -> Result<bool, HostStoreError> {
        let enrolled = self.store.enrolled(&self.zone, &self.name.service, &self.name.host)?;
        match enrolled {
            Some(name) if name != self.full_name() => Err(HostStoreError::Form {
                path: self.paths.key.clone(),
                what: format!("it is of {name}, and this host's own key makes it {}", self.full_name()),
            }),
            enrolled => Ok(enrolled.is_some()),
        }
    }

    /// The bundle of its zone.
    ///
    /// # Errors
    /// [`HostStoreError::NoBundle`] when there is none.
    pub fn bundle(&self) -> Result<Bundle, HostStoreError> {
        self.store.bundle(&self.zone)?.ok_or_else(|| HostStoreError::NoBundle {
            folder: self.store.folder().to_owned(),
            zone: self.zone.clone(),
        })
    }

    /// Takes the bundle that came in a sealed answer.
    ///
    /// # Errors
    /// [`HostStoreError`]; then the one before is still there.
    pub fn keep_bundle(&self, bundle: &Bundle) -> Result<(), HostStoreError> {
        if self.store.bundle(&self.zone)?.is_some_and(|known| known == *bundle) {
            // Nothing to write: in a folder that is read-only that is no failure.
            return Ok(());
        }
        self.store.put(bundle.clone(), &self.store.0.turn()?).map(|_| ())
    }

    /// How it enrolls, or enrolls again. A host that is known needs no token.
    ///
    /// # Errors
    /// [`HostStoreError`] as from [`bundle`](Self::bundle).
    pub fn enrollment(&self, token: Option<JoinToken>) -> Result<Enrollment, HostStoreError> {
        let EnrolledName { service, host, fingerprint: _ } = self.name.clone();
        let bundle = self.bundle()?;
        Enrollment::new(bundle, service, host, self.key.clone(), token, crate::system_rng()).ok_or_else(
            || HostStoreError::NoBundle { folder: self.store.folder().to_owned(), zone: self.zone.clone() },
        )
    }

    /// Writes the first key file.
    ///
    /// # Errors
    /// [`HostStoreError::KeyFile`], also when there is one: that is never overwritten.
    pub fn keep_key(&self, key: &AgentKey) -> Result<(), HostStoreError> {
        let _turn = self.store.0.turn()?;
        Ok(key.write_new(&self.paths.key)?)
    }
}

impl fmt::Debug for StoredHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, zone, name, key: _, paths: _, held: _ } = self;
        let folder = store.folder();
        f.debug_struct("StoredHost")
            .field("folder", &folder)
            .field("zone", zone)
            .field("name", name)
            .finish_non_exhaustive()
    }
}

impl Drop for StoredHost {
    fn drop(&mut self) {
        // Closing is not enough while a child process that is just being made has the file open too.
        let _ = flock(&self.held, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests;

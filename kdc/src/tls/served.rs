//! The certificate that a running server shows, which changes under it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use keycell_protocol::UnixMillis;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

use super::pair::Pair;
use super::{TlsError, provider};
use crate::config::Tls;

/// The server's certificate. Connections that are open keep the one that they began with.
pub struct Served {
    pair: ArcSwap<Pair>,
    /// Why the files are not taken, as long as they are not.
    refused: Mutex<Option<String>>,
}

/// What a look at the files found.
#[derive(Debug)]
pub enum Look {
    /// What is served, or what was refused before.
    Nothing,
    /// Another certificate, which is served from now on.
    Taken,
    /// Something that cannot be served: what was served before is still.
    Refused(TlsError),
}

impl Served {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn load(files: &Tls) -> Result<Arc<Self>, TlsError> {
        let pair = ArcSwap::from_pointee(Pair::read(files)?);
        Ok(Arc::new(Self { pair, refused: Mutex::default() }))
    }

    /// What a server needs to show it.
    ///
    /// # Errors
    /// [`TlsError::Pair`] when the library refuses the suites: never.
    pub fn server(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(TlsError::Pair)?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.ignore_client_order = true;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Looks at the files, and takes what is new there if it is whole.
    pub fn look(&self, files: &Tls) -> Look {
        match Pair::read(files) {
            Ok(pair) => {
                if self.take(pair) {
                    Look::Taken
                } else {
                    Look::Nothing
                }
            }
            Err(error) => {
                let text = error.to_string();
                let before = self.refused().replace(text.clone());
                if before.as_ref() == Some(&text) { Look::Nothing } else { Look::Refused(error) }
            }
        }
    }

    /// Serves this one from now on. Says whether it is another one.
    pub fn take(&self, pair: Pair) -> bool {
        *self.refused() = None;
        let another = !self.pair.load().is(&pair);
        self.pair.store(Arc::new(pair));
        another
    }

    /// When the certificate ends, if it says so.
    #[must_use]
    pub fn ends_at(&self) -> Option<UnixMillis> {
        self.pair.load().ends_at()
    }

    /// When the root ends that signed it, if that is known.
    #[must_use]
    pub fn root_ends_at(&self) -> Option<UnixMillis> {
        self.pair.load().root_ends_at()
    }

    /// Why the files are not taken, while they are not.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.refused().clone()
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair.load().certified().clone())
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pair: _, refused } = self;
        f.debug_struct("Served").field("refused", refused).finish_non_exhaustive()
    }
}

//! How another zone's KDCs are reached.

use std::sync::Arc;
use std::time::Duration;

use keycell_client::https::{ConnectError, Https, Transport};

/// Makes connections to the KDCs of another zone: over HTTPS, or in a test to a KDC in the same process.
pub trait Connect: Send + Sync + 'static {
    /// To those whose certificates go back to `roots`, in PEM, and to no others. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ConnectError`] when `roots` are none.
    fn connect(&self, roots: &str) -> Result<Arc<dyn Transport>, ConnectError>;
}

/// TLS 1.3 over connections that are kept, as agents reach a KDC; no proxy, no redirect.
#[derive(Debug, Clone, Copy)]
pub struct OverHttps;

impl Connect for OverHttps {
    fn connect(&self, roots: &str) -> Result<Arc<dyn Transport>, ConnectError> {
        Ok(Arc::new(Https::new(roots, CONNECT)?))
    }
}

/// A connection that takes longer is no use to who waits for it.
const CONNECT: Duration = Duration::from_secs(10);

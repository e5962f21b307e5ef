//! Coming aboard, for programs without a runtime.

use keycell_protocol::Name;
use tokio::runtime::Builder;

use crate::StoredHost;
use crate::https::{ConnectError, EnrollError, EnrollOptions};

/// As [`https::enroll`](crate::https::enroll), until it is done.
///
/// Not for use inside an async runtime: there it would stop everything else, so it panics.
///
/// # Errors
/// [`EnrollError`].
pub fn enroll(host: &StoredHost, options: &EnrollOptions) -> Result<Name, EnrollError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(ConnectError::Thread)?;
    runtime.block_on(crate::https::enroll(host, options))
}

//! Work that takes milliseconds.

use std::sync::Arc;

use keycell_protocol::ProblemType;

use super::problem::Failure;
use crate::kdc::Kdc;

/// Does it not on a thread that others wait for, and no more of it at a time than there are cores. The place is given back
/// by the work itself, also when nobody waits for it any more.
pub(super) async fn heavily<T: Send + 'static>(
    kdc: &Arc<Kdc>,
    work: impl FnOnce(&Kdc) -> T + Send + 'static,
) -> Result<T, Failure> {
    let place = kdc.heavy().acquire_owned().await.map_err(|_| Failure::new(ProblemType::Internal))?;
    let kdc = kdc.clone();
    let work = tokio::task::spawn_blocking(move || {
        let _place = place;
        work(&kdc)
    });
    work.await.map_err(|_| Failure::new(ProblemType::Internal))
}

//! The KDC's identities, as administrators and everybody else see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keycell_protocol::{IdentityName, KdcIdentity};

use super::{AdminError, Ledger};
use crate::api::{IdentitiesView, IdentityView, PrivateHalf};
use crate::audit::hex;
use crate::identities::secret_name;
use crate::metrics::IdentityMetrics;
use crate::store::StoreError;

/// Where it is known which identities there are, and where their private halves are.
pub struct IdentityDesk {
    ledger: Arc<Ledger>,
    metrics: IdentityMetrics,
    /// Whether the secondary's private half was in the database when it was last looked at.
    on_disk: AtomicBool,
}

impl IdentityDesk {
    pub(crate) const fn new(ledger: Arc<Ledger>, metrics: IdentityMetrics) -> Self {
        Self { ledger, metrics, on_disk: AtomicBool::new(false) }
    }

    /// What everybody may know of them, the primary first.
    #[must_use]
    pub fn public(&self) -> Vec<KdcIdentity> {
        self.ledger.directory().settings().identities.identities.clone()
    }

    /// The identities, and where their private halves are.
    ///
    /// # Errors
    /// The database's.
    pub async fn show(&self) -> Result<IdentitiesView, AdminError> {
        let mut identities = Vec::new();
        for KdcIdentity { name, signing_key, encryption_key } in self.public() {
            let private_half = match self.is_here(name).await? {
                true => PrivateHalf::InDatabase,
                false => PrivateHalf::CarriedOff,
            };
            let signer = hex::encode(signing_key.id().as_bytes());
            identities.push(IdentityView { name, signing_key, signer, encryption_key, private_half });
        }
        Ok(IdentitiesView { identities })
    }

    /// Looks whether the secondary's private half is still here, where who takes this machine takes it too.
    ///
    /// # Errors
    /// The database's.
    pub async fn look(&self) -> Result<bool, StoreError> {
        let here = self.is_here(IdentityName::SECONDARY).await?;
        self.on_disk.store(here, Ordering::Relaxed);
        self.metrics.secondary_on_disk.set(i64::from(here));
        Ok(here)
    }

    /// What [`look`](Self::look) found last.
    #[must_use]
    pub fn secondary_on_disk(&self) -> bool {
        self.on_disk.load(Ordering::Relaxed)
    }

    async fn is_here(&self, name: IdentityName) -> Result<bool, StoreError> {
        Ok(self.ledger.store().secret(&secret_name(name)).await?.is_some())
    }
}

/// What is said while the secondary's private half is in the database.
pub const SECONDARY_ON_DISK: &str = "the private half of the secondary identity #KDC#00002 is in the database, where who \
    steals the primary steals it too: `keycell identity carry-off FILE` on the KDC's machine writes it to a file, to be kept \
    elsewhere";

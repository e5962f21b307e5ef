//! The KDC's identities, as administrators and everybody else see them.

use std::fmt;
use std::sync::Arc;

use keycell_protocol::{IdentityName, KdcIdentity};

use super::{AdminError, Ledger};
use crate::api::{IdentitiesView, IdentityState, IdentityView, PrivateHalf};
use crate::audit::hex;
use crate::identities::secret_name;
use crate::metrics::IdentityMetrics;
use crate::settings::{IdentitiesSetting, RetiredIdentity};
use crate::store::StoreError;

/// Where it is known which identities there are, and where their private halves are.
pub struct IdentityDesk {
    ledger: Arc<Ledger>,
    metrics: IdentityMetrics,
}

impl IdentityDesk {
    pub(crate) const fn new(ledger: Arc<Ledger>, metrics: IdentityMetrics) -> Self {
        Self { ledger, metrics }
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
        let IdentitiesSetting { identities: present, retired } =
            self.ledger.directory().settings().identities.clone();
        let states = [IdentityState::Primary, IdentityState::Secondary];
        let mut identities = Vec::new();
        for (KdcIdentity { name, signing_key, encryption_key }, state) in present.into_iter().zip(states) {
            let private_half = match self.is_here(name).await? {
                true => PrivateHalf::InDatabase,
                false => PrivateHalf::Exported,
            };
            let signer = hex::encode(signing_key.id().as_bytes());
            let retired_at = None;
            identities.push(IdentityView {
                name,
                state,
                signing_key,
                signer,
                encryption_key,
                private_half,
                retired_at,
            });
        }
        for RetiredIdentity { name, signing_key, encryption_key, retired_at } in retired.into_iter().rev() {
            let private_half = match self.is_here(name).await? {
                true => PrivateHalf::InDatabase,
                false => PrivateHalf::Deleted,
            };
            let (state, retired_at) = (IdentityState::Retired, Some(retired_at));
            let signer = hex::encode(signing_key.id().as_bytes());
            identities.push(IdentityView {
                name,
                state,
                signing_key,
                signer,
                encryption_key,
                private_half,
                retired_at,
            });
        }
        Ok(IdentitiesView { identities })
    }

    /// Looks whether the secondary's private half is still here, where who takes this machine takes it too. Says what is to
    /// be said of it then.
    ///
    /// # Errors
    /// The database's.
    pub async fn look(&self) -> Result<Option<SecondaryOnDisk>, StoreError> {
        let settings = self.ledger.directory().settings();
        let number = settings.identities.primary().map_or(0, |primary| primary.name.number());
        self.metrics.primary.set(number.into());
        let secondary = settings.identities.secondary().map(|secondary| secondary.name);
        let here = match secondary {
            Some(name) => self.is_here(name).await?,
            None => false,
        };
        self.metrics.secondary_on_disk.set(i64::from(here));
        Ok(secondary.filter(|_| here).map(SecondaryOnDisk))
    }

    async fn is_here(&self, name: IdentityName) -> Result<bool, StoreError> {
        Ok(self.ledger.store().secret(&secret_name(name)).await?.is_some())
    }
}

/// The private half of this secondary identity is in the database: what is said until it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecondaryOnDisk(pub IdentityName);

impl fmt::Display for SecondaryOnDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name) = self;
        write!(
            f,
            "the private half of the secondary identity {name} is in the database, where who steals the primary steals it \
             too: `keycell identity export-secondary FILE` on the KDC's machine writes it to a file, to be kept elsewhere"
        )
    }
}

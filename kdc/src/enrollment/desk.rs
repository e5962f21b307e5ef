//! Where requests to enroll are opened and settled.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use keycell_protocol::{IdentitySecret, KdcIdentity, SealedEnrollment};

use super::{Committer, EnrollError, Opened, Opener, Request, Settled};
use crate::administration::{Keys, Ledger};
use crate::http::chain;
use crate::identities::private_half;
use crate::metrics::EnrollmentMetrics;

/// Opens requests to enroll, and settles them.
pub struct EnrollmentDesk {
    ledger: Arc<Ledger>,
    opener: Opener,
    committer: Committer,
    /// What opens that which is written to the identity: kept, for it takes the database to get at it.
    secret: ArcSwapOption<(KdcIdentity, Arc<IdentitySecret>)>,
}

impl EnrollmentDesk {
    pub(crate) fn new(ledger: Arc<Ledger>, keys: Keys, metrics: &EnrollmentMetrics) -> Self {
        Self {
            opener: Opener::start(metrics.waiting.clone()),
            committer: Committer::new(ledger.clone(), keys, metrics.clone()),
            secret: ArcSwapOption::empty(),
            ledger,
        }
    }

    /// The identity that the KDC works with: nothing is answered under any other.
    #[must_use]
    pub fn primary(&self) -> Option<KdcIdentity> {
        self.ledger.directory().settings().identities.identities.first().cloned()
    }

    /// Opens a request that was written to that identity.
    ///
    /// # Errors
    /// [`EnrollError`].
    pub async fn open(&self, sealed: SealedEnrollment, to: &KdcIdentity) -> Result<Opened, EnrollError> {
        let secret = self.secret(to).await?;
        Ok(self.opener.open(sealed, secret).await?)
    }

    /// Settles a request, as [`Committer::settle`].
    ///
    /// # Errors
    /// [`EnrollError::Unsettled`].
    pub async fn settle(&self, request: Request) -> Result<Settled, EnrollError> {
        Ok(self.committer.settle(request).await?)
    }

    async fn secret(&self, to: &KdcIdentity) -> Result<Arc<IdentitySecret>, EnrollError> {
        if let Some(known) = &*self.secret.load()
            && known.0 == *to
        {
            return Ok(known.1.clone());
        }
        let identity = private_half(&self.ledger, to).await.map_err(|error| {
            tracing::error!(identity = %to.name, error = chain(&error), "the private half of the primary identity cannot be had");
            EnrollError::NoIdentity
        })?;
        let Some(identity) = identity else {
            tracing::error!(identity = %to.name, "the private half of the primary identity is not in the database");
            return Err(EnrollError::NoIdentity);
        };
        let secret = Arc::new(identity.encryption().clone());
        self.secret.store(Some(Arc::new((to.clone(), secret.clone()))));
        Ok(secret)
    }
}

//! Keeping the server's certificate good, without anybody who restarts it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Kdc;
use crate::certificates::{self, Renewed, When};
use crate::http::chain;
use crate::tls::{Look, Served};

impl Kdc {
    /// The server's certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Arc<Served> {
        &self.certificate
    }

    /// Looks at the certificate's files again and again until told to stop, and renews it where the cell can.
    pub async fn watch_certificate(self: Arc<Self>, stop: CancellationToken) {
        let mut renewed_at: Option<Instant> = None;
        loop {
            if self.is_due() && renewed_at.is_none_or(|at| at.elapsed() >= TRY_EVERY) {
                renewed_at = Some(Instant::now());
                self.clone().renew().await;
            }
            self.clone().look().await;
            let every = Duration::from_secs(self.config().tls.look_every_seconds.into());
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(every) => {}
            }
        }
    }

    /// Whether the certificate is in its last days and the KDC may renew it.
    fn is_due(&self) -> bool {
        let soon = self.now().plus(certificates::DUE_DAYS * DAY_MS);
        self.config().tls.renew && self.certificate.ends_at().is_some_and(|end| end < soon)
    }

    async fn renew(self: Arc<Self>) {
        let renew = move || certificates::renew(&self.config(), self.now(), When::Due);
        match tokio::task::spawn_blocking(renew).await {
            Ok(Ok(Renewed::Done { ends_at })) => {
                tracing::info!(ends_at = ends_at.0, "the server's certificate is renewed");
            }
            // What is not the cell's own is for somebody else to replace: `status` warns of it.
            Ok(Ok(Renewed::NotDue | Renewed::NotOurs)) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::error!(error = chain(&error), "the server's certificate cannot be renewed");
            }
        }
    }

    async fn look(self: Arc<Self>) {
        // A reload may change where the files are: what is read must be of the configuration that is in force.
        let _one_at_a_time = self.reloading.lock().await;
        let kdc = self.clone();
        let look = move || kdc.certificate.look(&kdc.config().tls);
        match tokio::task::spawn_blocking(look).await {
            Ok(Look::Taken) => {
                let ends_at = self.certificate.ends_at().map(|end| end.0);
                tracing::info!(ends_at, "another certificate is served from now on");
            }
            Ok(Look::Refused(error)) => {
                self.metrics.running.certificates_refused.inc();
                let error = chain(&error);
                tracing::error!(error, "the certificate in the files cannot be served: the one before stays");
            }
            Ok(Look::Nothing) | Err(_) => {}
        }
    }
}

/// Between two tries to renew.
const TRY_EVERY: Duration = Duration::from_secs(3600);
const DAY_MS: u64 = 86_400_000;

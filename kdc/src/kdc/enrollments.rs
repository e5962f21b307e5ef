//! How hosts come aboard: the whole path from the bytes of a request to the sealed answer (docs/protocol.md §10).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keycell_protocol::{
    Bundle, Enrolled, EnrolledName, EnrollmentReply, EnrollmentRequest, IdentityName, JoinToken, JoinTokenId,
    Name, SealedEnrollment,
};

use super::Kdc;
use crate::audit::hex;
use crate::enrollment::{Applicant, EnrollError, How, Refusal, Request, Settled, TokenRefusal, retry_after};

impl Kdc {
    /// Answers a request to enroll. See it through to its end: it may commit for others too.
    ///
    /// # Errors
    /// [`EnrollError`].
    pub async fn enroll(
        &self,
        json: &[u8],
        id: Option<String>,
        address: IpAddr,
    ) -> Result<Vec<u8>, EnrollError> {
        let address = address.to_canonical();
        let outcome = self.enrolled(json, id, address).await;
        let metrics = &self.metrics.enrollment;
        match &outcome {
            Ok(_) => {}
            Err(EnrollError::Refused(refusal)) => metrics.refuse(*refusal),
            Err(EnrollError::Overloaded) => metrics.count("overloaded"),
            Err(_) => metrics.count("failed"),
        }
        outcome
    }

    async fn enrolled(
        &self,
        json: &[u8],
        id: Option<String>,
        address: IpAddr,
    ) -> Result<Vec<u8>, EnrollError> {
        self.limits.enrollment(address).map_err(EnrollError::TooOften)?;
        let networks = &self.directory.settings().enrollment.networks;
        if !networks.is_empty() && !networks.iter().any(|network| network.contains(&address)) {
            return Err(self.refused(Refusal::Network, None, None, address));
        }
        let sealed = SealedEnrollment::parse(json).map_err(|_| EnrollError::Malformed)?;
        if sealed.zone() != self.zone() {
            return Err(EnrollError::Zone);
        }
        let primary = self.enrollments.primary().ok_or(EnrollError::NoIdentity)?;
        if sealed.identity() != primary.name {
            return Err(EnrollError::Identity(primary.name));
        }
        // Before anything is written: what was settled is to be answered.
        let bundle = self.recent_bundle().await.ok_or(EnrollError::NoIdentity)?;
        let digest = hex::encode(&sealed.digest());
        let (request, keys) = self.enrollments.open(sealed, &primary).await?;
        if request.timestamp.distance(self.now()) > self.skew_ms {
            return Err(EnrollError::ClockSkew);
        }
        let applicant = applicant(&request, primary.name, digest, address);
        let (name, token) = (applicant.name(self.zone()), applicant.token.as_ref().map(JoinToken::id));
        let asked = Request { applicant, name: name.clone(), keys: keys.clone(), id };
        let settled = self.enrollments.settle(asked).await?;
        let (metrics, random) = (&self.metrics.enrollment, &mut crate::random::system());
        match settled {
            Settled::Enrolled { generation, epoch, state, how } => {
                metrics.count(match how {
                    How::New => "enrolled",
                    How::Renewed => "renewed",
                    How::Again => "again",
                });
                tracing::info!(party = %name, %generation, ?how, "a host is aboard");
                let ratchet_period = self.zone.ratchet_period;
                let enrolled = Enrolled { name, generation, epoch, state, ratchet_period, bundle };
                Ok(EnrollmentReply::seal_enrolled(&request, self.now(), &enrolled, &keys, random))
            }
            Settled::Pending { since, again } => {
                metrics.count("pending");
                if !again {
                    tracing::info!(party = %name, "a host waits for an administrator: `keycell enroll pending`");
                }
                let now = self.now();
                Ok(EnrollmentReply::seal_pending(&request, now, retry_after(since, now), &keys, random))
            }
            Settled::Replayed => Err(EnrollError::Replayed),
            Settled::TooSoon(wait) => Err(EnrollError::TooSoon(wait)),
            Settled::Refused(refusal) => Err(self.refused(refusal, Some(&name), token, address)),
        }
    }

    /// Tells the logs why: the host is not told.
    fn refused(
        &self,
        refusal: Refusal,
        name: Option<&Name>,
        token: Option<JoinTokenId>,
        address: IpAddr,
    ) -> EnrollError {
        let party = name.map(Name::as_str);
        let field = token.map(tracing::field::display);
        tracing::info!(party, token = field, %address, cause = %refusal, "a host is refused");
        // A stranger says any name that it likes, and is not to fill the audit log with them.
        let target = match refusal {
            Refusal::Disabled | Refusal::Damaged | Refusal::ByHand => party.map(str::to_owned),
            // Its key was denied, whatever it says to be.
            Refusal::Denied => name.and_then(EnrolledName::of).map(|name| name.fingerprint.to_string()),
            Refusal::Token(TokenRefusal::Unknown) => None,
            Refusal::Token(_) => token.map(|id| id.to_string()),
            _ => None,
        };
        let target = target.as_deref().unwrap_or_default();
        self.recorder.refused_enrollment(self.now(), address, target, refusal.reason());
        EnrollError::Refused(refusal)
    }

    /// What a host needs before it knows anybody; `None` where the roots that hosts are to trust cannot be read.
    pub async fn bundle(&self) -> Option<Bundle> {
        let config = self.config();
        let roots = &config.tls.roots;
        match tokio::fs::read_to_string(roots).await {
            Ok(tls_roots) => Some(self.bundle_with(tls_roots)),
            Err(error) => {
                tracing::error!(file = %roots.display(), %error, "the roots that hosts are to trust cannot be read");
                None
            }
        }
    }

    /// The same with roots that were read a moment ago.
    async fn recent_bundle(&self) -> Option<Bundle> {
        if let Some(recent) = &*self.roots.load()
            && recent.0.elapsed() < ROOTS
        {
            return Some(self.bundle_with(recent.1.clone()));
        }
        let bundle = self.bundle().await?;
        self.roots.store(Some(Arc::new((Instant::now(), bundle.tls_roots.clone()))));
        Some(bundle)
    }

    fn bundle_with(&self, tls_roots: String) -> Bundle {
        Bundle {
            zone: self.zone().clone(),
            urls: self.config().urls.clone(),
            tls_roots,
            identities: self.identities.public(),
            trusted: self.directory.trusts().trusted(),
        }
    }
}

fn applicant(
    request: &EnrollmentRequest,
    identity: IdentityName,
    digest: String,
    address: IpAddr,
) -> Applicant {
    Applicant {
        service: request.service.clone(),
        host: request.host.clone(),
        public_key: request.public_key,
        token: request.token.clone(),
        identity,
        timestamp: request.timestamp,
        request: digest,
        address,
    }
}

/// For so long the file of the roots is not read again.
const ROOTS: Duration = Duration::from_secs(1);

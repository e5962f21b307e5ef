//! Trust between the cells of `keycell dev`: offered by one and accepted by the other, as two administrators do it.

use keycell_client::protocol::{Bundle, Zone};

use super::Failure;
use super::cell::DevCell;
use crate::administration::{Caller, Precondition};
use crate::api::{NewTrust, TrustPatch};
use crate::trust::Direction;

/// Who of one zone may speak to whom of another: patterns on local names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speakers<'a> {
    pub(super) sources: &'a [&'a str],
    pub(super) destinations: &'a [&'a str],
}

impl DevCell {
    /// Lets parties of `other` speak to parties of this zone: this KDC offers a trust, and the other one accepts it. One
    /// that an earlier run made gets another key.
    ///
    /// # Errors
    /// One of the KDCs fails.
    pub(super) async fn lets_speak(&self, other: &Self, speakers: Speakers<'_>) -> Result<(), Failure> {
        let texts =
            |patterns: &[&str]| Some(patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let terms = TrustPatch {
            sources: texts(speakers.sources),
            destinations: texts(speakers.destinations),
            ..TrustPatch::default()
        };
        let (own, to) = (self.bundle().await?, other.bundle().await?);
        let caller = Caller::console();
        let made = self.kdc().trusts().offer(&caller, (&own, &to), &terms, None, |_| Ok(None)).await?;
        let new = NewTrust {
            offer: made.offer.to_text(),
            fingerprint: Some(own.fingerprint().to_string()),
            sources: None,
            destinations: None,
            lifetime_seconds: None,
            rate: None,
            mode: None,
            log_tickets: None,
            note: None,
        };
        other.kdc().trusts().accept(&caller, &new, &terms, |_| Ok(None)).await?;
        // An earlier run may have ended while it was disabled.
        self.set_trust(other.kdc().zone(), true).await
    }

    /// Enables or disables the trust by which another zone's parties speak to those of this one.
    ///
    /// # Errors
    /// The KDC fails.
    pub(super) async fn set_trust(&self, other: &Zone, enabled: bool) -> Result<(), Failure> {
        let patch = TrustPatch { enabled: Some(enabled), ..TrustPatch::default() };
        let trusts = self.kdc().trusts();
        trusts.update(&Caller::console(), Direction::Incoming, other, &patch, &Precondition::NONE).await?;
        Ok(())
    }

    /// What everybody may know of its KDC.
    ///
    /// # Errors
    /// The KDC cannot read the roots of its certificate.
    pub(super) async fn bundle(&self) -> Result<Bundle, Failure> {
        let bundle = self.kdc().bundle().await;
        bundle.ok_or_else(|| "the KDC cannot read the roots that hosts are to trust".into())
    }
}

//! Who gets in: a token of this zone, or of an issuer outside that the configuration trusts.

use std::sync::Arc;

use arc_swap::ArcSwap;
use keycell_protocol::UnixMillis;

use super::Caller;
use crate::audit::Actor;
use crate::directory::{Directory, Follower};
use crate::oidc::{Issuers, OidcError};
use crate::token::{Flaw, TokenError, TokenKey};

/// Checks administrators' tokens.
pub struct Access {
    key: Arc<TokenKey>,
    issuers: ArcSwap<Issuers>,
    directory: Arc<Directory>,
    follower: Arc<Follower>,
}

impl Access {
    pub(crate) fn new(key: Arc<TokenKey>, issuers: Issuers, follower: Arc<Follower>) -> Self {
        Self { key, issuers: ArcSwap::from_pointee(issuers), directory: follower.directory(), follower }
    }

    /// The issuers outside that count now.
    pub(crate) fn issuers(&self) -> Arc<Issuers> {
        self.issuers.load_full()
    }

    /// From now on these count.
    pub(crate) fn set_issuers(&self, issuers: Issuers) {
        self.issuers.store(Arc::new(issuers));
    }

    /// The administrator that a token is of.
    ///
    /// # Errors
    /// [`AccessError`]; the reason is for the log.
    pub async fn check(&self, token: &str, now: UnixMillis) -> Result<Caller, AccessError> {
        let issuers = self.issuers.load_full();
        if issuers.named_by(token) {
            let identity = issuers.check(token, now).await?;
            return Ok(Caller {
                actor: Actor::External { issuer: identity.issuer, subject: identity.subject },
                role: identity.role,
                token: identity.id,
                expires_at: identity.expires_at.millis(),
                request: None,
                address: None,
            });
        }
        let claims = self.key.check(token, now)?;
        // The signature says that it was made; only the directory knows that it was not taken back.
        let record = match self.directory.token(&claims.jti) {
            Some(record) => Some(record),
            // Made on the console a moment ago, perhaps. A stranger cannot make the KDC look: the signature holds.
            None => {
                let _ = self.follower.catch_up().await;
                self.directory.token(&claims.jti)
            }
        };
        let record =
            record.filter(|record| record.is_told_by(&claims)).ok_or(TokenError::Refused(Flaw::Unknown))?;
        if record.revoked_at.is_some() {
            return Err(TokenError::Refused(Flaw::Revoked).into());
        }
        Ok(Caller {
            actor: Actor::Administrator(record.subject),
            role: record.role,
            token: Some(claims.jti),
            expires_at: record.expires_at,
            request: None,
            address: None,
        })
    }

    /// Whether a token that was checked still holds: for what goes on after its request began. What an issuer outside took
    /// back shows only when it expires.
    #[must_use]
    pub fn still_holds(&self, caller: &Caller, now: UnixMillis) -> bool {
        let known = match (&caller.actor, &caller.token) {
            (Actor::Administrator(_), Some(id)) => {
                self.directory.token(id).is_some_and(|record| record.revoked_at.is_none())
            }
            _ => true,
        };
        known && caller.expires_at > now
    }
}

/// Why somebody does not get in.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The token does not hold.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The issuer's token does not hold, or cannot be checked now.
    #[error(transparent)]
    Issuer(#[from] OidcError),
}

impl AccessError {
    /// Whether it says nothing about the token: its issuer cannot be asked for its keys.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Issuer(OidcError::Away))
    }
    /// The reason in a word or two, for the audit log: one of these few, whatever was sent.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Token(TokenError::Key) => "key",
            Self::Token(TokenError::Refused(flaw)) => flaw.reason(),
            Self::Issuer(error) => match error {
                OidcError::Malformed(_) | OidcError::Type | OidcError::Claim(_) => Flaw::Malformed.reason(),
                OidcError::UnknownIssuer => Flaw::Issuer.reason(),
                OidcError::Algorithm => Flaw::Algorithm.reason(),
                OidcError::UnknownKey | OidcError::Signature => Flaw::Signature.reason(),
                OidcError::Away => "issuer away",
                OidcError::Audience | OidcError::AuthorizedParty => Flaw::Audience.reason(),
                OidcError::Expired => Flaw::Expired.reason(),
                OidcError::NotYet | OidcError::Future => Flaw::NotYet.reason(),
                OidcError::TooLong => "too long",
                OidcError::Subject(_) => "subject",
                OidcError::NoRoles(_) | OidcError::Role(_) => "role",
            },
        }
    }
}

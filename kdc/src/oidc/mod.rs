//! Administrators whose tokens come from an OpenID Connect issuer outside of Keycell.
//!
//! ```text
//! token → Unverified (iss, kid) → Source (the issuer's key) → verify → Claims → Identity
//! ```
//!
//! What an unverified token says chooses the issuer and the key. Only an issuer of the configuration can be chosen, and
//! only by its own keys can its token hold.

mod claims;
mod config;
mod error;
mod fetch;
mod keys;
mod source;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;
use std::time::Duration;

use keycell_protocol::{UnixMillis, UnixSeconds};

pub use self::config::{Algorithm, ClaimPath, ClaimPathError, IssuerConfig};
pub use self::error::{FetchError, IssuersError, OidcError};
use self::fetch::{Fetch, Https};
pub(crate) use self::fetch::{tls_of_nobody, tls_of_system};
use self::source::Source;
use self::token::Unverified;
use crate::token::Role;

/// The issuers of the configuration.
pub struct Issuers(Vec<Issuer>);

struct Issuer {
    config: IssuerConfig,
    /// What its file of roots held.
    roots: Option<Vec<u8>>,
    source: Arc<Source>,
}

impl Issuers {
    /// Takes the configuration's issuers and reads their roots. None of them is asked anything yet: the KDC starts whether
    /// they answer or not.
    ///
    /// # Errors
    /// [`IssuersError`]: an issuer that is no URL, or root certificates that cannot be read.
    pub fn new(configs: &[IssuerConfig]) -> Result<Self, IssuersError> {
        Self::over(configs, PATIENCE, |config| Ok(Box::new(Https::new(config.roots.as_deref())?)))
    }

    fn over(
        configs: &[IssuerConfig],
        patience: Duration,
        fetch: impl Fn(&IssuerConfig) -> Result<Box<dyn Fetch>, IssuersError>,
    ) -> Result<Self, IssuersError> {
        let issuer = |config: &IssuerConfig| {
            let discovery = config.discovery().ok_or_else(|| IssuersError::Issuer(config.issuer.clone()))?;
            let source = Source::new(&config.issuer, discovery, fetch(config)?, patience);
            let roots = config.roots.as_deref().and_then(|path| std::fs::read(path).ok());
            Ok(Issuer { config: config.clone(), roots, source: Arc::new(source) })
        };
        configs.iter().map(issuer).collect::<Result<_, _>>().map(Self)
    }

    /// Takes another configuration's. One that is the same in both, down to its roots, keeps its keys: it need not be asked
    /// again, and may be away.
    ///
    /// # Errors
    /// As [`Issuers::new`].
    pub fn again(&self, configs: &[IssuerConfig]) -> Result<Self, IssuersError> {
        let mut issuers = Self::new(configs)?;
        for issuer in &mut issuers.0 {
            let known = self.find(&issuer.config.issuer);
            if let Some(known) =
                known.filter(|known| known.config == issuer.config && known.roots == issuer.roots)
            {
                issuer.source = known.source.clone();
            }
        }
        Ok(issuers)
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn knows(&self, issuer: &str) -> bool {
        self.find(issuer).is_some()
    }

    /// Whether a token says that it is from one of them. Nothing of it is checked.
    #[must_use]
    pub fn named_by(&self, token: &str) -> bool {
        Unverified::parse(token).is_ok_and(|token| self.knows(token.issuer()))
    }

    /// Checks a token: who issued it, with which key and algorithm, for whom, when, and which role it gives.
    ///
    /// # Errors
    /// [`OidcError`], for the log. [`OidcError::Away`] says nothing about the token: it may hold later.
    pub async fn check(&self, token: &str, now: UnixMillis) -> Result<Identity, OidcError> {
        let token = Unverified::parse(token)?;
        let Issuer { config, source, .. } = self.find(token.issuer()).ok_or(OidcError::UnknownIssuer)?;
        token.check_type()?;
        let algorithm = token.algorithm(&config.algorithms)?;
        let key = source.key(token.kid()?, algorithm, now).await?;
        let claims = token.verify(algorithm, &key)?;
        // Once more, for what is verified is what counts.
        if claims.text("iss")? != Some(config.issuer.as_str()) {
            return Err(OidcError::UnknownIssuer);
        }
        claims.check_audience(config)?;
        let expires_at = claims.check_times(now, config.clock_leeway_seconds)?;
        Ok(Identity {
            issuer: config.issuer.clone(),
            subject: claims.subject(&config.subject_claim)?,
            role: claims.role(config)?,
            expires_at,
            id: claims.text("jti")?.map(str::to_owned),
        })
    }

    fn find(&self, issuer: &str) -> Option<&Issuer> {
        self.0.iter().find(|one| one.config.issuer == issuer)
    }
}

/// An administrator whom an issuer vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who vouches.
    pub issuer: String,
    /// Who it is; another issuer's subject of the same name is somebody else.
    pub subject: String,
    /// What they may do.
    pub role: Role,
    /// Until when.
    pub expires_at: UnixSeconds,
    /// The token's own name, if it has one.
    pub id: Option<String>,
}

/// How long an issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

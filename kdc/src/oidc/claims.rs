//! What a token says about its holder, and whether that counts.

use keycell_protocol::{UnixMillis, UnixSeconds};
use serde_json::{Map, Value};

use super::config::{ClaimPath, IssuerConfig};
use super::error::OidcError;
use crate::token::Role;

/// The claims of a token whose signature is good.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Only for what a key has signed: see `Unverified::verify`.
    pub(super) const fn signed(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// Checks when the token holds, and returns until when.
    pub(super) fn check_times(&self, now: UnixMillis, leeway: u32) -> Result<UnixSeconds, OidcError> {
        let (now, leeway) = (now.seconds().0, u64::from(leeway));
        let end = self.time("exp")?.ok_or(OidcError::Claim("exp"))?;
        if end.saturating_add(leeway) <= now {
            return Err(OidcError::Expired);
        }
        let latest = now.saturating_add(leeway);
        if self.time("nbf")?.is_some_and(|start| start > latest) {
            return Err(OidcError::NotYet);
        }
        let made = self.time("iat")?;
        if made.is_some_and(|made| made > latest) {
            return Err(OidcError::Future);
        }
        // Without iat, what is left of it must not be longer.
        if end.saturating_sub(made.unwrap_or(latest)) > MAX_SECONDS {
            return Err(OidcError::TooLong);
        }
        Ok(UnixSeconds(end))
    }

    /// Checks whom the token is for (RFC 7519 §4.1.3; for azp, OpenID Connect Core 1.0 §3.1.3.7).
    pub(super) fn check_audience(&self, config: &IssuerConfig) -> Result<(), OidcError> {
        let audiences = self.0.get("aud").and_then(texts).ok_or(OidcError::Claim("aud"))?;
        if !audiences.contains(&config.audience.as_str()) {
            return Err(OidcError::Audience);
        }
        let party = self.text("azp")?.filter(|_| audiences.len() > 1);
        let known = |party: &str| {
            party == config.audience || config.authorized_parties.iter().any(|one| one == party)
        };
        if party.is_none_or(known) { Ok(()) } else { Err(OidcError::AuthorizedParty) }
    }

    /// Who it is.
    pub(super) fn subject(&self, path: &ClaimPath) -> Result<String, OidcError> {
        let name = self.at(path).and_then(Value::as_str).filter(|name| {
            (1..=MAX_SUBJECT).contains(&name.chars().count()) && !name.contains(char::is_control)
        });
        name.map(str::to_owned).ok_or_else(|| OidcError::Subject(path.clone()))
    }

    /// The highest role that its values give.
    pub(super) fn role(&self, config: &IssuerConfig) -> Result<Role, OidcError> {
        let path = &config.role_claim;
        let values = self.at(path).and_then(texts).ok_or_else(|| OidcError::NoRoles(path.clone()))?;
        let roles = values.into_iter().filter_map(|value| config.roles.get(value).copied());
        roles
            .reduce(|one, other| if one.includes(other) { one } else { other })
            .ok_or_else(|| OidcError::Role(path.clone()))
    }

    /// A claim that may be missing, but must be a text if it is there.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, OidcError> {
        self.0.get(name).map(|value| value.as_str().ok_or(OidcError::Claim(name))).transpose()
    }

    /// A NumericDate (RFC 7519 §2): seconds, a fraction of one is cut off.
    fn time(&self, name: &'static str) -> Result<Option<u64>, OidcError> {
        let seconds = |value: &Value| {
            let fraction = || value.as_f64().filter(|seconds| (0.0..MAX_TIME).contains(seconds));
            value.as_u64().or_else(|| fraction().map(|seconds| seconds as u64))
        };
        self.0.get(name).map(|value| seconds(value).ok_or(OidcError::Claim(name))).transpose()
    }

    fn at(&self, path: &ClaimPath) -> Option<&Value> {
        let mut names = path.names();
        let outermost = self.0.get(names.next()?)?;
        names.try_fold(outermost, |value, name| value.as_object()?.get(name))
    }
}

/// One text, or a list of nothing but texts.
fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// The longest life of a token: who is put out of office is out within a day.
const MAX_SECONDS: u64 = 24 * 3600;
/// OpenID Connect Core 1.0 §2.
const MAX_SUBJECT: usize = 255;
/// Past this, a fraction of a second is no longer a number.
const MAX_TIME: f64 = 9e15;

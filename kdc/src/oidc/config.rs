//! The section `[[oidc]]` of the configuration: one issuer each.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use jsonwebtoken::Algorithm as JwtAlgorithm;
use reqwest::Url;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::token::Role;

/// An OpenID Connect issuer whose tokens administrators may carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Its URL, exactly as its tokens have it in `iss`.
    pub issuer: String,
    /// What its tokens must have in `aud`.
    pub audience: String,
    /// Clients that may stand in `azp` when a token is for several audiences; the audience itself always may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorized_parties: Vec<String>,
    /// Which claim names the administrator.
    #[serde(default = "subject")]
    pub subject_claim: ClaimPath,
    /// Which claim the role comes from.
    pub role_claim: ClaimPath,
    /// Which value of that claim gives which role. The highest role wins; without one the token is refused.
    pub roles: BTreeMap<String, Role>,
    /// The root certificates to trust for this issuer, PEM; without it, those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roots: Option<PathBuf>,
    /// The algorithms that it may sign with.
    #[serde(default = "Algorithm::all")]
    pub algorithms: Vec<Algorithm>,
    /// By how much its clock and the KDC's may differ: 0 to 300 seconds.
    #[serde(default = "leeway")]
    pub clock_leeway_seconds: u32,
}

impl IssuerConfig {
    /// What must hold of a list of issuers, and what to write if it does not.
    #[must_use]
    pub fn rules(issuers: &[Self]) -> Vec<(bool, &'static str)> {
        let all = |holds: fn(&Self) -> bool| issuers.iter().all(holds);
        let mut names: Vec<_> = issuers.iter().map(|one| &one.issuer).collect();
        names.sort();
        names.dedup();
        vec![
            (
                all(|one| one.discovery().is_some()),
                "oidc.issuer: write it as the issuer does, https://HOST/PATH with no query and no fragment",
            ),
            (names.len() == issuers.len(), "oidc.issuer: each issuer once"),
            (
                all(|one| !one.audience.is_empty()),
                "oidc.audience: what the issuer's tokens for Keycell have in aud",
            ),
            (
                all(|one| !one.roles.is_empty()),
                "oidc.roles: at least one, such as { keycell-admins = \"admin\" }",
            ),
            (
                all(|one| !one.algorithms.is_empty()),
                "oidc.algorithms: at least one, or leave it out for all that Keycell knows",
            ),
            (all(|one| one.clock_leeway_seconds <= 300), "oidc.clock_leeway_seconds: 0 to 300"),
        ]
    }

    /// Where the issuer describes itself (OpenID Connect Discovery 1.0 §4): nowhere if the issuer is no such URL.
    pub(super) fn discovery(&self) -> Option<Url> {
        let issuer = Url::parse(&self.issuer).ok()?;
        let plain = issuer.scheme() == "https"
            && issuer.has_host()
            && issuer.query().is_none()
            && issuer.fragment().is_none()
            && issuer.username().is_empty()
            && issuer.password().is_none();
        let base = self.issuer.trim_end_matches('/');
        plain.then(|| Url::parse(&format!("{base}/.well-known/openid-configuration")).ok()).flatten()
    }
}

/// The way to a claim, such as `groups`, or `realm_access.roles` for a claim inside another.
///
/// A name with `://` in it is one name: some issuers call their claims by URLs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClaimPath(String);

impl ClaimPath {
    /// The names on the way, the outermost first.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let separator = if self.0.contains("://") { '\0' } else { '.' };
        self.0.split(separator)
    }
}

impl FromStr for ClaimPath {
    type Err = ClaimPathError;

    fn from_str(text: &str) -> Result<Self, ClaimPathError> {
        let path = Self(text.to_owned());
        let good = !text.contains(char::is_control) && path.names().all(|name| !name.trim().is_empty());
        good.then_some(path).ok_or(ClaimPathError)
    }
}

impl TryFrom<String> for ClaimPath {
    type Error = ClaimPathError;

    fn try_from(text: String) -> Result<Self, ClaimPathError> {
        text.parse()
    }
}

impl From<ClaimPath> for String {
    fn from(path: ClaimPath) -> Self {
        path.0
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no [`ClaimPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a claim's name, such as groups, or names with dots between them, such as realm_access.roles")]
pub struct ClaimPathError;

/// An algorithm that an issuer may sign with. There are no symmetrical ones: who can check those can sign with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        vec![RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA]
    }

    /// The same for the library.
    pub(super) const fn jwt(self) -> JwtAlgorithm {
        match self {
            Self::RS256 => JwtAlgorithm::RS256,
            Self::RS384 => JwtAlgorithm::RS384,
            Self::RS512 => JwtAlgorithm::RS512,
            Self::PS256 => JwtAlgorithm::PS256,
            Self::PS384 => JwtAlgorithm::PS384,
            Self::PS512 => JwtAlgorithm::PS512,
            Self::ES256 => JwtAlgorithm::ES256,
            Self::ES384 => JwtAlgorithm::ES384,
            Self::EdDSA => JwtAlgorithm::EdDSA,
        }
    }
}

/// What stands where an algorithm's name should.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(super) enum Named {
    /// One of ours.
    Known(Algorithm),
    /// Anything else.
    Other(IgnoredAny),
}

impl Named {
    pub(super) const fn known(self) -> Option<Algorithm> {
        match self {
            Self::Known(algorithm) => Some(algorithm),
            Self::Other(_) => None,
        }
    }
}

fn subject() -> ClaimPath {
    ClaimPath("sub".to_owned())
}

const fn leeway() -> u32 {
    30
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<IssuerConfig, String> {
        let config: IssuerConfig = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let rules = IssuerConfig::rules(std::slice::from_ref(&config));
        let broken = rules.into_iter().find(|(holds, _)| !holds);
        broken.map_or(Ok(config), |(_, what)| Err(what.to_owned()))
    }

    const MINIMAL: &str = r#"
        issuer = "https://id.example.com/realms/a"
        audience = "keycell"
        role_claim = "groups"
        roles = { keycell-admins = "admin" }
    "#;

    #[test]
    fn what_is_left_out_has_a_default_and_what_is_written_is_read() {
        let config = read(MINIMAL).unwrap();
        assert_eq!((config.clock_leeway_seconds, config.subject_claim.to_string()), (30, "sub".to_owned()));
        assert_eq!(config.algorithms, Algorithm::all());
        assert_eq!(read(&toml::to_string(&config).unwrap()), Ok(config));
    }

    #[test]
    fn mistakes_are_named() {
        for (old, new, says) in [
            ("audience = \"keycell\"", "", "audience"),
            ("\"keycell\"", "\"\"", "oidc.audience"),
            ("role_claim", "colour = 1\nrole_claim", "colour"),
            ("\"groups\"", "\"a..b\"", "realm_access.roles"),
            ("\"groups\"", "\"\"", "realm_access.roles"),
            ("\"admin\"", "\"root\"", "root"),
            ("{ keycell-admins = \"admin\" }", "{}", "oidc.roles"),
            ("audience", "clock_leeway_seconds = 301\naudience", "0 to 300"),
            ("audience", "algorithms = []\naudience", "oidc.algorithms"),
            ("audience", "algorithms = [\"HS256\"]\naudience", "HS256"),
            ("audience", "algorithms = [\"none\"]\naudience", "none"),
        ] {
            let error = read(&MINIMAL.replacen(old, new, 1)).unwrap_err();
            assert!(error.contains(says), "{new}: {error}");
        }
        for issuer in [
            "http://id.example.com",
            "id.example.com",
            "https://",
            "https://a/?b=c",
            "https://a/#b",
            "https://u@a",
        ] {
            let error = read(&MINIMAL.replace("https://id.example.com/realms/a", issuer)).unwrap_err();
            assert!(error.contains("oidc.issuer: write"), "{issuer}: {error}");
        }
        let twice = [read(MINIMAL).unwrap(), read(MINIMAL).unwrap()];
        assert!(IssuerConfig::rules(&twice).contains(&(false, "oidc.issuer: each issuer once")));
    }

    #[test]
    fn discovery_is_under_the_issuer_with_one_slash() {
        for issuer in ["https://id.example.com/a", "https://id.example.com/a/"] {
            let config = IssuerConfig { issuer: issuer.to_owned(), ..read(MINIMAL).unwrap() };
            let url = config.discovery().unwrap();
            assert_eq!(url.as_str(), "https://id.example.com/a/.well-known/openid-configuration");
        }
    }

    #[test]
    fn a_claim_called_by_a_url_is_one_name() {
        let names =
            |text: &str| text.parse::<ClaimPath>().unwrap().names().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(names("realm_access.roles"), ["realm_access", "roles"]);
        assert_eq!(names("https://example.com/roles"), ["https://example.com/roles"]);
    }

    proptest! {
        #[test]
        fn a_path_is_its_names_with_dots_between(names in prop::collection::vec("[a-zA-Z0-9_:-]{1,8}", 1..5)) {
            let path: ClaimPath = names.join(".").parse().unwrap();
            prop_assert_eq!(path.names().collect::<Vec<_>>(), names);
        }
    }
}

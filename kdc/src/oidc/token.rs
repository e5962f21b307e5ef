//! The parts of a signed token (RFC 7519, RFC 7515 §3.1): `header.claims.signature`, each in base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::claims::Claims;
use super::config::{Algorithm, Named};
use super::error::OidcError;
use super::keys::Key;

/// A token whose signature is not checked yet: it tells which issuer and key to check it with, and nothing else.
pub(super) struct Unverified<'a> {
    header: Header,
    issuer: String,
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, OidcError> {
        if token.len() > MAX_BYTES {
            return Err(OidcError::Malformed("it is larger than 16 KiB"));
        }
        let parts = token.rsplit_once('.').and_then(|(message, signature)| {
            let (header, claims) = message.split_once('.')?;
            (!claims.contains('.')).then_some((message, header, claims, signature))
        });
        let Some((message, header, claims, signature)) = parts else {
            return Err(OidcError::Malformed("it does not have three parts"));
        };
        let header: Header = decode(header).ok_or(OidcError::Malformed("its header cannot be read"))?;
        // RFC 7515 §4.1.11: what must be understood and is not makes the token invalid.
        if header.crit.is_some() {
            return Err(OidcError::Malformed("its header has crit"));
        }
        let Whose { iss } = decode(claims).ok_or(OidcError::Claim("iss"))?;
        Ok(Self { header, issuer: iss, message, claims, signature })
    }

    /// Who says to have issued it.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The algorithm that it is signed with, if it is one of `allowed`.
    pub(super) fn algorithm(&self, allowed: &[Algorithm]) -> Result<Algorithm, OidcError> {
        self.header.alg.known().filter(|known| allowed.contains(known)).ok_or(OidcError::Algorithm)
    }

    /// Sees that it is an access token or an unspecific one (RFC 7519 §5.1, RFC 9068 §4).
    pub(super) fn check_type(&self) -> Result<(), OidcError> {
        let known = |typ: &String| TYPES.iter().any(|known| typ.eq_ignore_ascii_case(known));
        if self.header.typ.as_ref().is_none_or(known) { Ok(()) } else { Err(OidcError::Type) }
    }

    /// The name of the key that it is signed with.
    pub(super) fn kid(&self) -> Result<&str, OidcError> {
        self.header.kid.as_deref().ok_or(OidcError::Malformed("its header names no key (kid)"))
    }

    /// What it says, if it is signed with this key.
    pub(super) fn verify(&self, algorithm: Algorithm, key: &Key) -> Result<Claims, OidcError> {
        if !key.signed(algorithm, self.message, self.signature) {
            return Err(OidcError::Signature);
        }
        let claims = decode(self.claims).ok_or(OidcError::Malformed("its claims cannot be read"))?;
        Ok(Claims::signed(claims))
    }
}

/// Whatever else a header has is not looked at: a key that a token brings along proves nothing.
#[derive(Deserialize)]
struct Header {
    alg: Named,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Whose {
    iss: String,
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

const MAX_BYTES: usize = 16 * 1024;
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

//! Administrators' tokens: JWTs signed with the zone's own Ed25519 key.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use keycell_protocol::{UnixMillis, Zone};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Signs and checks the tokens of one zone.
pub struct TokenKey {
    signing: EncodingKey,
    checking: DecodingKey,
    issuer: String,
    audience: String,
}

impl TokenKey {
    /// A fresh Ed25519 key in PKCS #8, to be wrapped and kept.
    ///
    /// # Errors
    /// [`TokenError::Key`] when the machine has no randomness.
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, TokenError> {
        let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())
            .map_err(|_| TokenError::Key)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The key that [`generate`](Self::generate) made.
    ///
    /// # Errors
    /// [`TokenError::Key`] when it is none.
    pub fn new(pkcs8: &[u8], zone: &Zone) -> Result<Self, TokenError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| TokenError::Key)?;
        Ok(Self {
            signing: EncodingKey::from_ed_der(pkcs8),
            checking: DecodingKey::from_ed_der(pair.public_key().as_ref()),
            issuer: format!("keycell:{zone}"),
            audience: format!("keycell-admin:{zone}"),
        })
    }

    /// A token for `subject`, good from `now` for `lifetime_seconds`.
    ///
    /// # Errors
    /// [`TokenError::Key`] when signing fails.
    pub fn sign(
        &self,
        subject: &str,
        role: Role,
        now: UnixMillis,
        lifetime_seconds: u64,
    ) -> Result<String, TokenError> {
        let now = now.seconds();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: subject.to_owned(),
            role,
            iat: now.0,
            nbf: now.0,
            exp: now.plus(lifetime_seconds).0,
            jti: token_id(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.signing)
            .map_err(|_| TokenError::Key)
    }

    /// Checks a token: signature, algorithm, issuer, audience and time.
    ///
    /// # Errors
    /// [`TokenError::Refused`]; the reason is for the log.
    pub fn check(&self, token: &str, now: UnixMillis) -> Result<Claims, TokenError> {
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.audience]);
        rules.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // The time is an argument here; the library would ask the machine's clock.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.checking, &rules)
            .map_err(|error| TokenError::Refused(error.to_string()))?
            .claims;
        let now = now.seconds().0;
        if claims.exp <= now {
            return Err(TokenError::Refused("it has expired".to_owned()));
        }
        if claims.nbf > now.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::Refused("it is not valid yet".to_owned()));
        }
        Ok(claims)
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    /// Whose it is.
    pub sub: String,
    /// What its holder may do.
    pub role: Role,
    iat: u64,
    nbf: u64,
    /// Until when, in Unix seconds.
    pub exp: u64,
    /// The token's own name, for the log.
    pub jti: String,
}

/// What an administrator may do; each role includes the ones after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Parties.
    Operator,
    /// Looking.
    Auditor,
}

impl Role {
    /// Whether this role reaches as far as `needed`.
    #[must_use]
    pub const fn includes(self, needed: Self) -> bool {
        self as u8 <= needed as u8
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        })
    }
}

/// A span such as `90s`, `15m`, `12h` or `30d`, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub u64);

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let unit = text.chars().last().ok_or(SpanError)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(SpanError),
        };
        let count: u64 = text.strip_suffix(unit).and_then(|n| n.parse().ok()).ok_or(SpanError)?;
        count
            .checked_mul(seconds)
            .filter(|seconds| (1..=MAX_SPAN).contains(seconds))
            .map(Self)
            .ok_or(SpanError)
    }
}

/// A text that is no [`Span`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a number and s, m, h or d, such as 12h; at most 366d")]
pub struct SpanError;

/// Why there is no token, or why one does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The zone's token key cannot be used.
    #[error("the zone's token key cannot be used")]
    Key,
    /// The token does not hold.
    #[error("the token is refused: {0}")]
    Refused(String),
}

fn token_id() -> String {
    let mut bytes = [0; 12];
    rand_core::Rng::fill_bytes(&mut crate::random::system(), &mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// By how much the clocks of two KDCs may differ.
const LEEWAY_SECONDS: u64 = 5;
const MAX_SPAN: u64 = 366 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_766_000_000_000);

    fn key(zone: &str) -> TokenKey {
        TokenKey::new(&TokenKey::generate().unwrap(), &zone.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_token_holds_for_its_time_and_zone() {
        let (key, other) = (key("z"), key("z"));
        let token = key.sign("alice", Role::Operator, NOW, 60).unwrap();
        let claims = key.check(&token, NOW).unwrap();
        assert_eq!((claims.sub.as_str(), claims.role), ("alice", Role::Operator));
        assert!(key.check(&token, NOW.plus(59_999)).is_ok());
        assert!(key.check(&token, NOW.plus(60_000)).is_err());
        assert!(key.check(&token, NOW.minus(6_000)).is_err());
        assert!(other.check(&token, NOW).is_err(), "another key of the same zone");
    }

    #[test]
    fn a_token_of_another_zone_does_not_count_even_under_the_same_key() {
        let pkcs8 = TokenKey::generate().unwrap();
        let one = TokenKey::new(&pkcs8, &"one".parse().unwrap()).unwrap();
        let two = TokenKey::new(&pkcs8, &"two".parse().unwrap()).unwrap();
        assert!(two.check(&one.sign("alice", Role::Admin, NOW, 60).unwrap(), NOW).is_err());
    }

    #[test]
    fn other_algorithms_do_not_count() {
        let key = key("z");
        let token = key.sign("alice", Role::Admin, NOW, 60).unwrap();
        let [_, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
        // {"alg":"none"} and {"alg":"HS256"}
        for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9"] {
            for signature in [signature, ""] {
                assert!(key.check(&format!("{header}.{claims}.{signature}"), NOW).is_err());
            }
        }
    }

    #[test]
    fn spans() {
        assert_eq!("12h".parse(), Ok(Span(43_200)));
        for bad in ["", "h", "12", "-1h", "0s", "367d", "1w"] {
            assert_eq!(bad.parse::<Span>(), Err(SpanError), "{bad}");
        }
    }
}

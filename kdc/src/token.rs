//! Administrators' tokens: JWTs signed with the zone's own Ed25519 key.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::errors::ErrorKind;
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

    /// The token that `record` tells of, under the name `id`.
    ///
    /// # Errors
    /// [`TokenError::Key`] when signing fails.
    pub fn sign(&self, id: &str, record: &TokenRecord) -> Result<Zeroizing<String>, TokenError> {
        let created = record.created_at.seconds();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: record.subject.clone(),
            role: record.role,
            iat: created.0,
            nbf: created.0,
            exp: record.expires_at.seconds().0,
            jti: id.to_owned(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.signing)
            .map(Zeroizing::new)
            .map_err(|_| TokenError::Key)
    }

    /// Who signs these tokens: what a token must say of itself to be checked here.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Checks a token: signature, algorithm, issuer, audience and time. Whether it was revoked, only the directory knows.
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
            .map_err(|error| TokenError::Refused(Flaw::of(error.kind())))?
            .claims;
        let now = now.seconds().0;
        if claims.exp <= now {
            return Err(TokenError::Refused(Flaw::Expired));
        }
        if claims.nbf > now.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::Refused(Flaw::NotYet));
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

/// What the zone remembers of a token: not the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Whose it is.
    pub subject: String,
    /// What its holder may do.
    pub role: Role,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Until when it is good: a whole second.
    pub expires_at: UnixMillis,
    /// Who made it.
    pub created_by: String,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<UnixMillis>,
}

impl TokenRecord {
    /// Whether a token that says this is the one: whoever signs with the zone's key gains nothing that was not recorded.
    #[must_use]
    pub fn is_told_by(&self, claims: &Claims) -> bool {
        self.subject == claims.sub && self.role == claims.role && self.expires_at.seconds().0 == claims.exp
    }

    /// Whether it is good at `now`.
    #[must_use]
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && self.expires_at > now
    }
}

/// A new name for a token: 24 hexadecimal digits.
#[must_use]
pub fn token_id(rng: &mut impl rand_core::CryptoRng) -> String {
    let mut bytes = [0; 12];
    rng.fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
    Refused(Flaw),
}

/// Why a token does not hold. Nothing of the token is in it: a stranger who sends one chooses no text that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It is not built as these tokens are.
    Malformed,
    /// It is signed in another way.
    Algorithm,
    /// The signature is not the zone's.
    Signature,
    /// It is from somebody else.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// It is over.
    Expired,
    /// It has not begun.
    NotYet,
    /// The zone does not know it.
    Unknown,
    /// It was taken back.
    Revoked,
}

impl Flaw {
    /// In a word or two.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYet => "not yet valid",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
        }
    }

    const fn of(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::InvalidAlgorithm => Self::Algorithm,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            _ => Self::Malformed,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
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

    fn record(role: Role) -> TokenRecord {
        TokenRecord {
            subject: "alice".to_owned(),
            role,
            created_at: NOW,
            expires_at: NOW.plus(60_000),
            created_by: "console".to_owned(),
            revoked_at: None,
        }
    }

    #[test]
    fn a_token_holds_for_its_time_and_zone() {
        let (key, other) = (key("z"), key("z"));
        let token = key.sign("id", &record(Role::Operator)).unwrap();
        let claims = key.check(&token, NOW).unwrap();
        assert_eq!((claims.sub.as_str(), claims.jti.as_str(), claims.role), ("alice", "id", Role::Operator));
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
        assert!(two.check(&one.sign("id", &record(Role::Admin)).unwrap(), NOW).is_err());
    }

    #[test]
    fn other_algorithms_do_not_count() {
        let key = key("z");
        let token = key.sign("id", &record(Role::Admin)).unwrap();
        let [_, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{}", *token) };
        // {"alg":"none"} and {"alg":"HS256"}
        for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9"] {
            for signature in [signature, ""] {
                assert!(key.check(&format!("{header}.{claims}.{signature}"), NOW).is_err());
            }
        }
    }

    #[test]
    fn a_flaw_repeats_nothing_of_the_token() {
        let key = key("z");
        let token = key.sign("id", &record(Role::Admin)).unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        // {"alg":"chosen"}
        let refused = key.check(&format!("eyJhbGciOiJjaG9zZW4ifQ.{rest}"), NOW).unwrap_err();
        assert_eq!(refused, TokenError::Refused(Flaw::Malformed));
        let expired = key.check(&token, NOW.plus(60_000)).unwrap_err();
        assert_eq!(expired, TokenError::Refused(Flaw::Expired));
    }

    #[test]
    fn spans() {
        assert_eq!("12h".parse(), Ok(Span(43_200)));
        for bad in ["", "h", "12", "-1h", "0s", "367d", "1w"] {
            assert_eq!(bad.parse::<Span>(), Err(SpanError), "{bad}");
        }
    }
}

//! Join tokens: what admits a host that nobody knows yet (docs/protocol.md §10.3).

use core::fmt;
use core::str::FromStr;

use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::codec::{Hex, array_from_base64url, base64url_len, from_hex, push_base64url};
use crate::name::parse_str;

/// A join token: `kcj_`, its id in 16 digits, `_`, and 32 secret bytes in base64url.
///
/// Erased when dropped. It has no equality and prints its id alone.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct JoinToken {
    #[zeroize(skip)]
    id: JoinTokenId,
    secret: [u8; Self::SECRET],
}

impl JoinToken {
    /// How many bytes of it are secret.
    pub const SECRET: usize = 32;
    /// How many characters its text has.
    pub const TEXT: usize = PREFIX.len() + 2 * JoinTokenId::SIZE + 1 + base64url_len(Self::SECRET);

    /// A fresh one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut token = Self { id: JoinTokenId([0; JoinTokenId::SIZE]), secret: [0; Self::SECRET] };
        rng.fill_bytes(&mut token.id.0);
        rng.fill_bytes(&mut token.secret);
        token
    }

    /// Which one it is. No secret.
    #[must_use]
    pub const fn id(&self) -> JoinTokenId {
        self.id
    }

    /// The token itself, for whoever hands it out or presents it.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        // Never grown, so that no buffer with the secret in it is left behind.
        let mut text = Zeroizing::new(String::with_capacity(Self::TEXT));
        text.push_str(PREFIX);
        text.push_str(&self.id.to_string());
        text.push('_');
        push_base64url(&mut text, &self.secret);
        text
    }

    /// What the KDC keeps of it: enough to know it again, and nothing to present.
    #[must_use]
    pub fn verifier(&self) -> [u8; 32] {
        let hash = Sha256::new().chain_update(VERIFIER).chain_update(self.id.0).chain_update(self.secret);
        hash.finalize().into()
    }

    /// Whether it is the one that this was kept of.
    #[must_use]
    pub fn checks(&self, verifier: &[u8; 32]) -> bool {
        self.verifier().ct_eq(verifier).into()
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let rest = text.strip_prefix(PREFIX).ok_or(JoinTokenError::Token)?;
        let (id, secret) = rest.split_at_checked(2 * JoinTokenId::SIZE).ok_or(JoinTokenError::Token)?;
        let id = id.parse().map_err(|_| JoinTokenError::Token)?;
        let secret = secret.strip_prefix('_').and_then(array_from_base64url).ok_or(JoinTokenError::Token)?;
        Ok(Self { id, secret })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, secret: _ } = self;
        write!(f, "JoinToken({id}, ..)")
    }
}

/// Which join token: 8 bytes, written as 16 digits. No secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JoinTokenId([u8; Self::SIZE]);

impl JoinTokenId {
    /// Its length in bytes.
    pub const SIZE: usize = 8;
}

impl FromStr for JoinTokenId {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        from_hex(text).map(Self).ok_or(JoinTokenError::Id)
    }
}

impl fmt::Display for JoinTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for JoinTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for JoinTokenId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JoinTokenId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_str(deserializer, "the id of a join token, 16 digits of 0-9 a-f")
    }
}

/// Why a text is no join token, or no id of one. The text is not repeated: it may be one with a letter missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    /// It is no join token.
    #[error("a join token is written kcj_, 16 digits, _ and 43 characters: copy all of it")]
    Token,
    /// It is no id.
    #[error("the id of a join token is 16 digits of 0-9 a-f: the first part of the token, after kcj_")]
    Id,
}

/// How a join token travels in a request: as its text.
pub(super) mod text {
    use serde::{Deserializer, Serializer};

    use super::JoinToken;
    use crate::name::parse_str;

    pub(in crate::enrollment) fn serialize<S: Serializer>(
        token: &Option<JoinToken>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match token {
            Some(token) => serializer.serialize_str(&token.to_text()),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::enrollment) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<JoinToken>, D::Error> {
        parse_str(deserializer, "a join token").map(Some)
    }
}

const PREFIX: &str = "kcj_";
const VERIFIER: &[u8] = b"keycell/1 join token\0";

#[cfg(test)]
mod tests;

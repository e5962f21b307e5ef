//! Public keys as people compare them: in hexadecimal, as the audit log, its seals and evidence name them. Where only programs
//! read one (key files, the bundle, requests of parties), it is in base64url (docs/protocol.md).

use keycell_protocol::{AuthorPublicKey, SignerKey};
use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

use crate::audit::hex;

/// A public key of 32 bytes.
pub(super) trait PublicKey: Copy {
    fn of(bytes: [u8; 32]) -> Self;
    fn bytes(&self) -> &[u8; 32];
}

pub(super) fn serialize<K: PublicKey, S: Serializer>(key: &K, serializer: S) -> Result<S::Ok, S::Error> {
    hex::encode(key.bytes()).serialize(serializer)
}

pub(super) fn deserialize<'de, K: PublicKey, D: Deserializer<'de>>(deserializer: D) -> Result<K, D::Error> {
    read(&String::deserialize(deserializer)?)
}

/// The same of one that may be absent.
pub(super) mod optional {
    use super::{Deserializer, PublicKey, Serializer, hex, read};
    use serde::{Deserialize as _, Serialize as _};

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(in crate::api) fn serialize<K: PublicKey, S: Serializer>(
        key: &Option<K>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        key.map(|key| hex::encode(key.bytes())).serialize(serializer)
    }

    pub(in crate::api) fn deserialize<'de, K: PublicKey, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<K>, D::Error> {
        Option::<String>::deserialize(deserializer)?.as_deref().map(read).transpose()
    }
}

fn read<K: PublicKey, E: serde::de::Error>(text: &str) -> Result<K, E> {
    hex::decode(text).map(K::of).ok_or_else(|| E::custom("a public key is 64 hexadecimal digits"))
}

impl PublicKey for AuthorPublicKey {
    fn of(bytes: [u8; 32]) -> Self {
        Self::new(bytes)
    }

    fn bytes(&self) -> &[u8; 32] {
        self.as_bytes()
    }
}

impl PublicKey for SignerKey {
    fn of(bytes: [u8; 32]) -> Self {
        Self::new(bytes)
    }

    fn bytes(&self) -> &[u8; 32] {
        self.as_bytes()
    }
}

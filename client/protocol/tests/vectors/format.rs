//! The shape of the files; tests/vectors/README.md describes it.

pub(crate) mod author;
pub(crate) mod bundle;
pub(crate) mod enrollment;
pub(crate) mod group;
pub(crate) mod trust;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File<C> {
    pub(crate) kind: String,
    pub(crate) about: String,
    pub(crate) cases: Vec<C>,
}

/// What has to come out.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Expect<T> {
    Accepted(T),
    Rejected(String),
}

/// Bytes, in the file as lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl Hex {
    pub(crate) fn array<const N: usize>(&self) -> [u8; N] {
        self.0.as_slice().try_into().expect("bytes of another length")
    }
}

impl<T: AsRef<[u8]>> From<T> for Hex {
    fn from(bytes: T) -> Self {
        Self(bytes.as_ref().to_vec())
    }
}

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let pairs = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
        let bytes = pairs.map(byte).collect::<Option<Vec<_>>>().filter(|_| text.len().is_multiple_of(2));
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("not hexadecimal"))
    }
}

/// A long-term key.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) generation: u32,
    pub(crate) epoch: u32,
    pub(crate) secret: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NameCase {
    pub(crate) case: String,
    pub(crate) name: Hex,
    pub(crate) expect: Expect<NameParts>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct NameParts {
    pub(crate) full: String,
    pub(crate) local: String,
    pub(crate) zone: String,
    pub(crate) service: String,
    pub(crate) administrative: bool,
    pub(crate) may_be_group: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubkeysCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) request: Hex,
    pub(crate) reply: Hex,
    pub(crate) ticket: Hex,
    pub(crate) expect: Expect<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RatchetCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) epoch: u32,
    pub(crate) expect: Expect<Hex>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EpochCase {
    pub(crate) case: String,
    pub(crate) key_epoch: u32,
    pub(crate) ratchet_period: u32,
    pub(crate) now: u64,
    pub(crate) epoch: u32,
    pub(crate) expect: Expect<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SekCase {
    pub(crate) case: String,
    pub(crate) rkey: Hex,
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) expiration: u64,
    pub(crate) sek: Hex,
    pub(crate) expect: Expect<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) ticket: Hex,
    pub(crate) expect: Expect<TicketParts>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketParts {
    pub(crate) kind: String,
    pub(crate) generation: u32,
    pub(crate) epoch: u32,
    pub(crate) id: Hex,
    pub(crate) rkey: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) json: String,
    pub(crate) expect: Expect<Request>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) source: String,
    pub(crate) destinations: Vec<String>,
    pub(crate) timestamp: u64,
    pub(crate) nonce: Hex,
    pub(crate) instance: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplyCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) request: Request,
    pub(crate) json: String,
    pub(crate) expect: Expect<Reply>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reply {
    pub(crate) server_time: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rotate: bool,
    pub(crate) outcomes: Vec<Outcome>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Outcome {
    Granted {
        destination: String,
        expiration: u64,
        renew_after: u64,
        ticket: Hex,
        sek: Hex,
        reply_sek: Option<Hex>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        author_proof: bool,
    },
    Refused {
        destination: String,
        problem: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) json: String,
    pub(crate) expect: Expect<Rotation>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    pub(crate) source: String,
    pub(crate) step: String,
    pub(crate) timestamp: u64,
    pub(crate) nonce: Hex,
    pub(crate) instance: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationReplyCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) request: Rotation,
    pub(crate) json: String,
    pub(crate) expect: Expect<Answered>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Answered {
    Staged { server_time: u64, key: Key },
    Committed { server_time: u64, generation: u32 },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayCase {
    pub(crate) case: String,
    pub(crate) steps: Vec<ReplayStep>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayStep {
    pub(crate) sequence: u64,
    pub(crate) expect: Expect<()>,
}

/// Run by client/tests/vectors.rs.
#[derive(Serialize)]
pub(crate) struct MessageCase {
    pub(crate) case: String,
    pub(crate) receiver: Receiver,
    pub(crate) steps: Vec<MessageStep>,
}

#[derive(Serialize, Clone)]
pub(crate) struct Receiver {
    pub(crate) name: String,
    pub(crate) ratchet_period: u32,
    pub(crate) keys: Vec<Key>,
    pub(crate) started: u64,
    pub(crate) restart_guard: String,
    pub(crate) max_lifetime: u64,
    pub(crate) max_ahead_ms: u64,
    pub(crate) max_age_ms: Option<u64>,
    pub(crate) max_senders: usize,
    pub(crate) max_senders_per_source: usize,
    pub(crate) granted: Vec<Granted>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<Member>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) signers: Vec<author::Signer>,
}

/// A group of the receiver's, as it came from the KDC.
#[derive(Serialize, Clone)]
pub(crate) struct Member {
    pub(crate) group: String,
    pub(crate) author_proof: bool,
    pub(crate) keys: Vec<group::GroupKey>,
}

/// A ticket of the receiver's own, as it came from the KDC.
#[derive(Serialize, Clone)]
pub(crate) struct Granted {
    pub(crate) request: Request,
    pub(crate) reply: String,
}

#[derive(Serialize)]
pub(crate) struct MessageStep {
    pub(crate) now: u64,
    pub(crate) message: Hex,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) zeros_up_to: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) common: Option<Hex>,
    pub(crate) expect: Expect<Opened>,
}

#[derive(Serialize)]
pub(crate) struct Opened {
    pub(crate) source: String,
    pub(crate) topic: String,
    pub(crate) body: Hex,
    pub(crate) sent_at: u64,
    pub(crate) expiration: u64,
    pub(crate) mode: String,
    pub(crate) reply: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) voucher: Option<Hex>,
}

//! Bundles.

use serde::{Deserialize, Serialize};

use super::{Expect, Hex};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BundleCase {
    pub(crate) case: String,
    pub(crate) json: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) spaces_up_to: Option<usize>,
    pub(crate) expect: Expect<Bundle>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuccessionCase {
    pub(crate) case: String,
    pub(crate) known: String,
    pub(crate) later: String,
    pub(crate) expect: Expect<()>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bundle {
    pub(crate) zone: String,
    pub(crate) urls: Vec<String>,
    pub(crate) tls_roots: String,
    pub(crate) identities: Vec<Identity>,
    pub(crate) trusted: Vec<Trusted>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) signing_key: Hex,
    pub(crate) encryption_key: Hex,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trusted {
    pub(crate) zone: String,
    pub(crate) identities: Vec<Identity>,
}

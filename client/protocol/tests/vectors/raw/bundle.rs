//! §10

use serde_json::json;

use super::{author, base64url, bytes};
use crate::format::bundle::{Bundle, Identity, Trusted};

/// An identity of somebody, whose encryption key is bytes that are no key: nothing is encrypted to it here.
pub(crate) fn identity(name: &str, zone: &str) -> Identity {
    let who = format!("{name}@{zone}");
    let part = |number| bytes::<32>(&format!("part {number} of the encryption key of {who}"));
    Identity {
        name: name.to_owned(),
        signing_key: author::public(&who).into(),
        encryption_key: (0..38).flat_map(part).collect::<Vec<_>>().into(),
    }
}

/// The JSON of a bundle.
pub(crate) fn bundle(bundle: &Bundle) -> String {
    let Bundle { zone, urls, tls_roots, identities: own, trusted } = bundle;
    let zone = json!(zone);
    let trusted: Vec<_> = trusted
        .iter()
        .map(|Trusted { zone, identities: their }| {
            format!(r#"{{"zone":{},"identities":{}}}"#, json!(zone), identities(their))
        })
        .collect();
    format!(
        r#"{{"version":1,"zone":{zone},"urls":{},"tls_roots":{},"identities":{},"trusted":[{}]}}"#,
        json!(urls),
        json!(tls_roots),
        identities(own),
        trusted.join(",")
    )
}

fn identities(identities: &[Identity]) -> String {
    let one = |Identity { name, signing_key, encryption_key }: &Identity| {
        format!(
            r#"{{"name":{},"signing_key":"{}","encryption_key":"{}"}}"#,
            json!(name),
            base64url(&signing_key.0),
            base64url(&encryption_key.0)
        )
    };
    format!("[{}]", identities.iter().map(one).collect::<Vec<_>>().join(","))
}

//! Bundles: read, and written again.

use keycell_protocol::{Bundle, KdcIdentity, SignerKey};

use super::reasons::{bundle_reason, succession_reason};
use crate::format::bundle as format;
use crate::raw;

pub(super) fn bundle(case: &format::BundleCase) -> Result<format::Bundle, &'static str> {
    let mut json = case.json.clone();
    json.extend(std::iter::repeat_n(' ', case.spaces_up_to.map_or(0, |size| size - json.len())));
    let bundle = Bundle::from_json(json.as_bytes()).map_err(|error| bundle_reason(&error))?;
    assert_eq!(Bundle::from_json(&bundle.to_json()), Ok(bundle.clone()), "{}", case.case);
    let signers = bundle.signers();
    let parts = parts(bundle);
    // Each zone's keys vouch for names of that zone.
    let own = [(parts.zone.as_str(), &parts.identities)];
    let all = parts.trusted.iter().map(|trusted| (trusted.zone.as_str(), &trusted.identities)).chain(own);
    for (zone, identities) in all {
        let known: Vec<_> = signers.of(&zone.parse().unwrap()).copied().collect();
        let expected: Vec<_> = identities.iter().map(|one| SignerKey::new(one.signing_key.array())).collect();
        assert_eq!(known, expected, "{}", case.case);
    }
    let written = raw::bundle::bundle(&parts);
    assert_eq!(Bundle::from_json(written.as_bytes()), Bundle::from_json(json.as_bytes()), "{}", case.case);
    Ok(parts)
}

pub(super) fn succession(case: &format::SuccessionCase) -> Result<(), &'static str> {
    let [known, later] =
        [&case.known, &case.later].map(|json| Bundle::from_json(json.as_bytes()).expect(&case.case));
    known.accepts(&later).map_err(succession_reason)
}

pub(super) fn parts(bundle: Bundle) -> format::Bundle {
    format::Bundle {
        zone: bundle.zone.as_str().to_owned(),
        urls: bundle.urls,
        tls_roots: bundle.tls_roots,
        identities: identities(&bundle.identities),
        trusted: bundle
            .trusted
            .iter()
            .map(|trusted| format::Trusted {
                zone: trusted.zone.as_str().to_owned(),
                identities: identities(&trusted.identities),
            })
            .collect(),
    }
}

fn identities(identities: &[KdcIdentity]) -> Vec<format::Identity> {
    identities
        .iter()
        .map(|KdcIdentity { name, signing_key, encryption_key }| format::Identity {
            name: name.to_string(),
            signing_key: signing_key.as_bytes().into(),
            encryption_key: encryption_key.0.into(),
        })
        .collect()
}

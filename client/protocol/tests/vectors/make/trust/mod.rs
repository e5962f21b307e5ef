//! §12

mod offer;
mod peer;

use super::{file, flipped, rejected};

pub(super) fn files() -> Vec<(String, String)> {
    vec![
        file(
            "peer/request.json",
            "peer-request",
            "What one KDC asks another for, checked with the key of the trust (§12.2).",
            peer::requests(),
        ),
        file(
            "peer/many.json",
            "peer-request",
            "How many tickets a request may be for (§12.2).",
            peer::many(),
        ),
        file(
            "peer/reply.json",
            "peer-reply",
            "The answers, opened by the KDC that asked (§12.2).",
            peer::replies(),
        ),
        file("trust/accept.json", "trust-offer", "Trust offers that are taken (§12.4).", offer::accepted()),
        file(
            "trust/form.json",
            "trust-offer",
            "What is no trust offer by its form (§12.4).",
            offer::malformed(),
        ),
        file(
            "trust/refused.json",
            "trust-offer",
            "Trust offers that are not for this zone, not now, or not by whom they should be (§12.4).",
            offer::refused(),
        ),
        file(
            "trust/fingerprint.json",
            "bundle-fingerprint",
            "By what people compare bundles (§12.4).",
            offer::fingerprints(),
        ),
    ]
}

/// The zone that asks.
const ASKS: &str = "cell.example";
/// The zone that is asked, and offers.
const GIVES: &str = "other.example";

//! Zones that trust each other: what they send is opened and written again.

use ed25519_dalek::{Signer as _, SigningKey};
use keycell_protocol::{
    Bundle, BundleFingerprint, Correlation, Instance, Name, Nonce, OfferState, OfferedTo, OfferingZone,
    PeerPair, PeerRequest, SealedReply, SealedTrustOffer, SignedPeerRequest, TrustOffer, UnixMillis,
    UnixSeconds,
};

use super::bundle::parts;
use super::known::Known;
use super::reasons::{reply_reason, request_reason, trust_reason};
use super::{key, reply};
use crate::format::trust as format;
use crate::format::{self as plain, Expect};
use crate::raw::{self, trust as text};

pub(super) fn request(case: &format::PeerRequestCase) -> Result<format::PeerRequest, &'static str> {
    let keys = key(&case.key).keys_for();
    let signed = SignedPeerRequest::parse(case.json.as_bytes()).map_err(request_reason)?;
    let request = signed.verify(&keys).map_err(request_reason)?;
    let named = (signed.key().name.as_str(), signed.key().generation.0, signed.key().epoch.0);
    assert_eq!(named, (request.source.as_str(), case.key.generation, case.key.epoch), "{}", case.case);
    let pair = |pair: &PeerPair| format::Pair {
        source: pair.source.to_string(),
        destination: pair.destination.to_string(),
    };
    let parts = format::PeerRequest {
        source: request.source.to_string(),
        requests: request.requests.iter().map(pair).collect(),
        lifetime: request.lifetime_seconds,
        correlation: request.correlation.0.into(),
        timestamp: request.timestamp.0,
        nonce: request.nonce.0.into(),
        instance: request.instance.0.into(),
    };
    let written = SignedPeerRequest::sign(&request, &keys).unwrap().to_json();
    let expected = text::signed_peer(&parts.source, &case.key, &text::peer_metadata(&parts));
    assert_eq!(String::from_utf8(written).unwrap(), expected, "{}", case.case);
    Ok(parts)
}

pub(super) fn reply(case: &format::PeerReplyCase) -> Result<plain::Reply, &'static str> {
    let keys = key(&case.key).keys_for();
    let sealed = SealedReply::parse(case.json.as_bytes()).map_err(reply_reason)?;
    let opened = sealed.open_for_zone(&keys, &asked(&case.request)).map_err(reply_reason)?;
    let expected = match &case.expect {
        Expect::Accepted(expected) => expected.outcomes.as_slice(),
        Expect::Rejected(_) => &[],
    };
    assert!(opened.outcomes.len() == expected.len() || expected.is_empty(), "{}", case.case);
    Ok(plain::Reply {
        server_time: opened.server_time.0,
        rotate: opened.rotate,
        outcomes: opened
            .outcomes
            .into_iter()
            .zip(expected)
            .map(|(got, expected)| reply::outcome(got, expected))
            .collect(),
    })
}

fn asked(request: &format::PeerRequest) -> PeerRequest {
    let name = |text: &String| -> Name { text.parse().unwrap() };
    let pair =
        |pair: &format::Pair| PeerPair { source: name(&pair.source), destination: name(&pair.destination) };
    PeerRequest {
        source: name(&request.source),
        requests: request.requests.iter().map(pair).collect(),
        lifetime_seconds: request.lifetime,
        correlation: Correlation(request.correlation.array()),
        timestamp: UnixMillis(request.timestamp),
        nonce: Nonce(request.nonce.array()),
        instance: Instance(request.instance.array()),
    }
}

pub(super) fn offer(case: &format::TrustOfferCase) -> Result<format::Offered, &'static str> {
    let spaces = case.spaces_up_to.map_or(0, |size| size - case.text.len());
    let written = format!("{}{}", " ".repeat(spaces), case.text);
    let sealed = SealedTrustOffer::parse(&written).map_err(|error| trust_reason(&error))?;
    let secret = keycell_protocol::IdentitySecret::new(case.receiver.identity_seed.array());
    let zone = case.receiver.zone.parse().unwrap();
    let to = OfferedTo { zone: &zone, identity: case.receiver.identity.parse().unwrap(), secret: &secret };
    let known;
    let by = match &case.by {
        format::By::Fingerprint(digits) => OfferingZone::Fingerprint(digits.parse().unwrap()),
        format::By::Known(bundle) => {
            known = Bundle::from_json(bundle.as_bytes()).unwrap();
            OfferingZone::Known(&known)
        }
    };
    let opened = sealed.open(to, by, UnixSeconds(case.receiver.now));
    let opened = opened.map_err(|error| trust_reason(&error))?;

    // Sealed once more, with the very bytes that stood for randomness.
    let signing = SigningKey::from_bytes(&case.signing_seed.array());
    let sign = |message: &[u8]| signing.sign(message).to_bytes();
    let rng = &mut Known(case.eseed.0.clone());
    let offer = sealed.claims();
    let again = SealedTrustOffer::seal(offer, &opened, &secret.public(), sign, rng).unwrap();
    let offered = offered(offer, &opened);
    let seeds = (secret.expose_secret(), case.signing_seed.array(), case.eseed.array());
    let made = text::Offer::of(&offered, *seeds.0, seeds.1, seeds.2);
    assert_eq!(again.to_text(), made.write(), "{}", case.case);
    Ok(offered)
}

fn offered(offer: &TrustOffer, opened: &keycell_protocol::LongTermKey) -> format::Offered {
    let of_offer = (offer.generation, offer.epoch);
    assert_eq!((opened.generation(), opened.epoch()), of_offer);
    format::Offered {
        zone: offer.zone.to_string(),
        to: offer.to.to_string(),
        identity: offer.identity.to_string(),
        bundle: parts(offer.bundle.clone()),
        key: plain::Key {
            generation: opened.generation().0,
            epoch: opened.epoch().0,
            secret: opened.expose_secret().into(),
        },
        ratchet_period: offer.ratchet_period.seconds(),
        state: match offer.state {
            OfferState::Active => "active",
            OfferState::Staged => "staged",
        }
        .to_owned(),
        made_at: offer.made_at.0,
        expires_at: offer.expires_at.0,
    }
}

pub(super) fn fingerprint(case: &format::BundleFingerprintCase) -> Result<String, &'static str> {
    let bundle = Bundle::from_json(case.bundle.as_bytes()).unwrap();
    let said: BundleFingerprint = case.said.parse().map_err(|_| "fingerprint")?;
    let own = bundle.fingerprint();
    assert_eq!(own.to_string(), raw::trust::fingerprint(&parts(bundle)), "{}", case.case);
    if said == own { Ok(own.to_string()) } else { Err("forged") }
}

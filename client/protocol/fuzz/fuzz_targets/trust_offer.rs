//! Trust offers: as they come, changed on their way, and signed and sealed around whatever there is.
#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use keycell_fuzz::{array, edited, from_base64url, hex, of_kind, plain, seed};
use keycell_protocol::{
    BundleFingerprint, IdentitySecret, LongTermKey, OfferedTo, OfferingZone, SealedTrustOffer, TrustOffer,
    TrustOfferError, UnixSeconds, Zone,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static CASE: LazyLock<Value> = LazyLock::new(|| of_kind("trust", "signing_seed").remove(0));
static SECRET: LazyLock<IdentitySecret> =
    LazyLock::new(|| IdentitySecret::new(array(&CASE["receiver"], "identity_seed")));
static SIGNING: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::from_bytes(&array(&CASE, "signing_seed")));
static GENUINE: LazyLock<SealedTrustOffer> = LazyLock::new(|| SealedTrustOffer::parse(text()).unwrap());
static FORM: LazyLock<Value> = LazyLock::new(|| {
    let base64: String = text().lines().filter(|line| !line.starts_with('-')).collect();
    serde_json::from_slice(&STANDARD.decode(base64).unwrap()).unwrap()
});

fuzz_target!(
    init: seed(|| {
        let claims = from_base64url(FORM["metadata"].as_str().unwrap());
        for offer in [&*GENUINE, &signed(&claims).unwrap()] {
            assert_eq!(open(offer).unwrap().expose_secret()[..], secret());
        }
        let marked = |mark: u8, rest: &[u8]| [&[mark], rest].concat();
        let mut all = vec![
            marked(0, text().as_bytes()),
            marked(1, &[1, 4, 0, 1]),
            marked(1, &[3, 0, 80, 32]),
            marked(2, &claims),
        ];
        let fingerprints = of_kind("trust", "said");
        all.extend(fingerprints.iter().map(|case| marked(3, case["said"].as_str().unwrap().as_bytes())));
        all
    }),
    |data: &[u8]| {
        let Some((how, data)) = data.split_first() else { return };
        match how % 4 {
            0 => {
                if let Ok(offer) = SealedTrustOffer::parse(&String::from_utf8_lossy(data)) {
                    check(&offer);
                    let _ = open(&offer);
                }
            }
            1 => {
                // On its way an offer may be spelt otherwise, and no more.
                let changed = edited(text().as_bytes(), data);
                if let Ok(offer) = SealedTrustOffer::parse(&String::from_utf8_lossy(&changed))
                    && let Ok(key) = open(&offer)
                {
                    assert_eq!(offer.to_text(), GENUINE.to_text());
                    assert_eq!(key.expose_secret()[..], secret());
                }
            }
            2 => {
                // What the zone's own key signs is an offer, or nonsense; and none of it is under the seal of another.
                if let Some(offer) = signed(data) {
                    check(&offer);
                    if let Ok(key) = open(&offer) {
                        assert_eq!(offer.claims(), GENUINE.claims());
                        assert_eq!(key.expose_secret()[..], secret());
                    }
                }
            }
            _ => {
                let Ok(text) = str::from_utf8(data) else { return };
                if let Ok(fingerprint) = text.parse::<BundleFingerprint>() {
                    let written = fingerprint.to_string();
                    assert_eq!(written.len(), 39);
                    assert_eq!(written.parse(), Ok(fingerprint));
                    let digits: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
                    assert_eq!(digits.to_ascii_lowercase(), written.replace('-', "").as_bytes());
                }
            }
        }
    }
);

/// As the zone that it is for takes it, when it is for that.
fn open(offer: &SealedTrustOffer) -> Result<LongTermKey, TrustOfferError> {
    let receiver = &CASE["receiver"];
    let zone: Zone = receiver["zone"].as_str().unwrap().parse().unwrap();
    let to = OfferedTo {
        zone: &zone,
        identity: receiver["identity"].as_str().unwrap().parse().unwrap(),
        secret: &SECRET,
    };
    let by: BundleFingerprint = CASE["by"]["fingerprint"].as_str().unwrap().parse().unwrap();
    offer.open(to, OfferingZone::Fingerprint(by), UnixSeconds(receiver["now"].as_u64().unwrap()))
}

fn check(offer: &SealedTrustOffer) {
    let TrustOffer { zone, to, bundle, made_at, expires_at, .. } = offer.claims();
    assert_eq!(zone, &bundle.zone);
    assert_ne!(zone, to);
    assert!((1..=TrustOffer::MAX_LIFETIME).contains(&(expires_at.0 - made_at.0)));
    let again = SealedTrustOffer::parse(&offer.to_text()).unwrap();
    assert_eq!(again.claims(), offer.claims());
}

/// The first offer that holds.
fn text() -> &'static str {
    CASE["text"].as_str().unwrap()
}

/// The key in it.
fn secret() -> Vec<u8> {
    hex(CASE["expect"]["accepted"]["key"]["secret"].as_str().unwrap())
}

/// An offer that says this, if it has the form of one: signed by the zone, under the seal of the first.
fn signed(claims: &[u8]) -> Option<SealedTrustOffer> {
    let says: Value = serde_json::from_slice(claims).ok()?;
    let member = |name: &str| says.get(name).and_then(Value::as_str).unwrap_or_default();
    let info = format!("keycell/1 trust offer\0{}\0{}\0{}", member("zone"), member("to"), member("identity"));
    let bytes = |name: &str| from_base64url(FORM[name].as_str().unwrap());
    let metadata = plain::base64url(claims);
    let message =
        [info.as_bytes(), b"\0", &bytes("encapsulated"), &bytes("sealed"), metadata.as_bytes()].concat();
    let mut form = FORM.clone();
    form["metadata"] = metadata.into();
    form["signature"] = plain::base64url(&SIGNING.sign(&message).to_bytes()).into();
    let base64 = STANDARD.encode(form.to_string());
    let text = format!("-----BEGIN KEYCELL TRUST OFFER-----\n{base64}\n-----END KEYCELL TRUST OFFER-----\n");
    SealedTrustOffer::parse(&text).ok()
}

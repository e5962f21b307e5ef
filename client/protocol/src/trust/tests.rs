use ed25519_dalek::{Signer as _, SigningKey};

use super::*;
use crate::bundle::KdcIdentity;
use crate::key::LongTermKey;
use crate::signer::SignerKey;
use crate::test_rng;
use crate::xwing::IdentitySecret;

fn zone(text: &str) -> Zone {
    text.parse().unwrap()
}

/// The KDC of a zone: what its identities are made of.
struct Kdc {
    zone: Zone,
    signing: SigningKey,
    secret: IdentitySecret,
    bundle: Bundle,
}

impl Kdc {
    fn new(name: &str, seed: u8) -> Self {
        let signing = SigningKey::from_bytes(&[seed; 32]);
        let secret = IdentitySecret::new([seed; 32]);
        let identity = |name, signing: &SigningKey, secret: &IdentitySecret| KdcIdentity {
            name,
            signing_key: SignerKey::new(signing.verifying_key().to_bytes()),
            encryption_key: secret.public(),
        };
        let (later, kept) =
            (SigningKey::from_bytes(&[seed + 100; 32]), IdentitySecret::new([seed + 100; 32]));
        let bundle = Bundle {
            zone: zone(name),
            urls: vec![format!("https://kdc.{name}.example")],
            tls_roots: String::new(),
            identities: vec![
                identity(IdentityName::PRIMARY, &signing, &secret),
                identity(IdentityName::SECONDARY, &later, &kept),
            ],
            trusted: Vec::new(),
        };
        Self { zone: zone(name), signing, secret, bundle }
    }

    fn offer(&self, to: &Self) -> TrustOffer {
        TrustOffer {
            zone: self.zone.clone(),
            to: to.zone.clone(),
            identity: IdentityName::PRIMARY,
            bundle: self.bundle.clone(),
            generation: Generation(3),
            epoch: Epoch(20_440),
            ratchet_period: RatchetPeriod::DEFAULT,
            state: OfferState::Active,
            made_at: NOW,
            expires_at: NOW.plus(86_400),
        }
    }

    fn seal(&self, offer: &TrustOffer, to: &Self) -> Result<SealedTrustOffer, TrustOfferError> {
        let key = LongTermKey::new(offer.generation, offer.epoch, SECRET);
        let sign = |message: &[u8]| self.signing.sign(message).to_bytes();
        SealedTrustOffer::seal(offer, &key, &to.secret.public(), sign, &mut test_rng())
    }

    fn as_recipient(&self) -> OfferedTo<'_> {
        OfferedTo { zone: &self.zone, identity: IdentityName::PRIMARY, secret: &self.secret }
    }

    fn by_fingerprint(&self) -> OfferingZone<'_> {
        OfferingZone::Fingerprint(self.bundle.fingerprint())
    }
}

#[test]
fn an_offer_goes_from_zone_to_zone() {
    let (gives, asks) = (Kdc::new("z2", 2), Kdc::new("z1", 1));
    let offer = gives.offer(&asks);
    let text = gives.seal(&offer, &asks).unwrap().to_text();
    assert!(text.starts_with("-----BEGIN KEYCELL TRUST OFFER-----\n"));
    assert!(text.ends_with("\n-----END KEYCELL TRUST OFFER-----\n"));
    assert!(text.lines().all(|line| line.len() <= 64));
    let read = SealedTrustOffer::parse(&text).unwrap();
    assert_eq!(read.claims(), &offer);
    assert_eq!(read.to_text(), text);
    assert_eq!(offer.principal().as_str(), "#ZONE#z1@z2");
    for by in [gives.by_fingerprint(), OfferingZone::Known(&gives.bundle)] {
        let key = read.open(asks.as_recipient(), by, NOW).unwrap();
        assert_eq!(key.expose_secret(), &SECRET);
        assert_eq!((key.generation(), key.epoch()), (offer.generation, offer.epoch));
    }
}

const NOW: UnixSeconds = UnixSeconds(1_766_059_200);
const SECRET: [u8; 32] = [42; 32];

mod form;

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

use super::*;
use crate::bundle::{Bundle, IdentityEncryptionKey, IdentityName, KdcIdentity, SuccessionError};
use crate::key::{Epoch, Generation};
use crate::name::Zone;
use crate::test_rng;
use crate::time::RatchetPeriod;
use crate::trust::OfferState;
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

#[test]
fn it_is_for_one_zone_and_one_identity() {
    let (gives, asks, third) = (Kdc::new("z2", 2), Kdc::new("z1", 1), Kdc::new("z3", 3));
    let sealed = gives.seal(&gives.offer(&asks), &asks).unwrap();
    let open = |to| sealed.open(to, gives.by_fingerprint(), NOW).map(|_| ());
    assert_eq!(open(third.as_recipient()), Err(TrustOfferError::Zone(asks.zone.clone())));
    let to = OfferedTo { identity: IdentityName::SECONDARY, ..asks.as_recipient() };
    let other = TrustOfferError::Identity { to: IdentityName::PRIMARY, ours: IdentityName::SECONDARY };
    assert_eq!(open(to), Err(other));
    let to = OfferedTo { secret: &third.secret, ..asks.as_recipient() };
    assert_eq!(open(to), Err(TrustOfferError::AnotherKey));
}

#[test]
fn it_has_its_time() {
    let (gives, asks) = (Kdc::new("z2", 2), Kdc::new("z1", 1));
    let offer = gives.offer(&asks);
    let sealed = gives.seal(&offer, &asks).unwrap();
    let at = |now| sealed.open(asks.as_recipient(), gives.by_fingerprint(), now).map(|_| ());
    let early = UnixSeconds(offer.made_at.0 - TrustOffer::MAX_AHEAD);
    assert_eq!(at(early), Ok(()));
    assert_eq!(at(UnixSeconds(early.0 - 1)), Err(TrustOfferError::Early(offer.made_at)));
    assert_eq!(at(UnixSeconds(offer.expires_at.0 - 1)), Ok(()));
    assert_eq!(at(offer.expires_at), Err(TrustOfferError::Expired(offer.expires_at)));
    assert_eq!(at(UnixSeconds(u64::MAX)), Err(TrustOfferError::Expired(offer.expires_at)));
}

#[test]
fn its_parts_fit_together() {
    let (gives, asks) = (Kdc::new("z2", 2), Kdc::new("z1", 1));
    let with = |change: fn(&mut TrustOffer)| {
        let mut offer = gives.offer(&asks);
        change(&mut offer);
        let written = gives.seal(&offer, &asks).map(|_| ());
        // Also of one that was signed like this.
        let mut sealed = gives.seal(&gives.offer(&asks), &asks).unwrap();
        sealed.claim(offer);
        sealed.signed_by(&gives.signing);
        let read = SealedTrustOffer::parse(&sealed.to_text()).map(|_| ());
        assert_eq!(written, read);
        read
    };
    assert_eq!(with(|offer| offer.expires_at = NOW.plus(7 * 86_400)), Ok(()));
    assert_eq!(with(|offer| offer.expires_at = NOW.plus(1)), Ok(()));
    for change in [
        (|offer| offer.expires_at = NOW.plus(7 * 86_400 + 1)) as fn(&mut TrustOffer),
        |offer| offer.expires_at = NOW,
        |offer| offer.expires_at = UnixSeconds(NOW.0 - 1),
        |offer| offer.expires_at = UnixSeconds(u64::MAX),
        |offer| offer.zone = zone("z3"),
        |offer| offer.bundle.zone = zone("z3"),
        |offer| offer.to = zone("z2"),
        |offer| offer.generation = Generation(0),
    ] {
        assert_eq!(with(change), Err(TrustOfferError::Inconsistent));
    }
    // The key is the one that it speaks of.
    let offer = gives.offer(&asks);
    let sign = |message: &[u8]| gives.signing.sign(message).to_bytes();
    for (generation, epoch) in [(Generation(4), offer.epoch), (offer.generation, Epoch(20_441))] {
        let key = LongTermKey::new(generation, epoch, SECRET);
        let sealed = SealedTrustOffer::seal(&offer, &key, &asks.secret.public(), sign, &mut test_rng());
        assert_eq!(sealed.unwrap_err(), TrustOfferError::Inconsistent);
    }
}

#[test]
fn nobody_else_offers_in_its_name() {
    let (gives, asks, thief) = (Kdc::new("z2", 2), Kdc::new("z1", 1), Kdc::new("z2", 9));
    let offer = gives.offer(&asks);
    // Another's signature around its bundle.
    assert_eq!(thief.seal(&offer, &asks).unwrap_err(), TrustOfferError::Signer);
    let mut sealed = gives.seal(&offer, &asks).unwrap();
    sealed.signed_by(&thief.signing);
    let open = |sealed: &SealedTrustOffer, by| sealed.open(asks.as_recipient(), by, NOW).map(|_| ());
    assert_eq!(open(&sealed, gives.by_fingerprint()), Err(TrustOfferError::Forged));
    // Another's bundle, for the same zone, in which all holds.
    let sealed = thief.seal(&thief.offer(&asks), &asks).unwrap();
    assert_eq!(open(&sealed, thief.by_fingerprint()), Ok(()));
    let theirs = thief.bundle.fingerprint();
    assert_eq!(open(&sealed, gives.by_fingerprint()), Err(TrustOfferError::Fingerprint(theirs)));
    let known = open(&sealed, OfferingZone::Known(&gives.bundle));
    assert_eq!(known, Err(TrustOfferError::Succession(SuccessionError::OtherKeys(IdentityName::PRIMARY))));
}

#[test]
fn what_is_known_of_a_zone_goes_on() {
    let (before, after, asks) = (Kdc::new("z2", 2), Kdc::new("z2", 102), Kdc::new("z1", 1));
    // The secondary took over, and brought along the next.
    let third = IdentityName::new(3).unwrap();
    let next = KdcIdentity { name: third, ..Kdc::new("z2", 50).bundle.identities.remove(0) };
    let mut offer = after.offer(&asks);
    offer.bundle.identities = vec![before.bundle.identities[1].clone(), next.clone()];
    let sealed = after.seal(&offer, &asks).unwrap();
    let open = |sealed: &SealedTrustOffer, known| {
        sealed.open(asks.as_recipient(), OfferingZone::Known(known), NOW).map(|_| ())
    };
    assert_eq!(open(&sealed, &before.bundle), Ok(()));
    // One that came after both that are known signed this one: the bundle may follow, but who is known to have said so?
    let last = Kdc::new("z2", 50);
    offer.bundle.identities = vec![next];
    let sealed = last.seal(&offer, &asks).unwrap();
    assert_eq!(before.bundle.accepts(&offer.bundle), Ok(()));
    assert_eq!(open(&sealed, &before.bundle), Err(TrustOfferError::UnknownSigner(zone("z2"))));
    // Of another zone altogether.
    let elsewhere = Kdc::new("z4", 4);
    assert_eq!(open(&sealed, &elsewhere.bundle), Err(TrustOfferError::Succession(SuccessionError::Zone)));
}

#[test]
fn a_key_cannot_be_taken_out_of_its_offer() {
    let (gives, asks, thief) = (Kdc::new("z2", 2), Kdc::new("z1", 1), Kdc::new("z9", 9));
    let sealed = gives.seal(&gives.offer(&asks), &asks).unwrap();
    // As an offer of the thief's own zone; and of the very zone, with something else said of the key.
    let mut stolen = sealed.clone();
    stolen.claim(thief.offer(&asks));
    stolen.signed_by(&thief.signing);
    let opened = stolen.open(asks.as_recipient(), thief.by_fingerprint(), NOW);
    assert_eq!(opened.unwrap_err(), TrustOfferError::AnotherKey);
    let mut changed = sealed.clone();
    changed.claim(TrustOffer { generation: Generation(4), ..gives.offer(&asks) });
    changed.signed_by(&gives.signing);
    let opened = changed.open(asks.as_recipient(), gives.by_fingerprint(), NOW);
    assert_eq!(opened.unwrap_err(), TrustOfferError::AnotherKey);
}

#[test]
fn every_changed_bit_is_refused() {
    let (gives, asks) = (Kdc::new("z2", 2), Kdc::new("z1", 1));
    let sealed = gives.seal(&gives.offer(&asks), &asks).unwrap();
    let forged = |changed: &SealedTrustOffer| {
        let opened = changed.open(asks.as_recipient(), gives.by_fingerprint(), NOW);
        assert_eq!(opened.unwrap_err(), TrustOfferError::Forged);
    };
    for bit in (0..sealed.encapsulated.0.len() * 8).step_by(61) {
        let mut changed = sealed.clone();
        changed.encapsulated.0[bit / 8] ^= 1 << (bit % 8);
        forged(&changed);
    }
    for bit in 0..sealed.sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed.sealed[bit / 8] ^= 1 << (bit % 8);
        forged(&changed);
    }
    for bit in 0..sealed.signature.len() * 8 {
        let mut changed = sealed.clone();
        changed.signature[bit / 8] ^= 1 << (bit % 8);
        forged(&changed);
    }
}

#[test]
fn nothing_can_be_sealed_to_what_is_no_key() {
    let (gives, asks) = (Kdc::new("z2", 2), Kdc::new("z1", 1));
    let offer = gives.offer(&asks);
    let key = LongTermKey::new(offer.generation, offer.epoch, SECRET);
    let no_key = IdentityEncryptionKey([0xff; IdentityEncryptionKey::SIZE]);
    let sealed = SealedTrustOffer::seal(&offer, &key, &no_key, |_| panic!("signed"), &mut test_rng());
    assert_eq!(sealed.unwrap_err(), TrustOfferError::EncryptionKey);
}

#[test]
fn what_nobody_could_read_is_not_written() {
    let (gives, asks) = (Kdc::new("z2", 2), Kdc::new("z1", 1));
    let mut offer = gives.offer(&asks);
    offer.bundle.tls_roots = "r".repeat(SealedTrustOffer::MAX / 2);
    assert!(gives.seal(&offer, &asks).is_ok());
    offer.bundle.tls_roots = "r".repeat(SealedTrustOffer::MAX * 9 / 16);
    assert_eq!(gives.seal(&offer, &asks).unwrap_err(), TrustOfferError::TooLong);
}

#[test]
fn no_secret_is_printed() {
    let (gives, asks) = (Kdc::new("z2", 2), Kdc::new("z1", 1));
    let printed = format!("{:?}", gives.seal(&gives.offer(&asks), &asks).unwrap());
    assert!(printed.starts_with("SealedTrustOffer { offer: TrustOffer {"), "{printed}");
    assert!(printed.ends_with("expires_at: UnixSeconds(1766145600) }, .. }"), "{printed}");
    let printed = format!("{:?}", asks.as_recipient());
    assert!(printed.contains("IdentitySecret(..)"), "{printed}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_offer_goes_both_ways(
        generation in 1..=u32::MAX,
        epoch in any::<u32>(),
        period in 1..=u32::MAX,
        staged in any::<bool>(),
        made_at in 0..=u64::MAX / 2,
        lifetime in 1..=TrustOffer::MAX_LIFETIME,
        secret in any::<[u8; 32]>(),
    ) {
        let (gives, asks) = (Kdc::new("z2", 2), Kdc::new("z1", 1));
        let offer = TrustOffer {
            generation: Generation(generation),
            epoch: Epoch(epoch),
            ratchet_period: RatchetPeriod::from_seconds(period).unwrap(),
            state: if staged { OfferState::Staged } else { OfferState::Active },
            made_at: UnixSeconds(made_at),
            expires_at: UnixSeconds(made_at + lifetime),
            ..gives.offer(&asks)
        };
        let key = LongTermKey::new(offer.generation, offer.epoch, secret);
        let sign = |message: &[u8]| gives.signing.sign(message).to_bytes();
        let sealed =
            SealedTrustOffer::seal(&offer, &key, &asks.secret.public(), sign, &mut test_rng()).unwrap();
        let read = SealedTrustOffer::parse(&sealed.to_text()).unwrap();
        prop_assert_eq!(read.claims(), &offer);
        let opened = read.open(asks.as_recipient(), gives.by_fingerprint(), offer.made_at).unwrap();
        prop_assert_eq!(opened.expose_secret(), &secret);
    }

    #[test]
    fn a_changed_character_is_refused(at in any::<prop::sample::Index>(), bit in 0..7_u32) {
        let (gives, asks) = (Kdc::new("z2", 2), Kdc::new("z1", 1));
        let sealed = gives.seal(&gives.offer(&asks), &asks).unwrap();
        let mut bytes = sealed.to_text().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let changed = String::from_utf8(bytes).unwrap();
        let opened = SealedTrustOffer::parse(&changed)
            .and_then(|read| read.open(asks.as_recipient(), gives.by_fingerprint(), NOW));
        // A character that is passed over may be another one, such as the end of a line.
        let same = changed.split_ascii_whitespace().eq(sealed.to_text().split_ascii_whitespace());
        prop_assert!(opened.is_err() || same || at + 1 == changed.len(), "{at}");
    }
}

impl SealedTrustOffer {
    /// Says something else, under the same seal.
    fn claim(&mut self, offer: TrustOffer) {
        self.metadata = base64url(&serde_json::to_vec(&offer).unwrap());
        self.offer = offer;
    }

    fn signed_by(&mut self, signing: &SigningKey) {
        self.signature = signing.sign(&self.signed()).to_bytes();
    }
}

const NOW: UnixSeconds = UnixSeconds(1_766_059_200);
const SECRET: [u8; 32] = [42; 32];

//! An offer that is well made and signed, and still says what no zone ought to.

use aws_lc_rs::signature::Ed25519KeyPair;
use keycell_kdc::administration::{AdminError, Caller};
use keycell_kdc::api::{NewTrust, TrustPatch};
use keycell_kdc::random::system;
use keycell_protocol::{
    Epoch, Generation, LongTermKey, OfferState, RatchetPeriod, SealedTrustOffer, TrustOffer,
};

use super::asked::zone;
use crate::zone::Zone;

/// Has `to` accept what `from` offers, but for `change`.
async fn accepted(from: &Zone, to: &Zone, change: impl FnOnce(&mut TrustOffer)) -> Result<(), AdminError> {
    let (own, theirs) = (from.kdc.bundle().await.unwrap(), to.kdc.bundle().await.unwrap());
    let identity = theirs.identities.first().unwrap();
    let made_at = from.now().seconds();
    let mut offer = TrustOffer {
        zone: from.kdc.zone().clone(),
        to: to.kdc.zone().clone(),
        identity: identity.name,
        bundle: own.clone(),
        generation: Generation(5),
        epoch: RatchetPeriod::DEFAULT.epoch(made_at),
        ratchet_period: RatchetPeriod::DEFAULT,
        state: OfferState::Active,
        made_at,
        expires_at: made_at.plus(600),
    };
    change(&mut offer);
    let key = LongTermKey::generate(offer.generation, offer.epoch, &mut system());
    let secret = from.kdc.ledger().store().secret("identity #KDC#00001").await.unwrap().unwrap();
    let secret = from.kdc.ledger().keyring().open_secret(&secret).unwrap();
    // Its version, the seed that signs, and the one that opens.
    let pair = Ed25519KeyPair::from_seed_unchecked(secret.get(1..33).unwrap()).unwrap();
    let sign = |message: &[u8]| pair.sign(message).as_ref().try_into().unwrap();
    let sealed = SealedTrustOffer::seal(&offer, &key, &identity.encryption_key, sign, &mut system()).unwrap();
    let new = NewTrust {
        offer: sealed.to_text(),
        fingerprint: Some(own.fingerprint().to_string()),
        sources: None,
        destinations: None,
        lifetime_seconds: None,
        rate: None,
        mode: None,
        log_tickets: None,
        note: None,
    };
    let terms = TrustPatch {
        sources: Some(vec!["*".to_owned()]),
        destinations: Some(vec!["*".to_owned()]),
        ..TrustPatch::default()
    };
    to.kdc.trusts().accept(&Caller::console(), &new, &terms, |_| Ok(None)).await.map(drop)
}

/// What is otherwise in an offer.
type Change = fn(&mut TrustOffer);

fn period(seconds: u32) -> RatchetPeriod {
    RatchetPeriod::from_seconds(seconds).unwrap()
}

/// A key of long ago would be turned tens of thousands of times, by whoever accepted it.
#[tokio::test]
async fn an_offer_of_another_time_is_refused() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let today = RatchetPeriod::DEFAULT.epoch(z2.now().seconds());
    let changes: [(Change, &str); 4] = [
        (|offer| offer.ratchet_period = period(59), "59 s"),
        (|offer| offer.ratchet_period = period(1), "1 s"),
        (|offer| offer.epoch = Epoch(offer.epoch.0 - 1001), "is of epoch"),
        (|offer| offer.epoch = Epoch(offer.epoch.0 + 2), "is of epoch"),
    ];
    for (change, why) in changes {
        match accepted(&z2, &z1, change).await.unwrap_err() {
            AdminError::Invalid { field, text } => {
                assert!(field == "offer" && text.contains(why), "{why}: {field}: {text}");
            }
            other => panic!("{other:?}"),
        }
    }
    for (generation, epoch) in [(5, today.0 - 1000), (6, today.0 + 1)] {
        let done = accepted(&z2, &z1, |offer| {
            (offer.generation, offer.epoch) = (Generation(generation), Epoch(epoch));
        });
        done.await.unwrap();
    }
    accepted(&z2, &z1, |offer| {
        (offer.generation, offer.ratchet_period) = (Generation(7), period(60));
        offer.epoch = period(60).epoch(offer.made_at);
    })
    .await
    .unwrap();
}

/// A zone that was restored without its `revocations` may count anew.
#[tokio::test]
async fn who_offers_an_older_generation_is_told_which_one_is_here() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    accepted(&z2, &z1, |_| {}).await.unwrap();
    let error = accepted(&z2, &z1, |offer| offer.generation = Generation(3)).await.unwrap_err();
    let AdminError::Refused(text) = &error else { panic!("{error:?}") };
    for says in ["generation 3", "generation 5", "keycell trust delete outgoing z2.example"] {
        assert!(text.contains(says), "{says}: {text}");
    }
}

//! Accepting the offer of another zone: its key is kept, and tickets are asked for with it.

use keycell_protocol::{
    BundleFingerprint, Generation, LongTermKey, OfferState, OfferedTo, OfferingZone, SealedTrustOffer,
    TrustOffer, TrustOfferError, Zone,
};

use super::{ATTEMPTS, SCHEMA, Trust, Trusts, lost_a_race, read, without};
use crate::administration::{AdminError, Caller};
use crate::api::{NewTrust, TrustPatch};
use crate::audit::Action;
use crate::identities::{Identity, private_half};
use crate::store::{Act, Kind, Write};
use crate::trust::{Direction, HeldKeys, PeerRecord, TrustRecord, is_same, secret_name};

/// What became of an offer.
#[derive(Debug)]
pub struct Accepted {
    /// The trust.
    pub trust: Trust,
    /// Whether all was as the offer has it already.
    pub again: bool,
}

impl Trusts {
    /// Accepts the offer of another zone. `keep` may add the write that keeps the answer.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] for an offer that does not hold; [`AdminError::Refused`] for one that came too late.
    pub async fn accept(
        &self,
        caller: &Caller,
        new: &NewTrust,
        terms: &TrustPatch,
        keep: impl Fn(&Trust) -> Result<Option<Write>, AdminError>,
    ) -> Result<Accepted, AdminError> {
        let sealed = SealedTrustOffer::parse(&new.offer).map_err(|error| refused(&error))?;
        let told = read::fingerprint(new.fingerprint.as_deref())?;
        let identity = self.primary().await?;
        let own = &self.ledger.zone().zone;
        // Somebody else may change the trust in between, or its keys; then look again.
        for _ in 0..ATTEMPTS {
            self.ledger.catch_up().await;
            let there = self.ledger.store().documents(Kind::Trust).await?;
            let before = self.before(Direction::Outgoing, &sealed.claims().zone, &there)?;
            let key = self.open(&sealed, &identity, before.as_ref(), told)?;
            let offer = sealed.claims();
            timely(offer)?;
            self.agrees(Direction::Incoming, &offer.bundle)?;
            read::reachable(&offer.bundle).map_err(|text| AdminError::invalid("offer", text))?;
            let now = self.ledger.now();
            let mut record = match &before {
                Some(before) => read::patched(before, terms, own)?,
                None => read::first(Direction::Outgoing, &offer.bundle, terms, own, now)?,
            };
            let Held { keys, version } = self.held(before.as_ref(), &offer.zone).await?;
            let taken = take(keys, key, offer)?;
            record.peer = Some(PeerRecord {
                urls: Vec::new(),
                tls_roots: String::new(),
                ratchet_period: offer.ratchet_period,
                held: before.as_ref().and_then(|before| before.peer.as_ref()?.held),
                rotate_from: before.as_ref().and_then(|before| before.peer.as_ref()?.rotate_from),
            });
            record.meet(&offer.bundle);
            let mut writes = Vec::new();
            if let Some(keys) = &taken {
                let next = version.map_or(1, |version| version.saturating_add(1));
                if let Some(peer) = &mut record.peer {
                    peer.held = keys.seen(next);
                    peer.rotate_from = None;
                }
                let random = &mut crate::random::system();
                let name = secret_name(&offer.zone);
                // A name has one secret: what is there makes room first.
                writes.extend(version.map(|version| Write::DeleteSecret { name, version }));
                writes.push(Write::AddSecret(keys.seal(self.ledger.keyring(), &offer.zone, next, random)));
            }
            if before.as_ref() == Some(&record) {
                return Ok(Accepted { trust: Trust { record, principal: None }, again: true });
            }
            let expected = before.as_ref().map(|before| before.revision);
            // Beyond every revision that a trust with the zone can have had: each of those took a change of the trusts.
            record.revision = there.change.0.max(expected.unwrap_or(0)).saturating_add(1);
            record.updated_at = now;
            let event = caller.event(now, Action::TrustAccept, record.id());
            let event = match &before {
                Some(before) => read::compared(event, before, &record),
                None => read::described(event, &record),
            };
            let event = event
                .with("generation", offer.generation.0)
                .with("state", state(offer.state))
                .with("fingerprint", offer.bundle.fingerprint().to_string())
                .with("by", if told.is_some() { "fingerprint" } else { "known identity" });
            let mut act = Act::new(Write::Expect { kind: Kind::Trust, change: there.change }, event);
            act.writes.push(self.write(&record, expected)?);
            act.writes.extend(writes);
            act.writes.push(Write::NeedSchema(SCHEMA));
            let trust = Trust { record, principal: None };
            act.writes.extend(keep(&trust)?);
            match self.ledger.commit(&act).await {
                Ok(_) => return Ok(Accepted { trust, again: false }),
                Err(error) => lost_a_race(error)?,
            }
        }
        Err(AdminError::Busy)
    }

    /// Opens an offer, once it is known by whom it is: an identity that is known of a zone that is trusted already, or the
    /// fingerprint that an administrator was told.
    fn open(
        &self,
        sealed: &SealedTrustOffer,
        identity: &Identity,
        before: Option<&TrustRecord>,
        told: Option<BundleFingerprint>,
    ) -> Result<LongTermKey, AdminError> {
        let fingerprint = sealed.claims().bundle.fingerprint();
        let known = before.map(TrustRecord::known_as);
        let by = match (&known, told) {
            (_, Some(told)) if told != fingerprint => {
                return Err(refused(&TrustOfferError::Fingerprint(fingerprint)));
            }
            (Some(known), _) => OfferingZone::Known(known),
            (None, Some(told)) => OfferingZone::Fingerprint(told),
            (None, None) => {
                return Err(AdminError::invalid(
                    "fingerprint",
                    format!(
                        "the offer is by the identities {fingerprint}: ask the administrator of {} for theirs by another \
                         way, and give it",
                        sealed.claims().zone
                    ),
                ));
            }
        };
        let zone = &self.ledger.zone().zone;
        let to = OfferedTo { zone, identity: identity.name(), secret: identity.encryption() };
        sealed.open(to, by, self.ledger.now().seconds()).map_err(|error| refused(&error))
    }

    async fn primary(&self) -> Result<Identity, AdminError> {
        let settings = self.ledger.directory().settings();
        let missing = || {
            AdminError::Refused(
                "this zone's KDC has no primary identity to open it with: `keycell identity list` says what there is"
                    .to_owned(),
            )
        };
        let public = settings.identities.primary().ok_or_else(missing)?;
        private_half(&self.ledger, public).await?.ok_or_else(missing)
    }

    /// The keys that there are, and the version of their secret. Keys that do not unwrap are none.
    async fn held(&self, before: Option<&TrustRecord>, zone: &Zone) -> Result<Held, AdminError> {
        let Some(secret) = self.ledger.store().secret(&secret_name(zone)).await? else {
            return Ok(Held { keys: HeldKeys::default(), version: None });
        };
        let version = Some(secret.version);
        let held = before.and_then(|before| before.peer.as_ref()?.held).map(|held| held.version);
        if held != version {
            return Ok(Held { keys: HeldKeys::default(), version });
        }
        match HeldKeys::open(self.ledger.keyring(), &secret) {
            Ok(keys) => Ok(Held { keys, version }),
            Err(error @ crate::keyring::KeyringError::Damaged { .. }) => {
                without(zone, &error);
                Ok(Held { keys: HeldKeys::default(), version })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The keys of a trust as they are at rest.
struct Held {
    keys: HeldKeys,
    version: Option<u32>,
}

/// The keys with the one of an offer; `None` where that is among them already.
fn take(held: HeldKeys, key: LongTermKey, offer: &TrustOffer) -> Result<Option<HeldKeys>, AdminError> {
    let HeldKeys { active, staged } = held;
    if [&active, &staged].into_iter().flatten().any(|known| is_same(known, &key)) {
        return Ok(None);
    }
    let newest: Option<Generation> =
        [&active, &staged].into_iter().flatten().map(LongTermKey::generation).max();
    if let Some(newest) = newest.filter(|newest| *newest >= key.generation()) {
        return Err(AdminError::Refused(format!(
            "the key of that offer is of generation {}, and one of generation {newest} is here already: ask for another offer; if \
             {zone} was restored without its `revocations`, `keycell trust delete outgoing {zone}`, then accept with the \
             fingerprint",
            key.generation(),
            zone = offer.zone
        )));
    }
    Ok(Some(match offer.state {
        // No other key is accepted there any more.
        OfferState::Active => HeldKeys { active: Some(key), staged: None },
        OfferState::Staged => HeldKeys { active, staged: Some(key) },
    }))
}

/// Refuses an offer by which this KDC would have to turn the key very often to come to today.
fn timely(offer: &TrustOffer) -> Result<(), AdminError> {
    let period = offer.ratchet_period;
    if period.seconds() < MIN_PERIOD {
        let text =
            format!("its ratchet period is {} s, and no zone has one below {MIN_PERIOD} s", period.seconds());
        return Err(AdminError::invalid("offer", text));
    }
    let (made, of) = (period.epoch(offer.made_at).0, offer.epoch.0);
    // An epoch may begin while it is made; and a KDC that does not believe its clock makes keys of the past.
    if of > made.saturating_add(1) || of < made.saturating_sub(MOST_BEHIND) {
        let text = format!(
            "its key is of epoch {of}, and it was made in {made}: ask the administrator of {} for another one, and whether the \
             clock there is right",
            offer.zone
        );
        return Err(AdminError::invalid("offer", text));
    }
    Ok(())
}

fn refused(error: &TrustOfferError) -> AdminError {
    let field = match error {
        TrustOfferError::Fingerprint(_) | TrustOfferError::UnknownSigner(_) => "fingerprint",
        _ => "offer",
    };
    AdminError::invalid(field, error.to_string())
}

const fn state(state: OfferState) -> &'static str {
    match state {
        OfferState::Active => "active",
        OfferState::Staged => "staged",
    }
}

/// In seconds: no zone can be made with a shorter one.
const MIN_PERIOD: u32 = 60;
/// In epochs.
const MOST_BEHIND: u32 = 1000;

//! Offering trust to another zone: its KDC gets a key, and an administrator takes it there.

use keycell_protocol::{
    Bundle, BundleFingerprint, KdcIdentity, LongTermKey, OfferState, SealedTrustOffer, TrustOffer,
    TrustOfferError, UnixSeconds,
};

use super::{ATTEMPTS, SCHEMA, Trust, Trusts, lost_a_race, put, read};
use crate::administration::{AdminError, Caller, Offered, STAGED_MS};
use crate::api::TrustPatch;
use crate::audit::Action;
use crate::store::{Act, KeyState, Kind, PartyRecord, StoreError, Write};
use crate::trust::{Direction, TrustRecord};

/// A trust that was offered.
#[derive(Debug)]
pub struct OfferMade {
    /// The trust.
    pub trust: Trust,
    /// What is to be passed on.
    pub offer: SealedTrustOffer,
    /// By what this zone is known: what is to be told by another way.
    pub fingerprint: BundleFingerprint,
}

impl Trusts {
    /// Offers the zone of `to` to give its parties tickets, or gives a zone that has a key another one. `own` is what
    /// everybody may know of this zone. `keep` may add the write that keeps the answer.
    ///
    /// # Errors
    /// [`AdminError::Invalid`]; [`AdminError::Refused`] where `to` does not follow what is known of that zone.
    pub async fn offer(
        &self,
        caller: &Caller,
        (own, to): (&Bundle, &Bundle),
        terms: &TrustPatch,
        valid_seconds: Option<u32>,
        keep: impl Fn(&OfferMade) -> Result<Option<Write>, AdminError>,
    ) -> Result<OfferMade, AdminError> {
        if to.zone == own.zone {
            let text =
                "it is of this zone itself: get the bundle of the zone whose parties are to speak to yours";
            return Err(AdminError::invalid("bundle", text));
        }
        let valid = u64::from(valid_seconds.unwrap_or(DAY));
        if !(MIN_VALID..=TrustOffer::MAX_LIFETIME).contains(&valid) {
            let text = format!("{MIN_VALID} to {}", TrustOffer::MAX_LIFETIME);
            return Err(AdminError::invalid("valid_seconds", text));
        }
        let Some(identity) = to.identities.first() else {
            return Err(AdminError::invalid("bundle", "it has no identity"));
        };
        // What others trust is nothing to the zone that it is offered to.
        let own = Bundle { trusted: Vec::new(), ..own.clone() };
        // Somebody else may change the trust in between, or its keys; then look again.
        for _ in 0..ATTEMPTS {
            self.ledger.catch_up().await;
            let there = self.ledger.store().documents(Kind::Trust).await?;
            let before = self.before(Direction::Incoming, &to.zone, &there)?;
            self.agrees(Direction::Outgoing, to)?;
            read::compared_with(to, terms.fingerprint.as_deref())?;
            let states = self.keys.states();
            let mut record = match &before {
                Some(before) => {
                    let patch = TrustPatch { bundle: Some(to.clone()), ..terms.clone() };
                    read::patched(before, &patch, &own.zone)?
                }
                None => read::first(Direction::Incoming, to, terms, &own.zone, states.now)?,
            };
            let Found { mut principal, is_new, last } = self.found(&record, before.is_some()).await?;
            let random = &mut crate::random::system();
            let Offered { key, state, erased } = states.offer(&mut principal, last, random)?;
            if state == KeyState::Staged && valid * 1000 > STAGED_MS {
                let text = format!(
                    "{} has a key, and the next one waits for a day at most: {} to {}",
                    to.zone,
                    MIN_VALID,
                    STAGED_MS / 1000
                );
                return Err(AdminError::invalid("valid_seconds", text));
            }
            let now = states.now.seconds();
            let sealed = self.seal(&own, (&to.zone, identity), (&key, state), (now, now.plus(valid)))?;
            record.offered = Some(key.generation());
            record.updated_at = states.now;
            // Beyond every revision that a trust with the zone can have had: each of those took a change of the trusts.
            let expected = before.as_ref().map(|before| before.revision);
            record.revision = there.change.0.max(expected.unwrap_or(0)).saturating_add(1);
            let event = caller.event(states.now, Action::TrustOffer, record.id());
            let event = match &before {
                Some(before) => read::compared(event, before, &record),
                None => read::described(event, &record),
            };
            let event = event
                .with("generation", key.generation().0)
                .with("state", state.as_str())
                .with("erased", erased.iter().map(|generation| generation.0).collect::<Vec<_>>())
                .with("identity", identity.name.to_string())
                .with("expires_at", now.plus(valid).0);
            let mut act = Act::new(Write::Expect { kind: Kind::Trust, change: there.change }, event);
            act.writes.push(if is_new {
                Write::PutParty { party: principal.clone(), expected: None }
            } else {
                put(principal.clone(), states.now)
            });
            act.writes.push(self.write(&record, expected)?);
            act.writes.push(Write::NeedSchema(SCHEMA));
            let made = OfferMade {
                trust: Trust { record, principal: Some(principal) },
                offer: sealed,
                fingerprint: own.fingerprint(),
            };
            act.writes.extend(keep(&made)?);
            match self.ledger.commit(&act).await {
                Ok(_) => return Ok(made),
                Err(error) => lost_a_race(error)?,
            }
        }
        Err(AdminError::Busy)
    }

    /// What the zone of a trust is here. Where the trust is new, no key that there may be counts.
    async fn found(&self, record: &TrustRecord, is_known: bool) -> Result<Found, AdminError> {
        let name = self.principal_name(&record.zone);
        let store = self.ledger.store();
        let there = match store.party(&name).await {
            Ok(there) => there,
            Err(StoreError::Damaged { .. }) => {
                return Err(AdminError::Refused(format!(
                    "the row of {name} does not hold, see the log of this KDC: `keycell trust delete incoming {zone}`, then \
                     offer it again",
                    zone = record.zone
                )));
            }
            Err(error) => return Err(error.into()),
        };
        let earlier = store.earlier(std::slice::from_ref(&name)).await?;
        let last = earlier.get(&name).map(|earlier| earlier.generation);
        let is_new = there.is_none();
        let mut principal = there.unwrap_or_else(|| PartyRecord::new(name, self.ledger.now()));
        if !is_known {
            principal.keys.clear();
            self.ledger.keyring().set_enabled(&mut principal, true, &mut crate::random::system())?;
        }
        Ok(Found { principal, is_new, last })
    }

    fn seal(
        &self,
        own: &Bundle,
        (to, identity): (&keycell_protocol::Zone, &KdcIdentity),
        (key, state): (&LongTermKey, KeyState),
        (made_at, expires_at): (UnixSeconds, UnixSeconds),
    ) -> Result<SealedTrustOffer, AdminError> {
        let offer = TrustOffer {
            zone: own.zone.clone(),
            to: to.clone(),
            identity: identity.name,
            bundle: own.clone(),
            generation: key.generation(),
            epoch: key.epoch(),
            ratchet_period: self.ledger.zone().ratchet_period,
            state: match state {
                KeyState::Staged => OfferState::Staged,
                KeyState::Active | KeyState::Retiring | KeyState::Dead => OfferState::Active,
            },
            made_at,
            expires_at,
        };
        let signer = self.ledger.journal().key();
        let sign = |message: &[u8]| signer.sign(message);
        let random = &mut crate::random::system();
        SealedTrustOffer::seal(&offer, key, &identity.encryption_key, sign, random).map_err(|error| {
            match error {
                TrustOfferError::EncryptionKey => AdminError::invalid("bundle", error.to_string()),
                error => AdminError::Refused(error.to_string()),
            }
        })
    }

    /// Refuses a bundle that does not follow what the trust the other way knows of the zone: one of the two is wrong.
    pub(super) fn agrees(&self, other: Direction, bundle: &Bundle) -> Result<(), AdminError> {
        let trusts = self.ledger.directory().trusts();
        let Some(known) = trusts.get(other, bundle.zone.as_str()) else { return Ok(()) };
        known.known_as().accepts(bundle).map_err(|error| {
            AdminError::Refused(format!(
                "the bundle does not follow what the {other} trust with {zone} knows: {error}; if {zone} was made anew, delete \
                 that trust first",
                zone = bundle.zone
            ))
        })
    }
}

/// What the zone that is to ask is here.
struct Found {
    principal: PartyRecord,
    /// Whether it is not in the database yet.
    is_new: bool,
    /// The highest generation that it ever had.
    last: Option<keycell_protocol::Generation>,
}

const DAY: u32 = 86_400;
const MIN_VALID: u64 = 60;

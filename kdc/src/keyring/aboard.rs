//! The seal of how a party came aboard, and of what it is since (docs/decisions/0038).

use keycell_protocol::Name;
use rand_core::CryptoRng;

use super::{Keyring, KeyringError, RowBinding, Standing};
use crate::enrollment::{EnrollmentRecord, EnrollmentSeal};
use crate::store::{BoundEnrollment, PartyRecord};

impl Keyring {
    /// Seals how `party` came aboard, with what the party is now: of one that was let in just now, or whose seal held before
    /// what was changed ([`check_enrollment`](Self::check_enrollment)). Where an administrator made it, there is nothing
    /// to seal.
    pub fn seal_enrollment(&self, party: &mut PartyRecord, rng: &mut impl CryptoRng) {
        let standing = Standing::of(party);
        if let Some(record) = &mut party.enrollment {
            record.seal = self.enrollment_seal(&party.name, standing, record, rng);
        }
    }

    /// Checks that Keycell wrote how `party` came aboard, and what it is: who made up such a row, or took it back from being
    /// disabled, did not. It holds for one that an administrator made, of which there is nothing to check.
    ///
    /// # Errors
    /// [`KeyringError::Damaged`] and [`KeyringError::NoVersion`].
    pub fn check_enrollment(&self, party: &PartyRecord) -> Result<(), KeyringError> {
        match &party.enrollment {
            Some(record) => self.check_seal(&party.name, Standing::of(party), record),
            None => Ok(()),
        }
    }

    /// The new seal of an enrollment as it was found with what it is bound to.
    ///
    /// # Errors
    /// As [`check_enrollment`](Self::check_enrollment), of the one that it has.
    pub fn reseal_bound(
        &self,
        found: &BoundEnrollment,
        rng: &mut impl CryptoRng,
    ) -> Result<EnrollmentSeal, KeyringError> {
        let BoundEnrollment { party, standing, enrollment, .. } = found;
        self.check_seal(party, *standing, enrollment)?;
        Ok(self.enrollment_seal(party, *standing, enrollment, rng))
    }

    /// Changes something of `party` that its seal is of. A seal that held does so afterwards; one that did not is none from
    /// then on, so that nothing makes it hold by chance.
    ///
    /// # Errors
    /// [`KeyringError::NoVersion`]: nothing was changed.
    pub fn alter(
        &self,
        party: &mut PartyRecord,
        rng: &mut impl CryptoRng,
        change: impl FnOnce(&mut PartyRecord),
    ) -> Result<(), KeyringError> {
        let held = self.holds(party)?;
        change(party);
        self.seal_where(held, party, rng);
        Ok(())
    }

    /// Takes its author key from `party`. Nothing keeps anybody from that: a seal of which it cannot be told whether it holds is
    /// none from then on, like one that does not.
    pub fn take_author_key(&self, party: &mut PartyRecord, rng: &mut impl CryptoRng) {
        let held = self.check_enrollment(party).is_ok();
        party.author_key = None;
        self.seal_where(held, party, rng);
    }

    fn holds(&self, party: &PartyRecord) -> Result<bool, KeyringError> {
        match self.check_enrollment(party) {
            Ok(()) => Ok(true),
            Err(KeyringError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn seal_where(&self, held: bool, party: &mut PartyRecord, rng: &mut impl CryptoRng) {
        if held {
            self.seal_enrollment(party, rng);
        } else if let Some(record) = &mut party.enrollment {
            record.seal = EnrollmentSeal::default();
        }
    }

    fn enrollment_seal(
        &self,
        party: &Name,
        standing: Standing,
        record: &EnrollmentRecord,
        rng: &mut impl CryptoRng,
    ) -> EnrollmentSeal {
        let master = self.active();
        let binding = RowBinding::Enrollment { party, standing, body: &record.to_json() };
        EnrollmentSeal { master_version: master.version(), sealed: master.wrap(&binding, b"", rng) }
    }

    fn check_seal(
        &self,
        party: &Name,
        standing: Standing,
        record: &EnrollmentRecord,
    ) -> Result<(), KeyringError> {
        let binding = RowBinding::Enrollment { party, standing, body: &record.to_json() };
        let EnrollmentSeal { master_version, sealed } = &record.seal;
        if sealed.is_empty() {
            return Err(KeyringError::Damaged { row: binding.to_string() });
        }
        self.unwrap(&binding, *master_version, sealed).map(drop)
    }
}

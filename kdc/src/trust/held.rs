//! The keys that an outgoing trust is asked with, as they are wrapped: `count u8`, then of each `state u8 (1 active,
//! 2 staged) || generation u32 || epoch u32 || key 32`.

use keycell_protocol::{Epoch, Generation, LongTermKey, Zone};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{HeldVersion, secret_name};
use crate::keyring::{Keyring, KeyringError};
use crate::store::SecretRecord;

/// The keys of an outgoing trust. Erased when dropped, and its `Debug` shows no secret, for the keys do neither else.
#[derive(Debug, Clone, Default)]
pub struct HeldKeys {
    /// The one that the other KDC knows to be in use.
    pub active: Option<LongTermKey>,
    /// The next one, which is in use when the other KDC was first asked with it.
    pub staged: Option<LongTermKey>,
}

/// Whether two are one key, perhaps at different epochs.
pub(crate) fn is_same(one: &LongTermKey, other: &LongTermKey) -> bool {
    let epoch = one.epoch().max(other.epoch());
    let turned = |key: &LongTermKey| key.clone().advance(epoch).ok();
    one.generation() == other.generation()
        && turned(one)
            .zip(turned(other))
            .is_some_and(|(one, other)| one.expose_secret().ct_eq(other.expose_secret()).into())
}

impl HeldKeys {
    /// Wraps them as `version` of the secret of the trust with `zone`.
    pub fn seal(
        &self,
        keyring: &Keyring,
        zone: &Zone,
        version: u32,
        rng: &mut impl CryptoRng,
    ) -> SecretRecord {
        keyring.seal_secret(&secret_name(zone), version, &self.bytes(), rng)
    }

    /// Unwraps them.
    ///
    /// # Errors
    /// [`KeyringError::Damaged`] and [`KeyringError::NoVersion`].
    pub fn open(keyring: &Keyring, record: &SecretRecord) -> Result<Self, KeyringError> {
        let opened = keyring.open_secret(record)?;
        Self::read(&opened).ok_or_else(|| KeyringError::Damaged { row: format!("secret {}", record.name) })
    }

    /// What may be seen of them as `version`; `None` where there are none.
    #[must_use]
    pub fn seen(&self, version: u32) -> Option<HeldVersion> {
        let key = self.active.as_ref().or(self.staged.as_ref())?;
        Some(HeldVersion { version, generation: key.generation(), epoch: key.epoch() })
    }

    fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let keys = [(ACTIVE, &self.active), (STAGED, &self.staged)];
        // Never grown while a key is in it.
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + keys.len() * SIZE));
        bytes.push(u8::from(self.active.is_some()) + u8::from(self.staged.is_some()));
        for (state, key) in keys {
            let Some(key) = key else { continue };
            bytes.push(state);
            bytes.extend_from_slice(&key.generation().0.to_be_bytes());
            bytes.extend_from_slice(&key.epoch().0.to_be_bytes());
            bytes.extend_from_slice(key.expose_secret());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (count, rows) = bytes.split_first()?;
        let (rows, []) = rows.as_chunks::<SIZE>() else { return None };
        let mut keys = Self::default();
        for row in rows {
            let (state, row) = row.split_first()?;
            let (generation, row) = row.split_first_chunk()?;
            let (epoch, secret) = row.split_first_chunk()?;
            let secret = Zeroizing::new(<[u8; LongTermKey::SIZE]>::try_from(secret).ok()?);
            let of = match *state {
                ACTIVE => &mut keys.active,
                STAGED => &mut keys.staged,
                _ => return None,
            };
            let generation = Generation(u32::from_be_bytes(*generation));
            let key = LongTermKey::new(generation, Epoch(u32::from_be_bytes(*epoch)), *secret);
            if of.replace(key).is_some() {
                return None;
            }
        }
        (usize::from(*count) == rows.len()).then_some(keys)
    }
}

const ACTIVE: u8 = 1;
const STAGED: u8 = 2;
const SIZE: usize = 1 + 4 + 4 + LongTermKey::SIZE;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keyring::MasterKey;

    fn key() -> impl Strategy<Value = Option<LongTermKey>> {
        prop::option::of(any::<(u32, u32, [u8; 32])>().prop_map(|(generation, epoch, secret)| {
            LongTermKey::new(Generation(generation), Epoch(epoch), secret)
        }))
    }

    fn keyring() -> Keyring {
        let mut rng = crate::random::system();
        Keyring::create(MasterKey::generate(1, &mut rng), &mut rng).0
    }

    proptest! {
        #[test]
        fn what_is_wrapped_is_what_was_held(active in key(), staged in key(), version: u32) {
            let keyring = keyring();
            let zone = "z2".parse().unwrap();
            let held = HeldKeys { active, staged };
            let record = held.seal(&keyring, &zone, version, &mut crate::random::system());
            prop_assert_eq!(&record.name, "trust z2");
            let opened = HeldKeys::open(&keyring, &record).unwrap();
            prop_assert_eq!(&opened.bytes()[..], &held.bytes()[..]);
            prop_assert_eq!(opened.active.is_some(), held.active.is_some());
            prop_assert_eq!(opened.seen(version), held.seen(version));
        }

        /// Another release may wrap something else under the name.
        #[test]
        fn other_bytes_are_keys_or_are_not(
            bytes in prop_oneof![
                (0_u8..4, prop::collection::vec(any::<u8>(), 0..3 * SIZE)).prop_map(|(count, rest)| [vec![count], rest].concat()),
                (0_u8..4, 0_u8..4, any::<[u8; SIZE - 1]>(), 0_u8..4, any::<[u8; SIZE - 1]>())
                    .prop_map(|(count, one, first, two, second)| {
                        [vec![count, one], first.to_vec(), vec![two], second.to_vec()].concat()
                    }),
                Just(Vec::new()),
            ],
        ) {
            let mut rng = crate::random::system();
            let keyring = keyring();
            let record = keyring.seal_secret("trust z2", 1, &bytes, &mut rng);
            match HeldKeys::open(&keyring, &record) {
                Ok(held) => prop_assert_eq!(held.bytes().len(), bytes.len()),
                Err(error) => {
                    let damaged = matches!(error, KeyringError::Damaged { .. });
                    prop_assert!(damaged, "{}", error);
                }
            }
        }
    }

    #[test]
    fn nothing_of_a_key_is_printed() {
        let key = LongTermKey::new(Generation(1), Epoch(2), [0xAB; 32]);
        let held = HeldKeys { active: Some(key), staged: None };
        let printed = format!("{held:?}").to_lowercase();
        assert!(!printed.contains("171") && !printed.contains("abab"), "{printed}");
    }
}

//! The secret of a chain as it is wrapped: `generation u32 || secret 32`.

use keycell_protocol::{Generation, GroupChain};
use zeroize::Zeroizing;

use crate::keyring::{Keyring, KeyringError};
use crate::store::SecretRecord;

const SIZE: usize = 4 + GroupChain::SIZE;

/// What is wrapped of it.
pub(crate) fn bytes(chain: &GroupChain) -> Zeroizing<[u8; SIZE]> {
    let mut bytes = Zeroizing::new([0; SIZE]);
    let (generation, secret) = bytes.split_at_mut(4);
    generation.copy_from_slice(&chain.generation().0.to_be_bytes());
    secret.copy_from_slice(chain.expose_secret());
    bytes
}

/// Unwraps it.
///
/// # Errors
/// [`KeyringError::Damaged`] and [`KeyringError::NoVersion`].
pub(crate) fn open(keyring: &Keyring, record: &SecretRecord) -> Result<GroupChain, KeyringError> {
    let opened = keyring.open_secret(record)?;
    let parts = opened.split_first_chunk::<4>().and_then(|(generation, secret)| {
        let secret = Zeroizing::new(<[u8; GroupChain::SIZE]>::try_from(secret).ok()?);
        Some(GroupChain::new(Generation(u32::from_be_bytes(*generation)), *secret))
    });
    parts.ok_or_else(|| KeyringError::Damaged { row: format!("secret {}", record.name) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keyring::MasterKey;

    proptest! {
        /// Another release may wrap something else under the name of a group's secret.
        #[test]
        fn what_is_wrapped_is_a_chain_or_is_not(
            secret in prop_oneof![
                prop::collection::vec(any::<u8>(), SIZE),
                prop::collection::vec(any::<u8>(), 0..80),
            ],
        ) {
            let mut rng = crate::random::system();
            let (keyring, _) = Keyring::create(MasterKey::generate(1, &mut rng), &mut rng);
            let record = keyring.seal_secret("group g", 1, &secret, &mut rng);
            match open(&keyring, &record) {
                Ok(chain) => prop_assert_eq!(&bytes(&chain)[..], &secret[..]),
                Err(error) => {
                    let damaged = matches!(error, KeyringError::Damaged { .. });
                    prop_assert!(damaged && secret.len() != SIZE);
                }
            }
        }
    }
}

//! What both ends know after a request to enroll (docs/protocol.md §10.2).

use core::fmt;

use hpke::HpkeError;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::bundle::{IdentityEncryptionKey, IdentityName};
use crate::key::{Epoch, Generation, LongTermKey, ReplyKey};
use crate::name::Zone;
use crate::xwing::{self, Encapsulated, IdentitySecret, Receiver, Sender};

/// What one request to enroll makes: the host's long-term key, and the key that its answer is sealed under. Neither travels.
#[derive(Clone)]
pub struct EnrollmentKeys {
    long_term: Zeroizing<[u8; LongTermKey::SIZE]>,
    pub(super) reply: ReplyKey,
}

impl EnrollmentKeys {
    /// The host's long-term key, of the generation and epoch that the KDC says.
    #[must_use]
    pub fn long_term_key(&self, generation: Generation, epoch: Epoch) -> LongTermKey {
        LongTermKey::new(generation, epoch, *self.long_term)
    }

    fn exported(export: impl Fn(&[u8], &mut [u8]) -> Result<(), HpkeError>) -> Result<Self, HpkeError> {
        let (mut long_term, mut reply) = (Zeroizing::new([0; LongTermKey::SIZE]), Zeroizing::new([0; 32]));
        export(LONG_TERM, &mut *long_term)?;
        export(REPLY, &mut *reply)?;
        Ok(Self { long_term, reply: ReplyKey::from_bytes(*reply) })
    }
}

impl fmt::Debug for EnrollmentKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { long_term: _, reply: _ } = self;
        f.write_str("EnrollmentKeys(..)")
    }
}

/// To whom a request to enroll is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address<'a> {
    pub(super) zone: &'a Zone,
    pub(super) identity: IdentityName,
}

impl Address<'_> {
    /// `"keycell/1 enrollment\0" || zone || 0 || identity`: neither of them holds a zero byte.
    pub(super) fn info(self) -> Vec<u8> {
        [ENROLLMENT, self.zone.as_str().as_bytes(), b"\0", self.identity.to_string().as_bytes()].concat()
    }

    /// What the host signs. It holds a join token, so it is erased.
    pub(super) fn signed(self, encapsulated: &Encapsulated, json: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&*self.info(), b"\0", &encapsulated.0, json].concat())
    }

    /// Begins what is written to the identity.
    pub(super) fn sender(
        self,
        to: &IdentityEncryptionKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(Encapsulated, Sender, EnrollmentKeys), HpkeError> {
        let (encapsulated, context) = xwing::sender(to, &self.info(), rng)?;
        let keys = EnrollmentKeys::exported(|label, out| context.export(label, out))?;
        Ok((encapsulated, context, keys))
    }

    /// Begins to read what was written to the identity.
    pub(super) fn receiver(
        self,
        secret: &IdentitySecret,
        encapsulated: &Encapsulated,
    ) -> Result<(Receiver, EnrollmentKeys), HpkeError> {
        let context = xwing::receiver(secret, encapsulated, &self.info())?;
        let keys = EnrollmentKeys::exported(|label, out| context.export(label, out))?;
        Ok((context, keys))
    }
}

/// Begins what a host signs in order to enroll, and HPKE's info.
pub(super) const ENROLLMENT: &[u8] = b"keycell/1 enrollment\0";
/// Contexts of HPKE's exporter, which takes them whole.
const LONG_TERM: &[u8] = b"keycell/1 enrollment key";
const REPLY: &[u8] = b"keycell/1 enrollment reply";

//! Keys for one kind of request: who asks for a ticket cannot be made to have asked for anything else (docs/protocol.md
//! §4.2).

use core::fmt;
use core::marker::PhantomData;

use crate::derive::{Label, subkey};
use crate::key::{Epoch, Generation, LongTermKey, ReplyKey, RequestKey};
use crate::name::Name;
use crate::request::KeyReference;

/// A kind of request that has keys of its own.
pub trait Purpose: Sealed {}

/// Rotating a long-term key ([`SignedRotation`](crate::SignedRotation)).
#[derive(Debug, Clone, Copy)]
pub enum Rotation {}

/// Asking for a group's keys ([`SignedGroupRequest`](crate::SignedGroupRequest)).
#[derive(Debug, Clone, Copy)]
pub enum GroupKeys {}

/// Asking for a voucher ([`SignedVoucherRequest`](crate::SignedVoucherRequest)).
#[derive(Debug, Clone, Copy)]
pub enum Vouchers {}

/// Asking for tickets on behalf of a zone's own parties ([`SignedPeerRequest`](crate::SignedPeerRequest)).
#[derive(Debug, Clone, Copy)]
pub enum Peers {}

impl Purpose for Rotation {}
impl Purpose for GroupKeys {}
impl Purpose for Vouchers {}
impl Purpose for Peers {}

pub(crate) mod sealed {
    use crate::derive::Label;

    /// Which labels a purpose has, and nobody outside gives it others.
    pub trait Sealed {
        #[doc(hidden)]
        fn labels() -> Labels;
    }

    /// Of the request, and of the reply.
    #[derive(Debug, Clone, Copy)]
    pub struct Labels(pub(crate) Label, pub(crate) Label);
}

use sealed::{Labels, Sealed};

impl Sealed for Rotation {
    fn labels() -> Labels {
        Labels(Label::RotateRequest, Label::RotateReply)
    }
}

impl Sealed for GroupKeys {
    fn labels() -> Labels {
        Labels(Label::GroupRequest, Label::GroupReply)
    }
}

impl Sealed for Vouchers {
    fn labels() -> Labels {
        Labels(Label::VoucherRequest, Label::VoucherReply)
    }
}

impl Sealed for Peers {
    fn labels() -> Labels {
        Labels(Label::PeerRequest, Label::PeerReply)
    }
}

/// What one generation of a long-term key asks with, for one purpose and at one epoch. Derived when it is needed and
/// dropped after.
pub struct KeysFor<P> {
    generation: Generation,
    epoch: Epoch,
    pub(crate) request: RequestKey,
    pub(crate) reply: ReplyKey,
    purpose: PhantomData<P>,
}

impl<P> KeysFor<P> {
    /// The generation of the long-term key.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The epoch of the long-term key.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How a request by `party` names the key.
    pub(crate) fn reference(&self, party: &Name) -> KeyReference {
        KeyReference { name: party.clone(), generation: self.generation, epoch: self.epoch }
    }
}

impl LongTermKey {
    /// The keys for one purpose.
    #[must_use]
    pub fn keys_for<P: Purpose>(&self) -> KeysFor<P> {
        let Labels(request, reply) = P::labels();
        KeysFor {
            generation: self.generation(),
            epoch: self.epoch(),
            request: RequestKey::from_bytes(subkey(self.expose_secret(), request)),
            reply: ReplyKey::from_bytes(subkey(self.expose_secret(), reply)),
            purpose: PhantomData,
        }
    }
}

impl<P> Clone for KeysFor<P> {
    fn clone(&self) -> Self {
        let Self { generation, epoch, request, reply, purpose } = self;
        Self {
            generation: *generation,
            epoch: *epoch,
            request: request.clone(),
            reply: reply.clone(),
            purpose: *purpose,
        }
    }
}

impl<P> fmt::Debug for KeysFor<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, epoch, request, reply, purpose: _ } = self;
        f.debug_struct("KeysFor")
            .field("generation", generation)
            .field("epoch", epoch)
            .field("request", request)
            .field("reply", reply)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_purpose_signs_no_other_takes() {
        let key = LongTermKey::new(Generation(1), Epoch(5), [7; 32]);
        let (rotation, groups, vouchers) =
            (key.keys_for::<Rotation>(), key.keys_for::<GroupKeys>(), key.keys_for::<Vouchers>());
        let peers = key.keys_for::<Peers>();
        let subkeys = key.subkeys();
        let keys = [&subkeys.request, &rotation.request, &groups.request, &vouchers.request, &peers.request];
        for (at, signer) in keys.iter().enumerate() {
            let signature = signer.sign(b"m");
            for (other, key) in keys.iter().enumerate() {
                assert_eq!(key.verify(b"m", &signature), at == other);
            }
        }
        assert!(!format!("{rotation:?}").contains('7'));
    }
}

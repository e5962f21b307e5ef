//! What all kinds of cases have.

use std::fmt::Debug;

use serde::de::DeserializeOwned;

use crate::format::author::*;
use crate::format::bundle::*;
use crate::format::enrollment::*;
use crate::format::group::*;
use crate::format::trust::*;
use crate::format::*;

/// A case that is run by itself.
pub(super) trait Case: DeserializeOwned {
    /// What comes out when it is accepted.
    type Accepted: PartialEq + Debug;

    /// What it is called, and what has to come out.
    fn expected(self) -> (String, Expect<Self::Accepted>);
}

macro_rules! cases {
    ($($case:ty => $accepted:ty,)*) => {
        $(impl Case for $case {
            type Accepted = $accepted;

            fn expected(self) -> (String, Expect<$accepted>) {
                (self.case, self.expect)
            }
        })*
    };
}

cases! {
    AuthorCase => Authored,
    BundleCase => Bundle,
    BundleFingerprintCase => String,
    ContentCase => Hex,
    EncryptionKeyCase => (),
    EnrolledNameCase => EnrolledParts,
    EnrollmentCase => Enrolling,
    EnrollmentReplyCase => Answer,
    EpochCase => (),
    EvidenceCase => Said,
    FingerprintCase => (),
    GroupKeyCase => Hex,
    GroupReplyCase => GroupReply,
    GroupRequestCase => GroupRequest,
    HostCase => (),
    JoinTokenCase => String,
    NameCase => NameParts,
    OwnHostCase => String,
    PeerReplyCase => Reply,
    PeerRequestCase => PeerRequest,
    RatchetCase => Hex,
    ReplyCase => Reply,
    RequestCase => Request,
    RotationCase => Rotation,
    RotationReplyCase => Answered,
    SekCase => (),
    ServiceCase => (),
    SubkeysCase => (),
    SuccessionCase => (),
    TicketCase => TicketParts,
    TrustOfferCase => Offered,
    VoucherCase => Voucher,
    VoucherReplyCase => VoucherReply,
    VoucherRequestCase => VoucherRequest,
}

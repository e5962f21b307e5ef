//! The names of errors in vectors: of each variant, in kebab-case.

use keycell_protocol::{
    BundleError, EnrollmentError, EvidenceError, JoinTokenError, NameError, RatchetError, ReplayError,
    ReplyError, RequestError, SuccessionError, TicketError, TrustOfferError, VoucherError,
};

pub(super) fn name_reason(error: NameError) -> &'static str {
    match error {
        NameError::NoZone => "no-zone",
        NameError::LocalLength => "local-length",
        NameError::LocalStart => "local-start",
        NameError::LocalByte => "local-byte",
        NameError::ZoneLength => "zone-length",
        NameError::ZoneForm => "zone-form",
        NameError::Service => "service",
        NameError::Host => "host",
        NameError::Fingerprint => "fingerprint",
    }
}

pub(super) fn ratchet_reason(error: RatchetError) -> &'static str {
    match error {
        RatchetError::Backwards => "backwards",
        RatchetError::TooFar => "too-far",
        // 2³² days: no file shows it, the crate's own tests do.
        RatchetError::EndOfTime => "end-of-time",
    }
}

pub(super) fn ticket_reason(error: TicketError) -> &'static str {
    match error {
        TicketError::Length => "length",
        TicketError::Version => "version",
        TicketError::Kind => "kind",
        TicketError::Forged => "forged",
    }
}

pub(super) fn request_reason(error: RequestError) -> &'static str {
    match error {
        RequestError::Malformed => "malformed",
        RequestError::Forged => "forged",
        RequestError::Source => "source",
        RequestError::Destinations => "destinations",
        RequestError::Possession => "possession",
    }
}

pub(super) fn reply_reason(error: ReplyError) -> &'static str {
    match error {
        ReplyError::Malformed => "malformed",
        ReplyError::Forged => "forged",
        ReplyError::AnotherRequest => "another-request",
        ReplyError::Destinations => "destinations",
        ReplyError::AnotherKdc => "another-kdc",
    }
}

pub(super) fn replay_reason(error: ReplayError) -> &'static str {
    match error {
        ReplayError::Seen => "seen",
        ReplayError::TooOld => "too-old",
    }
}

pub(super) fn voucher_reason(error: VoucherError) -> &'static str {
    match error {
        VoucherError::Malformed => "malformed",
        VoucherError::UnknownSigner => "unknown-signer",
        VoucherError::Forged => "forged",
    }
}

pub(super) fn evidence_reason(error: EvidenceError) -> &'static str {
    match error {
        EvidenceError::Malformed => "malformed",
        EvidenceError::UnknownSigner => "unknown-signer",
        EvidenceError::Expired => "expired",
        EvidenceError::Forged => "forged",
        EvidenceError::Body => "body",
    }
}

pub(super) fn bundle_reason(error: &BundleError) -> &'static str {
    match error {
        BundleError::TooLong => "too-long",
        BundleError::Json { .. } => "malformed",
        BundleError::Version(_) => "version",
        BundleError::Urls => "urls",
        BundleError::Identities => "identities",
        BundleError::Trusted => "trusted",
        // Of one that is alone: in a bundle it makes the JSON that of none.
        BundleError::IdentityName => "identity-name",
    }
}

pub(super) fn succession_reason(error: SuccessionError) -> &'static str {
    match error {
        SuccessionError::Zone => "zone",
        SuccessionError::OtherKeys(_) => "other-keys",
        SuccessionError::Earlier { .. } => "earlier",
        SuccessionError::Missing(_) => "missing",
        SuccessionError::Stranger(_) => "stranger",
    }
}

pub(super) fn enrollment_reason(error: EnrollmentError) -> &'static str {
    match error {
        EnrollmentError::Malformed => "malformed",
        EnrollmentError::Forged => "forged",
        EnrollmentError::Identity => "identity",
    }
}

pub(super) fn join_token_reason(error: JoinTokenError) -> &'static str {
    match error {
        JoinTokenError::Token => "token",
        // Of one that is alone.
        JoinTokenError::Id => "id",
    }
}

pub(super) fn trust_reason(error: &TrustOfferError) -> &'static str {
    match error {
        TrustOfferError::TooLong => "too-long",
        TrustOfferError::Malformed => "malformed",
        TrustOfferError::Several => "several",
        TrustOfferError::Version(_) => "version",
        TrustOfferError::Inconsistent => "inconsistent",
        TrustOfferError::Zone(_) => "zone",
        TrustOfferError::Identity { .. } => "identity",
        TrustOfferError::Early(_) => "early",
        TrustOfferError::Expired(_) => "expired",
        TrustOfferError::Forged => "forged",
        TrustOfferError::Fingerprint(_) => "fingerprint",
        TrustOfferError::UnknownSigner(_) => "unknown-signer",
        TrustOfferError::Succession(error) => succession_reason(*error),
        TrustOfferError::AnotherKey => "another-key",
        // Of one that is being made: the crate's own tests show them.
        TrustOfferError::EncryptionKey => "encryption-key",
        TrustOfferError::Signer => "signer",
    }
}

//! The JSON of the administrators' API, for both of its ends. One file for each kind of thing; docs/api.md has the
//! conventions, `openapi.yaml` every field.

mod audit;
mod conflict;
mod enrollment;
mod group;
mod identity;
mod import;
mod join_token;
mod key;
mod master_key;
mod object;
mod party;
mod policy;
mod public_key;
mod reload;
mod status;
mod token;
mod trust;
mod waiting;
mod zone;

pub use audit::{AuditPage, AuditRecord, AuditReport, AuditSeal, AuditTrim, AuditTrimmed};
pub use conflict::{ConflictPage, ConflictView, CopiesView, SameHostView};
pub use enrollment::{EnrollmentPatch, EnrollmentView};
pub use group::{
    GroupPage, GroupPatch, GroupView, LeftOut, MemberPage, MemberView, NewGroup, UnknownLeftOut,
};
pub use identity::{IdentitiesView, IdentityState, IdentityView, PrivateHalf};
pub use import::{ImportLine, ImportOutcome, ImportRow, ImportSummary, Imported};
pub use join_token::{
    CreatedJoinToken, JoinTokenPage, JoinTokenState, JoinTokenView, NewJoinToken, UnknownJoinTokenState,
};
pub use key::{NewPartyKey, RotateKeys, RotationAsked};
pub use master_key::{MasterKeyVersion, MasterKeyView, RatchetConfirmation, RatchetView};
pub(crate) use object::Object;
pub use party::{
    CreatedParty, EnrolledView, KeyPage, KeyView, NewParty, PartyPage, PartyPatch, PartyState, PartyView,
};
pub use policy::{NewRule, PolicyTest, PolicyView, ProfileView, RulePage, RulePatch, RuleView, Rules};
pub use reload::Reloaded;
pub use status::{EnrollmentCounts, OldestKey, PartyCounts, StatusView, TicketCounts, TrustState, Warning};
pub use token::{CreatedToken, NewToken, TokenPage, TokenView, WhoAmI};
pub use trust::{NewTrust, NewTrustOffer, TrustList, TrustOffered, TrustPatch, TrustView};
pub use waiting::{WaitingPage, WaitingView};
pub use zone::{LimitsPatch, LimitsView, RateView, ZonePatch, ZoneSettings};

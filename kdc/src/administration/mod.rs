//! What administrators do. Every change goes through the [`Ledger`]: one transaction with the record of it, and then in
//! force on this KDC.

mod access;
mod asker;
mod author_keys;
mod caller;
mod chosen;
mod conflicts;
mod departures;
mod error;
mod groups;
mod identities;
mod import;
mod join_tokens;
mod keys;
mod ledger;
mod master_key;
mod parties;
mod policies;
mod precondition;
mod retry;
mod settings;
mod status;
mod tokens;

pub use access::{Access, AccessError};
pub use asker::Asker;
pub use author_keys::AuthorKeys;
pub use caller::Caller;
pub use conflicts::Conflicts;
pub use error::{AdminError, PartyError};
pub use groups::Groups;
pub use identities::{IdentityDesk, SecondaryOnDisk};
pub use import::{ImportEntry, ImportResult};
pub use join_tokens::JoinTokens;
pub(crate) use keys::States;
pub use keys::{Keys, NewKey, Replacement, Selected, Selection, Turned, due};
pub use ledger::Ledger;
pub use master_key::MasterKeyDesk;
pub use parties::{Created, Filter, NewEntry, Parties};
pub use policies::Policies;
pub use precondition::Precondition;
pub use retry::{Kept, Retry};
pub use settings::ZoneSettingsDesk;
pub use status::{Sample, Sampler, Walk, status, walk};
pub use tokens::Tokens;
pub(crate) use tokens::make as make_token;

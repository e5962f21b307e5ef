//! The KDC's identities (docs/protocol.md §10): two key pairs each, by which hosts and other zones know it.
//!
//! The primary signs vouchers and the audit log. The secondary is for the day on which the primary is lost or stolen: its
//! private half is to leave this machine. Public halves are in the sealed setting `identities`, private ones are secrets of
//! the KDC, such as `identity #KDC#00001`.

mod exported;
mod identity;
mod making;
mod passphrase;
mod private;

pub use exported::{Exported, ExportedError};
pub use identity::{Identity, IdentityError};
pub(crate) use making::{complete, made, secret_name, watermark_name};
pub use passphrase::Passphrase;
pub(crate) use private::private_half;

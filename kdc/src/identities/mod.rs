//! The KDC's identities (docs/protocol.md §10): two key pairs each, by which hosts and other zones know it.
//!
//! The primary signs vouchers and the audit log. The secondary is for the day on which the primary is lost or stolen: its
//! private half is to be carried off this machine. Public halves are in the sealed setting `identities`, private ones are
//! secrets of the KDC, `identity #KDC#00001` and `identity #KDC#00002`.

mod carried;
mod identity;
mod making;

pub use carried::{Carried, CarriedError};
pub use identity::{Identity, IdentityError};
pub(crate) use making::{complete, made, secret_name};

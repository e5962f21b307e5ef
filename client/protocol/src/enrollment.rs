//! How a host comes into a cell: it proves a key of its own to one of the KDC's identities, and both know the host's
//! long-term key then (docs/protocol.md §10).

mod name;
mod token;

pub use name::{EnrolledName, Fingerprint, HostName, ServiceName};
pub use token::{JoinToken, JoinTokenError, JoinTokenId};

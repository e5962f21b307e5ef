//! Trust between zones (docs/protocol.md §12): whose parties may speak to whom over the border.
//!
//! To the zone that is asked, the zone that asks is a principal like its parties: `#ZONE#asking@asked` is a row of the parties
//! table, with generations, ratchet and rotation. To the zone that asks, it is a key to be kept as a host keeps its own: a
//! secret of its KDC, named by the document of the trust.

mod held;
mod record;
mod trusts;

pub use held::HeldKeys;
pub(crate) use held::is_same;
pub use record::{
    DEFAULT_RATE, Direction, HeldVersion, LIFETIME, MAX_PATTERNS, MAX_TRUSTS, PeerRecord, SECRET_PREFIX,
    TrustRecord, UnknownDirection, document_id, secret_name,
};
pub use trusts::{Listed, Trusts};

/// The schema of the first release that knows of trust.
pub const SCHEMA: i64 = 6;

//! How hosts come aboard by themselves (docs/protocol.md §10): what is kept of it, and the rules that need no database.

mod committer;
mod conflict;
mod crowd;
mod decide;
mod desk;
mod draft;
mod error;
mod found;
mod hosts;
mod join_token;
mod open;
mod others;
mod processes;
pub(crate) mod record;
mod setting;
mod settled;
mod waiting;

pub use committer::{Committer, Unsettled};
pub use conflict::{ConflictKind, ConflictRecord, Copies, CopiesKind, SameHost, UnknownConflictKind};
pub use decide::{Admit, Applicant, Crowd, Known, Refusal, Verdict, decide, retry_after};
pub use desk::EnrollmentDesk;
pub use error::EnrollError;
pub use hosts::{HostPattern, HostPatternError};
pub use join_token::{JoinTokenRecord, TokenRefusal};
pub use open::{OpenError, Opened, Opener};
pub use processes::{Alternation, Process, Processes, Sighting, UnknownProcess};
pub use record::{Admission, EnrollmentRecord, EnrollmentSeal};
pub use setting::{ClonesRule, ConflictsRule, EnrollmentMode, EnrollmentSetting};
pub use settled::{How, Request, Settled};
pub use waiting::{WaitingFor, WaitingRecord, WaitingState};

/// The schema of the first release that knows enrollment.
pub const SCHEMA: i64 = 5;

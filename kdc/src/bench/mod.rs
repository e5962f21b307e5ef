//! Load on a KDC, and what it costs: the work behind `keycell bench`.

mod cpu;
mod echo;
mod load;
mod trial;

pub use cpu::{CpuClock, CpuError};
pub use echo::serve_echo;
pub use load::{Load, LoadError, Measured, Protocol, Target};
pub use trial::{Comparison, Trial, TrialError, signed_requests};

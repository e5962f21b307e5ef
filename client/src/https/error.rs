//! What can go wrong between an agent and its KDCs.

use core::time::Duration;

use keycell_protocol::{CannotOpen, Name, ProblemType};

use crate::{HostStoreError, KeyFileError, SealError};

/// Why a message was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// As the agent says.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No ticket came in time.
    #[error("no ticket for {destination} within {} s: {last}", .waited.as_secs())]
    NoAnswer {
        /// For whom.
        destination: Name,
        /// How long it was waited for.
        waited: Duration,
        /// The last failure.
        last: String,
    },
    /// No voucher for this party's author key came in time.
    #[error("no voucher for this party's author key within {} s: {last}", .waited.as_secs())]
    NoVoucher {
        /// How long it was waited for.
        waited: Duration,
        /// The last failure.
        last: String,
    },
}

/// Why a message was not opened, although the keys of its group were waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// As the agent says. The cause is for the receiver's own log.
    #[error(transparent)]
    Cannot(#[from] CannotOpen),
    /// The KDC gives this party no keys of the group.
    #[error("the KDC gives this party no keys of the group {group}: {}", membership(*.problem))]
    Refused {
        /// Which.
        group: Name,
        /// Why; `None` when a newer KDC gave a reason that is not known here.
        problem: Option<ProblemType>,
    },
    /// The key of the group did not come, and will not soon.
    #[error("no key came for a message to the group {group}: {last}")]
    NoKey {
        /// Which.
        group: Name,
        /// What stands in the way.
        last: String,
    },
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The folder of the host cannot be used.
    #[error(transparent)]
    Host(#[from] HostStoreError),
    /// No KDC is named.
    #[error("the key file names no KDC; set \"urls\" in it, for instance [\"https://kdc.example.com:7423\"]")]
    NoUrls,
    /// A URL that is none, or not `https`.
    #[error("{url:?} in the key file's \"urls\" is not the address of a KDC; it must start with https://")]
    Url {
        /// The URL.
        url: String,
    },
    /// No certificate to trust is named.
    #[error(
        "the key file names no certificate to trust; set \"tls_roots\" in it to the PEM of the certificate \
         authority of the KDCs (the system's own are not used)"
    )]
    NoRoots,
    /// The certificates cannot be read.
    #[error("\"tls_roots\" in the key file is not PEM of certificates: {0}")]
    Roots(String),
    /// TLS or HTTP cannot be set up.
    #[error("cannot set up HTTPS: {0}")]
    Setup(String),
    /// Not called from a tokio runtime.
    #[error("an async agent lives in a tokio runtime; use the blocking one outside")]
    NoRuntime,
    /// The thread of a blocking agent does not start.
    #[error("cannot start the agent's thread: {0}")]
    Thread(std::io::Error),
}

fn membership(problem: Option<ProblemType>) -> &'static str {
    match problem {
        Some(ProblemType::NotAllowed) => {
            "it is no member, or there is no such group; an administrator sees which, and why, with \
             `keycell group members GROUP --all`"
        }
        Some(problem) => problem.title(),
        None => "for a reason that this version does not know",
    }
}

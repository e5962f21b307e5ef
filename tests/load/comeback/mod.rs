//! A fleet whose KDC is robbed, on a fake clock: hosts enroll, the KDC's database and master key are copied, the KDC recovers on
//! its secondary identity, and all hosts come back by themselves. The KDC is the real one, with its database on the disk and
//! the commands of docs/recovery.md; each host is the client's own agent, and enrolls by the protocol's own code.
//!
//! ```text
//! tests/load/recovery [HOSTS]
//! ```
//!
//! It prints what happened when, and what a thief with all that was copied gets. It ends with 1 if a host did not come back, if
//! they came in a storm, or if the thief got what it must not.

#![expect(clippy::expect_used, clippy::panic, reason = "what the simulation cannot do ends it")]

mod cell;
mod crowd;
mod drill;
mod host;
mod kdc;
mod tally;
mod thief;
mod transcript;

use std::process::ExitCode;

#[tokio::main]
pub(crate) async fn run(hosts: Option<&str>) -> ExitCode {
    let Ok(hosts @ 100..=1_000_000) = hosts.map_or(Ok(100_000), str::parse) else {
        eprintln!("recovery [HOSTS]: from 100 to 1,000,000");
        return ExitCode::from(2);
    };
    match drill::run(hosts).await {
        faults if faults.is_empty() => ExitCode::SUCCESS,
        faults => {
            faults.iter().for_each(|fault| eprintln!("recovery: FAILED: {fault}"));
            ExitCode::FAILURE
        }
    }
}

//! A group and its members over an hour of a fake clock: real agents, and the protocol's own code on the KDC's side. A
//! message goes to all of them every few seconds; in the middle the group is rotated, and later a member is removed.
//!
//! ```text
//! tests/load/groups [MEMBERS]
//! ```
//!
//! It prints who asked when, and ends with 1 if that was no even stream, if a message made a member ask while nothing had
//! been changed, or if a member was locked out.

#![expect(clippy::expect_used, reason = "what the simulation cannot do ends it")]

mod report;
mod share;
mod zone;

use std::process::ExitCode;
use std::thread;

use report::Report;
use share::Share;
use zone::Zone;

pub(crate) fn run(members: Option<&str>) -> ExitCode {
    let Ok(members @ 100..=10_000_000) = members.map_or(Ok(100_000), str::parse) else {
        eprintln!("groups [MEMBERS]: from 100 to 10,000,000");
        return ExitCode::from(2);
    };
    let zone = Zone::new(members);
    let messages = zone.broadcasts();
    // Members do not know of each other, so each thread has a part of them, all through the hour. On any machine as many, so
    // that the same comes out.
    let shares = 16;
    let reports: Vec<Report> = thread::scope(|scope| {
        let start = |share| {
            let (zone, messages) = (&zone, &messages);
            scope.spawn(move || {
                Share::new(zone, share, (share..members).step_by(shares as usize)).run(messages)
            })
        };
        let running: Vec<_> = (0..shares).map(start).collect();
        running.into_iter().map(|share| share.join().expect("a share does not panic")).collect()
    });
    let report = reports.into_iter().fold(Report::new(), Report::plus);
    println!("{}", report.table(&zone, messages.len()));
    match report.faults(&zone, messages.len()) {
        faults if faults.is_empty() => ExitCode::SUCCESS,
        faults => {
            faults.iter().for_each(|fault| eprintln!("groups: FAILED: {fault}"));
            ExitCode::FAILURE
        }
    }
}

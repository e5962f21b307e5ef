//! A soak: agents talk to each other without a pause while everything under them is exchanged: their own keys by hand and
//! by the ratchet, the master key, the KDC's certificate, its configuration and its policy, with backups meanwhile.
//!
//! ```text
//! tests/load/soak [SECONDS]
//! ```
//!
//! It prints what was done and ends with 1 if a request failed or a message did not open.

#![expect(clippy::expect_used, reason = "what the soak cannot do ends it")]

mod counts;
mod exchange;
mod fleet;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keycell_tests::cell::Cell;
use tokio_util::sync::CancellationToken;

use counts::Counts;
use exchange::Exchange;
use fleet::Fleet;

#[tokio::main]
pub(crate) async fn run(seconds: Option<&str>) -> ExitCode {
    let Ok(seconds) = seconds.map_or(Ok(60), str::parse) else {
        eprintln!("soak [SECONDS]");
        return ExitCode::from(2);
    };
    // Epochs of a minute: the ratchet turns in ten minutes as often as else in ten days.
    let cell = Cell::sqlite_with(&["--ratchet-period", "60"]);
    cell.configure("[tickets]\nlifetime_seconds = 10\n");
    let kdc = cell.serve();
    let counts = Arc::new(Counts::default());
    let fleet = Fleet::start(&cell, &kdc, &counts).await;
    let mut exchange = Exchange::new(&cell, &kdc).await;

    let end = Instant::now() + Duration::from_secs(seconds);
    let stop = CancellationToken::new();
    let talking = tokio::spawn(fleet.talk(stop.clone()));
    // Once each at least, however short it is.
    while Instant::now() < end || exchange.rounds() == 0 {
        exchange.round().await;
    }
    stop.cancel();
    let fleet = talking.await.expect("the agents do not panic");
    fleet.drain().await;
    exchange.settle().await;

    println!("{}", exchange.report(&kdc, seconds).await);
    println!("{}", counts.report(&fleet));
    if counts.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

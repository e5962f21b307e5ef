//! A flood of hosts that enroll with one join token, at a whole KDC in this process, on SQLite at full durability, with no
//! HTTP; and tickets meanwhile, one each millisecond.
//!
//! ```text
//! tests/load/enroll [HOSTS]
//! ```
//!
//! It prints how many came aboard a second, and what the tickets took with and without them; it ends with 1 if a host is
//! not aboard, or if a use of the token was not counted, or twice.

#![expect(clippy::expect_used, reason = "what the measurement cannot do ends it")]

mod tickets;
mod zone;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tickets::Tickets;
use tokio_util::sync::CancellationToken;
use zone::Zone;

/// Hosts whose request is on its way at one time.
const CLIENTS: usize = 256;
/// How long tickets are asked for with nothing else going on.
const QUIET: Duration = Duration::from_secs(10);

pub(crate) fn run(hosts: Option<&str>) -> ExitCode {
    let Ok(hosts @ 1_000..=1_000_000) = hosts.map_or(Ok(100_000), str::parse) else {
        eprintln!("enroll [HOSTS]: from 1,000 to 1,000,000");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(flood(hosts))
}

async fn flood(hosts: usize) -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder");
    let zone = Arc::new(Zone::new(folder.path(), hosts).await);
    let requests = Arc::new(zone.requests(hosts));
    println!("{hosts} requests are sealed.");

    let tickets = Tickets::new(&zone).await;
    let quiet = {
        let stop = CancellationToken::new();
        let asking = tokio::spawn(tickets.clone().ask(stop.clone()));
        tokio::time::sleep(QUIET).await;
        stop.cancel();
        asking.await.expect("tickets")
    };

    let stop = CancellationToken::new();
    let asking = tokio::spawn(tickets.ask(stop.clone()));
    let (next, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (zone, requests) = (zone.clone(), requests.clone());
            let (next, again) = (next.clone(), again.clone());
            tokio::spawn(async move {
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    while !zone.enroll(request).await {
                        again.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("every host is let in");
    }
    let took = began.elapsed();
    stop.cancel();
    let busy = asking.await.expect("tickets");

    let (aboard, uses, batches) = zone.counts().await;
    println!(
        "{hosts} hosts in {:.1} s: {:.0} a second; {:.1} in a transaction; {} were told to come back",
        took.as_secs_f64(),
        hosts as f64 / took.as_secs_f64(),
        hosts as f64 / f64::from(batches),
        again.load(Ordering::Relaxed),
    );
    println!("tickets alone:     {quiet}");
    println!("tickets meanwhile: {busy}");
    println!(
        "ratio of the medians {:.1}, of the 99th of 100 {:.1}",
        busy.ratio(&quiet, 50),
        busy.ratio(&quiet, 99)
    );
    zone.close().await;
    if (aboard, uses as usize) == (hosts, hosts) {
        ExitCode::SUCCESS
    } else {
        eprintln!("hosts: FAILED: {aboard} are aboard, and {uses} uses were counted");
        ExitCode::FAILURE
    }
}

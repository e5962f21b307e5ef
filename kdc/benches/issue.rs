//! Tickets inside the KDC, with no HTTP, against the cryptography that they cannot do without.
//!
//! `cargo bench -p keycell-kdc --bench issue`; docs/benchmarks.md has the numbers. A whole KDC on a fresh SQLite cell
//! answers signed requests, each with a nonce of its own. The bare cryptography of one ticket is what the issue
//! counts: one HMAC, two HKDF-Expands, two XChaCha20-Poly1305 seals (the ticket, the reply) and the randomness.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be set up has nothing to measure"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use keycell_kdc::administration::{Caller, ImportEntry, NewEntry};
use keycell_kdc::cell::{Cell, NewCell};
use keycell_kdc::clock::{ManualClock, SystemClock};
use keycell_kdc::config::Config;
use keycell_kdc::kdc::Kdc;
use keycell_kdc::limit::Rate;
use keycell_kdc::policy::Profile;
use keycell_protocol::{
    Instance, Name, Nonce, RatchetPeriod, SignedRequest, Subkeys, TicketRequest, UnixMillis,
};

#[path = "issue/bare.rs"]
mod bare;

/// Requests between two looks at the clock, all signed before.
const BATCH: u64 = 256;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let bench = runtime.block_on(Bench::new(folder.path()));

    let mut criterion = Criterion::default()
        .sample_size(60)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    bare::bench(&mut criterion);
    bench.issue(&mut criterion, 1, BATCH);
    bench.issue(&mut criterion, 1000, 1);
    criterion.final_summary();
    report();
    runtime.block_on(bench.kdc.close());
}

struct Bench {
    kdc: Kdc,
    now: UnixMillis,
    source: Name,
    keys: Subkeys,
    destinations: Vec<Name>,
}

impl Bench {
    async fn new(folder: &std::path::Path) -> Self {
        let cell = NewCell {
            folder: folder.join("cell"),
            zone: "cell.example".parse().expect("a zone"),
            listen: "127.0.0.1:7423".parse().expect("an address"),
            urls: vec!["https://localhost:7423".into()],
            database: None,
            ratchet_period: RatchetPeriod::DEFAULT,
            profile: Profile::Open,
        };
        cell.create(&SystemClock).await.expect("a cell");
        let mut config = Config::load(&cell.folder.join(Config::FILE), None).expect("its configuration");
        // Measured is the path of a ticket, not the limits' refusals; both limits are still asked.
        config.limits.tickets_per_party = Rate::new(u32::MAX, u32::MAX);
        config.limits.nonces = 1 << 26;
        let clock = Arc::new(ManualClock::new(keycell_kdc::clock::Clock::now(&SystemClock)));
        let now = keycell_kdc::clock::Clock::now(&*clock);
        let cell = Cell::open(&config).await.expect("an open cell");
        let kdc = cell.into_kdc(config, clock).await.expect("a KDC");

        let name = |text: String| -> Name { text.parse().expect("a name") };
        let source = name("cma.main@cell.example".into());
        let caller = Caller::console();
        let entry = NewEntry::named(source.clone());
        let key = kdc.parties().create(&caller, &entry, |_| Ok(None)).await.expect("a party").key;
        let destinations: Vec<_> =
            (0..1000).map(|n| name(format!("nanoprobe.web{n}::0123abcd@cell.example"))).collect();
        let entry = |(line, name): (u64, &Name)| ImportEntry { line, entry: NewEntry::named(name.clone()) };
        let entries: Vec<_> = (1..).zip(&destinations).map(entry).collect();
        kdc.parties().import(&caller, &entries, false).await;
        Self { kdc, now, source, keys: key.subkeys(), destinations }
    }

    /// `count` tickets a request.
    fn issue(&self, criterion: &mut Criterion, count: usize, batch: u64) {
        let mut number = (count as u128) << 64;
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        criterion.bench_function(&format!("tickets {count}/keycell"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let now = left.min(batch);
                    let requests: Vec<_> = (0..now)
                        .map(|_| {
                            number += 1;
                            self.request(count, number)
                        })
                        .collect();
                    let start = Instant::now();
                    for json in &requests {
                        let signed = SignedRequest::parse(black_box(json)).expect("a request");
                        let issued = self.kdc.tickets(&signed, Some(address)).expect("tickets");
                        assert_eq!(black_box(issued).granted as usize, count, "all are granted");
                    }
                    spent += start.elapsed();
                    left -= now;
                }
                spent
            });
        });
    }

    fn request(&self, count: usize, number: u128) -> Vec<u8> {
        let request = TicketRequest {
            source: self.source.clone(),
            destinations: self
                .destinations
                .iter()
                .cycle()
                .skip(number as usize % 1000)
                .take(count)
                .cloned()
                .collect(),
            timestamp: self.now,
            nonce: Nonce(number.to_be_bytes()),
            instance: Instance([1; 16]),
        };
        SignedRequest::sign(&request, &self.keys).expect("1 to 1,000 destinations").to_json()
    }
}

/// The ratios of one run, out of what criterion wrote: only numbers of one run can be compared.
fn report() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let median = |group: &str, name: &str| -> Option<f64> {
        let program = std::env::current_exe().ok()?;
        let folder = program.ancestors().nth(3)?.join("criterion").join(format!("{group}_{name}"));
        let text = std::fs::read_to_string(folder.join("new/estimates.json")).ok()?;
        let estimates: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(estimates.get("median")?.get("point_estimate")?.as_f64()? / 1000.0)
    };
    let (Some(bare), Some(one)) = (median("tickets 1", "bare"), median("tickets 1", "keycell")) else {
        return;
    };
    println!("bare cryptography of one ticket       {bare:>8.2} us");
    println!("one ticket                            {one:>8.2} us   {:.2}x bare", one / bare);
    if let Some(many) = median("tickets 1000", "keycell") {
        println!(
            "one ticket of a request for 1,000     {:>8.2} us   {:.2}x bare",
            many / 1000.0,
            many / 1000.0 / bare
        );
    }
}

//! Sealing and opening messages, against the bare AEAD and against libsodium's `crypto_box`.
//!
//! `cargo bench -p keycell-client --bench messages --features bench-libsodium`; docs/benchmarks.md has the numbers.
//! "Bare" is ChaCha20-Poly1305 of aws-lc-rs over the body in place: no header, no copy, no replay window. Ours is a
//! whole message, as [`Sealer`] writes and [`Opener`] opens it. crypto_box gives no header and no replay window
//! either; `afternm` is crypto_box with the shared key computed before.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use chacha20::ChaCha20Rng;
use criterion::Criterion;
use keycell_client::{Keys, Opener, OpenerConfig, RestartGuard, Sealer};
use keycell_protocol::{
    Generation, Grant, Instance, LongTermKey, Mode, Name, Nonce, Outcome, RatchetPeriod, ReplyWriter,
    SealedReply, TicketRequest, Topic, UnixMillis,
};
use rand_core::SeedableRng as _;

#[path = "messages/bare.rs"]
mod bare;
#[cfg(feature = "bench-libsodium")]
#[path = "messages/libsodium.rs"]
mod libsodium;
#[path = "shared/median.rs"]
mod median;
#[path = "messages/report.rs"]
mod report;

const SIZES: [usize; 3] = [64, 256, 1400];
const NOW: UnixMillis = UnixMillis(1_766_059_200_000);
const TOPIC: &str = "heartbeat";
/// Messages opened between two looks at the clock: few, as a message that just came in lies in the cache.
const BATCH: u64 = 32;

fn main() {
    let started = Instant::now();
    let mut criterion = Criterion::default()
        .sample_size(60)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for size in SIZES {
        bare::bench(&mut criterion, size);
        ours(&mut criterion, size);
        #[cfg(feature = "bench-libsodium")]
        libsodium::bench(&mut criterion, size);
    }
    criterion.final_summary();
    report::print(started);
}

fn ours(criterion: &mut Criterion, size: usize) {
    let cell = Cell::new();
    let body = vec![7; size];
    let topic = Topic::try_from(TOPIC).expect("plain text");
    let mut sealer = cell.sealer(1);
    criterion.bench_function(&format!("seal {size}/keycell"), |bencher| {
        bencher.iter(|| sealer.seal(NOW, Mode::Sealed, topic, black_box(&body)));
    });

    let (mut opener, mut keys) = cell.receiver();
    let mut sealer = cell.sealer(2);
    criterion.bench_function(&format!("open {size}/keycell"), |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let count = left.min(BATCH);
                let seal = |_| sealer.seal(NOW, Mode::Sealed, topic, &body).expect("numbers are left");
                let messages: Vec<_> = (0..count).map(seal).collect();
                let start = Instant::now();
                for message in &messages {
                    let opened = opener.open(&mut keys, NOW, black_box(message));
                    assert!(black_box(opened).is_ok(), "a fresh message opens");
                }
                spent += start.elapsed();
                left -= count;
            }
            spent
        });
    });
}

/// Two parties, and a ticket from one to the other.
struct Cell {
    source: Name,
    destination: Name,
    key: LongTermKey,
    grant: Grant,
}

impl Cell {
    fn new() -> Self {
        let name = |text: &str| -> Name { text.parse().expect("a name") };
        let (source, destination) =
            (name("nanoprobe.web1::0123abcd@cell.example"), name("cma.main@cell.example"));
        let epoch = RatchetPeriod::DEFAULT.epoch(NOW.seconds());
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let own = LongTermKey::generate(Generation::FIRST, epoch, &mut rng).subkeys();
        let key = LongTermKey::generate(Generation::FIRST, epoch, &mut rng);
        let request = TicketRequest {
            source: source.clone(),
            destinations: vec![destination.clone()],
            timestamp: NOW,
            nonce: Nonce([0; 16]),
            instance: Instance([0; 16]),
        };
        let mut writer = ReplyWriter::new(&request, NOW);
        let end = NOW.seconds().plus(900);
        writer.grant_party(&destination, &key.subkeys(), end, end, &mut rng);
        let reply = writer.seal(&own.reply, &mut rng);
        let reply = SealedReply::parse(&reply).and_then(|sealed| sealed.open(&own.reply, &request));
        let Some(Outcome::Granted(grant)) = reply.ok().and_then(|reply| reply.outcomes.into_iter().next())
        else {
            unreachable!("the ticket was granted")
        };
        Self { source, destination, key, grant: *grant }
    }

    fn sealer(&self, seed: u64) -> Sealer {
        Sealer::new(self.source.clone(), &self.grant, &mut ChaCha20Rng::seed_from_u64(seed))
    }

    fn receiver(&self) -> (Opener, Keys) {
        let config = OpenerConfig { restart_guard: RestartGuard::FirstUse, ..OpenerConfig::default() };
        let opener = Opener::new(self.destination.clone(), &config, NOW);
        (opener, Keys::new(self.key.clone(), RatchetPeriod::DEFAULT))
    }
}

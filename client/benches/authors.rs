//! What an author proof costs, and what one body for many recipients saves.
//!
//! `cargo bench -p keycell-client --bench authors`; docs/benchmarks.md has the numbers. Each is a whole message, as an agent
//! writes and opens it; only ratios of one run say something.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use chacha20::ChaCha20Rng;
use criterion::Criterion;
use keycell_client::{Agent, AgentConfig, AgentKey, AuthorKey, KdcAddress, Name, SignerKey, Voucher};
use keycell_protocol::{
    ContentPart, Generation, LongTermKey, RatchetPeriod, ReplyWriter, SignedRequest, SignedVoucherRequest,
    TrustedSigners, UnixMillis, VoucherReply, Vouchers,
};
use rand_core::SeedableRng as _;

#[path = "shared/median.rs"]
mod median;

use median::median;

const NOW: UnixMillis = UnixMillis(1_766_059_200_000);
const TOPIC: &str = "patch";
const MANY: usize = 1_000;
const MIB: usize = 1 << 20;

fn main() {
    let started = Instant::now();
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    proofs(&mut criterion);
    // Each of the longest takes a second.
    let mut criterion = criterion.sample_size(10);
    many(&mut criterion);
    criterion.final_summary();
    report(started);
}

fn proofs(criterion: &mut Criterion) {
    let mut cell = Cell::new(1);
    let to = cell.names.first().expect("one").clone();
    let body = [7; 256];
    criterion.bench_function("author/seal plain", |bencher| {
        bencher.iter(|| cell.sender.seal(NOW, &to, TOPIC, black_box(&body)).expect("a ticket is held"));
    });
    criterion.bench_function("author/seal proved", |bencher| {
        bencher.iter(|| {
            let sealed = cell.sender.with_author_proof().seal(NOW, &to, TOPIC, black_box(&body));
            sealed.expect("a voucher is held")
        });
    });
    for (name, proved, known) in [
        ("author/open plain", false, true),
        ("author/open proved", true, true),
        ("author/open proved, first of its sender", true, false),
    ] {
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                let mut receiver = cell.receiver();
                // Once more than is counted: by then the sender is known.
                for at in 0..=iterations {
                    let message = if proved {
                        cell.sender.with_author_proof().seal(NOW, &to, TOPIC, &body)
                    } else {
                        cell.sender.seal(NOW, &to, TOPIC, &body)
                    };
                    let message = message.expect("all is held");
                    if !known {
                        receiver = cell.receiver();
                    }
                    let start = Instant::now();
                    assert!(receiver.open(NOW, black_box(&message)).is_ok(), "a fresh message opens");
                    if at > 0 {
                        spent += start.elapsed();
                    }
                }
                spent
            });
        });
    }
}

fn many(criterion: &mut Criterion) {
    let mut cell = Cell::new(MANY);
    let names = cell.names.clone();
    let body = vec![7; MIB];
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    criterion.bench_function("many/one body", |bencher| {
        bencher.iter(|| ContentPart::seal(black_box(&body), &mut rng).expect("not too long"));
    });
    criterion.bench_function("many/one message", |bencher| {
        let to = names.first().expect("one");
        bencher.iter(|| cell.sender.seal(NOW, to, TOPIC, black_box(&body)).expect("a ticket is held"));
    });
    criterion.bench_function("many/seal_many", |bencher| {
        bencher.iter(|| {
            let many = cell.sender.seal_many(NOW, &names, TOPIC, black_box(&body)).expect("not too long");
            assert!(many.parts.iter().all(|(_, part)| part.is_ok()), "all tickets are held");
            many
        });
    });
    criterion.bench_function("many/seal_many proved", |bencher| {
        bencher.iter(|| {
            let many = cell.sender.with_author_proof().seal_many(NOW, &names, TOPIC, black_box(&body));
            many.expect("not too long")
        });
    });
    criterion.bench_function("many/single messages", |bencher| {
        bencher.iter(|| {
            for to in &names {
                black_box(cell.sender.seal(NOW, to, TOPIC, black_box(&body)).expect("a ticket is held"));
            }
        });
    });
}

/// Prints nothing when criterion only tests.
fn report(started: Instant) {
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{:<44}{:>14}{:>12}", "", "ns", "ratio");
    for (group, names) in [
        ("author", ["seal plain", "seal proved"].as_slice()),
        ("author", &["open plain", "open proved", "open proved, first of its sender"]),
        ("many", &["one body", "one message", "seal_many", "seal_many proved", "single messages"]),
    ] {
        let mut first = None;
        for name in names {
            let Some(time) = median(started, group, name) else { continue };
            let first = *first.get_or_insert(time);
            println!("{:<44}{time:>14.0}{:>12.2}", format!("{group}: {name}"), time / first);
        }
    }
}

/// A sender with a ticket for each of some receivers and a voucher, and the keys of the first receiver.
struct Cell {
    sender: Agent,
    names: Vec<Name>,
    keys: Vec<LongTermKey>,
    signer: SignerKey,
    seed: u64,
}

impl Cell {
    fn new(receivers: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let epoch = RatchetPeriod::DEFAULT.epoch(NOW.seconds());
        let name = |text: &str| -> Name { text.parse().expect("a name") };
        let names: Vec<_> = (0..receivers).map(|at| name(&format!("nanoprobe.h{at}@cell.example"))).collect();
        let mut key = || LongTermKey::generate(Generation::FIRST, epoch, &mut rng);
        let (own, keys) = (key(), names.iter().map(|_| key()).collect::<Vec<_>>());
        let kdc = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("32 bytes");
        let signer = SignerKey::new(kdc.public_key().as_ref().try_into().expect("32 bytes"));
        let mut file = AgentKey::new(
            name("cma.main@cell.example"),
            own.clone(),
            RatchetPeriod::DEFAULT,
            KdcAddress::default(),
        );
        file.author = Some(AuthorKey::generate(&mut rng));
        let mut sender =
            Agent::new(file, &AgentConfig::default().first_use(), NOW, ChaCha20Rng::seed_from_u64(2));
        names.iter().for_each(|to| sender.want(NOW, to).expect("there is room"));
        sender.want_voucher(NOW).expect("it has a key");
        while let Some(pending) = sender.wants(NOW) {
            let (from, end) = (NOW.seconds(), NOW.seconds().plus(900));
            let answer = if pending.destinations > 0 {
                let request =
                    SignedRequest::parse(&pending.body).and_then(|r| r.verify(&own.subkeys().request));
                let request = request.expect("it is signed");
                let mut reply = ReplyWriter::new(&request, NOW);
                for to in &request.destinations {
                    let at = names.iter().position(|name| name == to).and_then(|at| keys.get(at));
                    reply.grant_party(to, &at.expect("it is known").subkeys(), end, end, &mut rng);
                }
                reply.seal(&own.subkeys().reply, &mut rng)
            } else {
                let keys = own.keys_for::<Vouchers>();
                let request = SignedVoucherRequest::parse(&pending.body).and_then(|r| r.verify(&keys));
                let request = request.expect("it is signed");
                let sign = |m: &[u8]| kdc.sign(m).as_ref().try_into().expect("64 bytes");
                let voucher = Voucher::issue(&request.source, request.public_key, (from, end), &signer, sign);
                VoucherReply::seal(
                    &request,
                    NOW,
                    (&voucher, end),
                    (&[signer], &TrustedSigners::default()),
                    &keys,
                    &mut rng,
                )
            };
            sender.take_reply(NOW, &pending, &answer).expect("it is the answer");
        }
        Self { sender, names, keys, signer, seed: 10 }
    }

    /// The first receiver, who has heard of nobody yet.
    fn receiver(&mut self) -> Agent {
        self.seed += 1;
        let (name, key) = self.names.first().zip(self.keys.first()).expect("one");
        let mut file =
            AgentKey::new(name.clone(), key.clone(), RatchetPeriod::DEFAULT, KdcAddress::default());
        file.signers = vec![self.signer];
        Agent::new(file, &AgentConfig::default().first_use(), NOW, ChaCha20Rng::seed_from_u64(self.seed))
    }
}

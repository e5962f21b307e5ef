//! The policy alone: what it adds to a ticket, with one rule and with as many as there may be.
//!
//! `cargo bench -p keycell-kdc --bench policy`. `few` are a profile's rules; `hosts` are 10,000 rules, each about the
//! hosts of a service and its racks; `broad` are 10,000 rules of which thousands are about every name.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use keycell_kdc::policy::{ClassSlot, Effect, Grant, MAX_RULES, Mode, Note, Policy, Profile, Rule};
use keycell_protocol::{Name, UnixMillis, Zone};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let zone: Zone = "cell.example".parse().expect("a zone");
    let profile = |profile: Profile| profile.rules(&zone, true, NOW).expect("rules");
    bench(&mut criterion, "open", &profile(Profile::Open));
    bench(&mut criterion, "few", &profile(Profile::Assimilation));
    bench(&mut criterion, "hosts", &rules(|n| (format!("cma.*svc{n}*"), format!("*.svc{n}.*"))));
    bench(
        &mut criterion,
        "broad",
        &rules(|n| (format!("*{}", "*?".repeat(n % 5)), format!("{{nanoprobe,x{n}}}*"))),
    );
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion, what: &str, rules: &[Rule]) {
    let policy = Policy::compile(rules.to_vec(), LIFETIME).expect("a policy");
    let source = name("cma.svc77@cell.example");
    let names: Vec<Name> = (0..1000)
        .map(|n| name(&format!("nanoprobe.svc{}.web{n}::0123abcd@cell.example", n % 3 + 76)))
        .collect();
    let (asking, slots) =
        (ClassSlot::default(), names.iter().map(|_| ClassSlot::default()).collect::<Vec<_>>());
    let parties: Vec<_> = names.iter().zip(&slots).collect();

    criterion.bench_function(&format!("{what}/warm decision"), |bencher| {
        let source = policy.source(&source, &asking);
        // The class is remembered for those who are allowed.
        let allowed = |(name, slot): &&(&Name, &ClassSlot)| source.decide(name, Some(slot), NOW).allows();
        let warm: Vec<_> = parties.iter().filter(allowed).collect();
        assert!(!warm.is_empty(), "somebody is allowed");
        let mut next = warm.iter().cycle();
        bencher.iter(|| {
            next.next().map(|(name, slot)| source.decide(black_box(name), Some(slot), NOW).allows())
        });
    });
    criterion.bench_function(&format!("{what}/source of a request"), |bencher| {
        bencher.iter(|| policy.source(black_box(&source), &asking));
    });
    criterion.bench_function(&format!("{what}/cold decision"), |bencher| {
        let source = policy.source(&source, &asking);
        let mut next = names.iter().cycle();
        bencher.iter(|| next.next().map(|name| source.decide(black_box(name), None, NOW).allows()));
    });
    criterion.bench_function(&format!("{what}/compile"), |bencher| {
        bencher.iter_batched(
            || rules.to_vec(),
            |rules| Policy::compile(rules, LIFETIME),
            BatchSize::LargeInput,
        );
    });
}

fn rules(patterns: impl Fn(usize) -> (String, String)) -> Vec<Rule> {
    let rule = |n: usize| {
        let (source, destination) = patterns(n);
        let pattern = |local: String| format!("{local}@cell.example").parse().expect("a pattern");
        Rule {
            id: format!("rule-{n}").parse().expect("an id"),
            revision: 1,
            grant: Grant::new(Effect::Allow, Some(60 + n as u32)).expect("a grant"),
            mode: Mode::Enforce,
            source: pattern(source),
            destination: pattern(destination),
            note: Note::default(),
            expires_at: None,
            created_at: NOW,
            updated_at: NOW,
        }
    };
    (0..MAX_RULES).map(rule).collect()
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

const LIFETIME: u32 = 900;
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

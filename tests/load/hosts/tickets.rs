//! Tickets while hosts enroll: what each took from the moment it was due.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keycell_client::system_rng;
use keycell_kdc::administration::{Caller, NewEntry};
use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_protocol::{Instance, LongTermKey, Name, Nonce, SignedRequest, TicketRequest};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::zone::Zone;

/// How often one is asked for.
const EVERY: Duration = Duration::from_millis(1);

/// A party that asks for tickets to another.
#[derive(Clone)]
pub(crate) struct Tickets {
    zone: Arc<Zone>,
    source: Name,
    destination: Name,
    key: Arc<LongTermKey>,
}

impl Tickets {
    pub(crate) async fn new(zone: &Arc<Zone>) -> Self {
        let add = async |name: &str| {
            let entry = NewEntry::named(name.parse().expect("a name"));
            let created = zone.kdc.parties().create(&Caller::console(), &entry, |_| Ok(None)).await;
            created.expect("a party")
        };
        let (source, destination) =
            (add("cma.main@cell.example").await, add("nanoprobe.a@cell.example").await);
        Self {
            zone: zone.clone(),
            source: source.record.name,
            destination: destination.record.name,
            key: Arc::new(source.key),
        }
    }

    /// Asks until told to stop.
    pub(crate) async fn ask(self, stop: CancellationToken) -> Latencies {
        let keys = self.key.subkeys();
        let mut random = system_rng();
        let instance = Instance::generate(&mut random);
        let mut took = Vec::new();
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            let due = every.tick().await.into_std();
            let request = TicketRequest {
                source: self.source.clone(),
                destinations: vec![self.destination.clone()],
                timestamp: SystemClock.now(),
                nonce: Nonce::generate(&mut random),
                instance,
            };
            let json = SignedRequest::sign(&request, &keys).expect("one destination").to_json();
            let signed = SignedRequest::parse(&json).expect("a request");
            let issued = self.zone.kdc.tickets(&signed, None).expect("a ticket");
            assert_eq!(issued.granted, 1);
            took.push(Instant::now().saturating_duration_since(due));
        }
        took.sort_unstable();
        Latencies(took)
    }
}

/// What tickets took, the least first.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    fn percentile(&self, percent: usize) -> Duration {
        let at = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn ratio(&self, other: &Self, percent: usize) -> f64 {
        self.percentile(percent).as_secs_f64() / other.percentile(percent).as_secs_f64()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of them, half within {:?}, 99 of 100 within {:?}, the last within {:?}",
            self.0.len(),
            self.percentile(50),
            self.percentile(99),
            self.percentile(100)
        )
    }
}

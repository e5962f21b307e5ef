//! The agents: each speaks to the others at random, and sometimes to all of them, over a network that delays and reorders.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use keycell_client::https::{Agent, Config};
use keycell_client::{AgentConfig, Membership, Opened, Stats};
use keycell_protocol::{Cause, Name};
use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::kdc::Kdc;
use keycell_tests::party::Party;
use keycell_tests::wait::until;
use rand_core::Rng as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::counts::Counts;

/// Agents with key files of their own, and parties that ask for tickets by hand.
pub(crate) struct Fleet {
    agents: Vec<Agent>,
    hands: Vec<Party>,
    group: Name,
    http: Http,
    counts: Arc<Counts>,
}

impl Fleet {
    /// Makes parties and starts their agents.
    pub(crate) async fn start(cell: &Cell, kdc: &Kdc, counts: &Arc<Counts>) -> Self {
        cell.run(&["group", "create", SERVICE, "--lifetime", "1m", "--author-proof"]).succeeded();
        let group: Name = format!("{SERVICE}@{}", Cell::ZONE).parse().expect("a name");
        let mut agents = Vec::new();
        for number in 0..AGENTS {
            let name = format!("{SERVICE}.host{number}");
            cell.run(&["party", "add", &name]).succeeded();
            let agent = AgentConfig::default().first_use().member_of([group.clone()]);
            let config = Config { agent, ..Config::default() };
            let path = cell.folder().join(format!("{name}.key"));
            agents.push(Agent::connect_file(path, config).expect("an agent starts from its key file"));
        }
        let admin = cell.admin(kdc);
        let mut hands = Vec::new();
        for number in 0..HANDS {
            hands.push(admin.add(&format!("hand{number}@{}", Cell::ZONE)).await);
        }
        for agent in &agents {
            until("an agent has the keys of its group", async || {
                let groups = agent.groups();
                groups.iter().any(|(_, state)| matches!(state, Membership::Member { .. })).then_some(())
            })
            .await;
        }
        Self { agents, hands, group, http: kdc.http(), counts: counts.clone() }
    }

    /// Everybody speaks to somebody until told to stop; then what is on its way still arrives.
    pub(crate) async fn talk(self, stop: CancellationToken) -> Self {
        let names: Arc<[Name]> = self.agents.iter().map(|agent| agent.name().clone()).collect();
        let mut tasks = JoinSet::new();
        for (number, agent) in self.agents.iter().enumerate() {
            let speaker = Speaker {
                number,
                agents: self.agents.clone().into(),
                names: names.clone(),
                group: self.group.clone(),
                counts: self.counts.clone(),
            };
            tasks.spawn(speaker.speak(agent.clone(), stop.clone()));
        }
        for hand in &self.hands {
            let (http, counts, stop) = (self.http.clone(), self.counts.clone(), stop.clone());
            let key = keycell_protocol::LongTermKey::new(
                hand.key.generation(),
                hand.key.epoch(),
                *hand.key.expose_secret(),
            );
            let hand = Party { name: hand.name.clone(), key, ratchet_period: hand.ratchet_period };
            tasks.spawn(ask_by_hand(hand, http, names.clone(), counts, stop));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no task panics");
        }
        self
    }

    /// Looks at what the agents counted themselves.
    pub(crate) async fn drain(&self) {
        let stats = self.stats();
        if stats.failures > 0 {
            self.counts.failed(format!("{} requests of agents failed and were made again", stats.failures));
        }
        if stats.waited_in_vain > 0 {
            self.counts.failed(format!("{} messages to the group waited in vain", stats.waited_in_vain));
        }
        for (cause, times) in stats.refused {
            self.counts.failed(format!("{times} messages were refused: {cause}"));
        }
    }

    /// The agents' own counters, added up.
    pub(crate) fn stats(&self) -> Stats {
        let mut all = Stats::default();
        for agent in &self.agents {
            let stats = agent.stats();
            all.requests += stats.requests;
            all.group_requests += stats.group_requests;
            all.waited += stats.waited;
            all.waited_in_vain += stats.waited_in_vain;
            all.vouchers += stats.vouchers;
            all.tickets += stats.tickets;
            all.failures += stats.failures;
            for (cause, times) in stats.refused {
                *all.refused.entry(cause).or_default() += times;
            }
        }
        all
    }
}

/// One agent that speaks, and whoever hears it.
struct Speaker {
    number: usize,
    agents: Arc<[Agent]>,
    names: Arc<[Name]>,
    group: Name,
    counts: Arc<Counts>,
}

impl Speaker {
    async fn speak(self, agent: Agent, stop: CancellationToken) {
        let mut random = keycell_kdc::random::system();
        let mut on_the_way: VecDeque<(Instant, usize, Vec<u8>)> = VecDeque::new();
        while !stop.is_cancelled() || !on_the_way.is_empty() || agent.stats().waiting > 0 {
            self.wake(&agent);
            if !stop.is_cancelled() && random.next_u32().is_multiple_of(GROUP_EVERY) {
                match agent.seal(&self.group, "soak", b"how are you all").await {
                    Ok(message) => {
                        Counts::one(&self.counts.group_sealed);
                        for to in (0..AGENTS).filter(|to| *to != self.number) {
                            Counts::one(&self.counts.group_sent);
                            let late = delay(random.next_u32());
                            on_the_way.push_back((Instant::now() + late, to, message.clone()));
                        }
                    }
                    Err(error) => self.counts.failed(format!("seal for the group: {error}")),
                }
            }
            if !stop.is_cancelled() {
                let to = (self.number + 1 + random.next_u32() as usize % (AGENTS - 1)) % AGENTS;
                let name = self.names.get(to).expect("one of them");
                match agent.seal(name, "soak", b"how are you").await {
                    Ok(message) => {
                        Counts::one(&self.counts.sealed);
                        let late = delay(random.next_u32());
                        on_the_way.push_back((Instant::now() + late, to, message));
                    }
                    Err(error) => self.counts.failed(format!("seal: {error}")),
                }
            }
            let now = Instant::now();
            let (due, later): (VecDeque<_>, VecDeque<_>) =
                on_the_way.into_iter().partition(|(at, ..)| *at <= now);
            on_the_way = later;
            for (_, to, message) in due {
                self.arrive(&agent, to, &message);
            }
            sleep(PAUSE).await;
        }
    }

    /// What waited for a key of the group.
    fn wake(&self, agent: &Agent) {
        for opened in agent.open_waiting() {
            match opened {
                Ok(opened) => self.heard(&opened),
                Err(error) => self.counts.failed(format!("open one that waited: {:?}", error.cause())),
            }
        }
    }

    fn heard(&self, opened: &Opened) {
        if opened.author().is_some_and(|voucher| *voucher.name() == opened.source) {
            Counts::one(&self.counts.group_opened);
        } else {
            self.counts.failed("a message to the group without its author's voucher".to_owned());
        }
    }

    /// The message arrives; the answer comes back at once.
    fn arrive(&self, agent: &Agent, to: usize, message: &[u8]) {
        let hearer = self.agents.get(to).expect("one of them");
        let opened = match hearer.open(message) {
            Ok(opened) if opened.destination == self.group => return self.heard(&opened),
            Ok(opened) => opened,
            // It comes out of `wake`.
            Err(error) if matches!(error.cause(), Cause::Waiting { .. }) => return,
            Err(error) => return self.counts.failed(format!("open: {:?}", error.cause())),
        };
        Counts::one(&self.counts.opened);
        match hearer.reply(&opened, b"well") {
            Ok(reply) => {
                Counts::one(&self.counts.sealed);
                match agent.open(&reply) {
                    Ok(_) => Counts::one(&self.counts.opened),
                    Err(error) => self.counts.failed(format!("open a reply: {:?}", error.cause())),
                }
            }
            Err(error) => self.counts.failed(format!("reply: {error}")),
        }
    }
}

/// How late a message arrives: up to a second, and so in another order. A ticket lives ten seconds here and is renewed in the
/// eighth at the latest: what is sealed under it meanwhile arrives two seconds before its end, also on a busy machine.
fn delay(random: u32) -> Duration {
    Duration::from_millis(u64::from(random % 1_000))
}

/// Asks for tickets one request after the other, with the protocol's types alone.
async fn ask_by_hand(
    hand: Party,
    http: Http,
    names: Arc<[Name]>,
    counts: Arc<Counts>,
    stop: CancellationToken,
) {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    while !stop.is_cancelled() {
        let next = Instant::now() + PAUSE;
        Counts::one(&counts.requests);
        match hand.ask(&http, &names).await {
            Ok(outcomes) => {
                for outcome in outcomes {
                    match outcome {
                        keycell_protocol::Outcome::Granted(_) => Counts::one(&counts.tickets),
                        keycell_protocol::Outcome::Refused { problem, .. } => {
                            counts.failed(format!("a ticket is refused: {problem:?}"));
                        }
                    }
                }
            }
            Err(answer) => counts.failed(format!("a request is refused: {}", answer.text())),
        }
        sleep_until(next).await;
    }
}

/// The service of the agents.
pub(crate) const SERVICE: &str = "agent";
const AGENTS: usize = 20;
const HANDS: usize = 4;
/// One in so many times an agent speaks to all.
const GROUP_EVERY: u32 = 16;
const PAUSE: Duration = Duration::from_millis(20);

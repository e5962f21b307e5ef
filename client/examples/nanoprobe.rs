//! A nanoprobe: answers its CMA's questions about this host. To answer what is sent to it alone it never speaks to a KDC; to
//! hear what is sent to its group as well it does, now and then.
//!
//! ```text
//! keycell party add nanoprobe.one --key nanoprobe.key
//! keycell group create nanoprobe --author-proof
//! cargo run -p keycell-client --features https --example nanoprobe -- --key nanoprobe.key \
//!     --cma cma.main@cell1.internal --group nanoprobe@cell1.internal
//! ```
//!
//! With `--bundle cell1.bundle --store /var/lib/nanoprobe` in the place of `--key` it enrolls by itself, and keeps a ticket
//! for its CMA so that it notices when it must again.

mod fleet {
    pub(crate) mod aboard;
    pub(crate) mod courier;
    pub(crate) mod discover;
    pub(crate) mod facts;
    pub(crate) mod probe;
    pub(crate) mod wire;
}

use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use keycell_client::https::blocking::enroll;
use keycell_client::protocol::Name;
use keycell_client::{Agent, AgentConfig, Clock as _, KeyStore, Stats, SystemClock, system_rng};

use fleet::aboard::{Aboard, Party};
use fleet::courier::Courier;
use fleet::facts::{Facts, Kind};
use fleet::probe::{Event, Orders, Probe};

/// Answers a CMA's questions about this host
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    aboard: Aboard,
    /// The full name of the CMA that is obeyed
    #[arg(long, value_name = "NAME")]
    cma: Name,
    /// Hear also what is sent to this group; full name
    #[arg(long, value_name = "NAME")]
    group: Option<Name>,
    /// Where to listen, UDP
    #[arg(long, default_value = "0.0.0.0:7424")]
    listen: SocketAddr,
    /// Send a sign of life so often, from the first command on
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    heartbeat: Option<u64>,
    /// This key was never used before: hear from the first moment on, not only after five seconds
    #[arg(long)]
    first_use: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nanoprobe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (path, host) = match arguments.aboard.party("nanoprobe")? {
        Party::KeyFile(path) => (path, None),
        Party::Host(host, options) => {
            enroll(&host, &options)?;
            (host.key_path().to_owned(), Some(*host))
        }
    };
    let (store, key) = KeyStore::open(path)?;
    let config = AgentConfig::default();
    let config = if arguments.first_use { config.first_use() } else { config };
    let kdc = key.kdc.clone();
    let mut agent = Agent::keeping(key, &config, SystemClock.now(), system_rng());
    if let Some(host) = &host {
        agent = agent.reenrolling(host.bundle()?);
    }
    let socket = UdpSocket::bind(arguments.listen)
        .map_err(|error| format!("cannot listen on {}: {error}", arguments.listen))?;
    eprintln!("{} listens on {} and obeys {}", agent.name(), socket.local_addr()?, arguments.cma);

    for kind in Kind::ALL {
        // Told here too, where somebody can do something about it.
        if let Err(why) = Facts::discover(kind) {
            eprintln!("{kind:?} will be answered with an error: {why}");
        }
    }

    let heartbeat = arguments.heartbeat.map(Duration::from_secs);
    let probe = Probe::new(agent, arguments.cma.clone(), heartbeat, SystemClock.now());
    let probe = match host {
        Some(host) => probe.keeping((store, host, Courier::start(&kdc)?)),
        None => probe.keeping(store),
    };
    let orders = Orders::default();
    if let Some(group) = &arguments.group {
        orders.join(group.clone(), Courier::start(&kdc)?);
    }
    Ok(probe.run(&socket, || SystemClock.now(), &orders, tell)?)
}

/// A real one would write to its log, and less.
fn tell(event: &Event, stats: &Stats) {
    let so_far = format!("opened {}, KDC lookups {}", stats.opened, stats.requests + stats.group_requests);
    match event {
        Event::Answered(kind) => eprintln!("answered {kind:?} ({so_far})"),
        Event::Heartbeat => eprintln!("heartbeat"),
        Event::Disobeyed(source, why) => eprintln!("not obeyed: {source}: {why}"),
        Event::Refused(error) => eprintln!("refused: {} ({})", error.cause().code(), error.cause()),
        Event::Joined(group) => eprintln!("hears what is said to {group}"),
        Event::Waiting => eprintln!("one waits for the key of its group ({so_far})"),
        Event::Unanswered(error) => eprintln!("not answered: {error}"),
        Event::Unkept(error) => eprintln!("{error}"),
    }
}

//! A nanoprobe: answers its CMA's questions about this host. It never speaks to a KDC.
//!
//! ```text
//! keycell party add nanoprobe.one --key nanoprobe.key
//! cargo run -p keycell-client --example nanoprobe -- --key nanoprobe.key --cma cma.main@cell1.internal
//! ```

mod fleet {
    pub(crate) mod discover;
    pub(crate) mod facts;
    pub(crate) mod probe;
    pub(crate) mod wire;
}

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser;
use keycell_client::protocol::Name;
use keycell_client::{Agent, AgentConfig, Clock as _, KeyStore, Stats, SystemClock, system_rng};

use fleet::facts::{Facts, Kind};
use fleet::probe::{Event, Probe};

/// Answers a CMA's questions about this host
#[derive(Debug, Parser)]
struct Arguments {
    /// This host's key file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The full name of the CMA that is obeyed
    #[arg(long, value_name = "NAME")]
    cma: Name,
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

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let (store, key) = KeyStore::open(&arguments.key)?;
    let config = AgentConfig::default();
    let config = if arguments.first_use { config.first_use() } else { config };
    let agent = Agent::keeping(key, &config, SystemClock.now(), system_rng());
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
    let probe = Probe::new(agent, arguments.cma.clone(), heartbeat, SystemClock.now()).keeping(store);
    Ok(probe.run(&socket, || SystemClock.now(), &AtomicBool::new(false), tell)?)
}

/// A real one would write to its log, and less.
fn tell(event: &Event, stats: &Stats) {
    let so_far = format!("opened {}, KDC lookups {}", stats.opened, stats.requests);
    match event {
        Event::Answered(kind) => eprintln!("answered {kind:?} ({so_far})"),
        Event::Heartbeat => eprintln!("heartbeat"),
        Event::Disobeyed(source, why) => eprintln!("not obeyed: {source}: {why}"),
        Event::Refused(error) => eprintln!("refused: {} ({})", error.cause().code(), error.cause()),
        Event::Unanswered(error) => eprintln!("not answered: {error}"),
        Event::Unkept(error) => eprintln!("{error}"),
    }
}

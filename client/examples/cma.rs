//! A CMA: keeps a live table of its hosts, as their nanoprobes describe them.
//!
//! ```text
//! keycell party add cma.main --key cma.key
//! cargo run -p keycell-client --features https --example cma -- --key cma.key \
//!     --host nanoprobe.one@cell1.internal=192.0.2.1:7424
//! ```
//!
//! With `--bundle cell1.bundle --store /var/lib/cma` in the place of `--key` it enrolls by itself, as `cma.HOST::FINGERPRINT`.
//! With `--group nanoprobe@cell1.internal` it asks the whole group by one message, and proves that the message is its own.

mod fleet {
    pub(crate) mod aboard;
    pub(crate) mod cma;
    pub(crate) mod details;
    pub(crate) mod facts;
    pub(crate) mod table;
    pub(crate) mod wire;
}

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use keycell_client::https::{Agent, Config, enroll};
use keycell_client::protocol::Name;
use keycell_client::{AgentConfig, Clock as _, SystemClock};
use tokio::net::UdpSocket;

use fleet::aboard::{Aboard, Party};
use fleet::cma::{Cma, Event};
use fleet::details::{details, line, span};
use fleet::table::table;

/// Keeps a live table of hosts, as their nanoprobes describe them
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    aboard: Aboard,
    /// A nanoprobe: its full name and where it listens; repeat it for each
    #[arg(long = "host", value_name = "NAME=ADDRESS:PORT", required = true, value_parser = host)]
    hosts: Vec<(Name, SocketAddr)>,
    /// Ask this group first, by one message for all, and each host alone that does not answer; full name
    #[arg(long, value_name = "NAME")]
    group: Option<Name>,
    /// Where to listen for answers, UDP
    #[arg(long, default_value = "0.0.0.0:0")]
    listen: SocketAddr,
    /// How often to ask
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Ask once, print everything, and end; 1 when a host did not answer
    #[arg(long)]
    once: bool,
    /// This key was never used before: hear from the first moment on, not only after five seconds
    #[arg(long)]
    first_use: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cma: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let agent = AgentConfig::default();
    let agent = if arguments.first_use { agent.first_use() } else { agent };
    let config = Config { agent, ..Config::default() };
    let agent = match arguments.aboard.party("cma").map_err(|error| error.to_string())? {
        Party::KeyFile(key) => Agent::connect_file(key, config)?,
        Party::Host(host, options) => {
            let name = enroll(&host, &options).await?;
            eprintln!("this CMA is {name}");
            Agent::connect_host(*host, config)?
        }
    };
    let socket = UdpSocket::bind(arguments.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", arguments.listen))?;
    let mut cma = Cma::new(agent, socket, arguments.hosts);
    if let Some(group) = arguments.group {
        cma.ask_group(group);
    }
    for (name, error) in cma.prepare().await {
        eprintln!("{name} cannot be asked: {error}");
    }

    if arguments.once {
        let complete = cma.discover(|_, event| tell(event)).await?;
        let mut out = io::stdout().lock();
        for (name, host) in cma.hosts() {
            writeln!(out, "{name}\n  {}", details(host).join("\n  "))?;
        }
        return Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let live = io::stdout().is_terminal();
    cma.watch(
        Duration::from_secs(arguments.every),
        |cma, event| {
            if live { redraw(cma) } else { log(cma, event) }
        },
    )
    .await?;
    Ok(ExitCode::SUCCESS)
}

/// The whole table anew, from the top left corner of the terminal.
fn redraw(cma: &Cma) {
    let stats = cma.agent().stats();
    let refused: u64 = stats.refused.values().sum();
    let mut out = io::stdout().lock();
    // A terminal that went away is no reason to stop watching.
    let _ = write!(
        out,
        "\x1b[H\x1b[J{}\n\n{} broadcasts, {} commands, {} opened, {refused} refused, {} KDC lookups\n",
        table(cma.hosts(), SystemClock.now()),
        cma.broadcasts(),
        cma.commands(),
        stats.opened,
        stats.requests,
    );
    let _ = out.flush();
}

/// A line for each answer, for a log or a pipe.
fn log(cma: &Cma, event: &Event) {
    tell(event);
    let line = match event {
        Event::Answered(name, kind) => {
            cma.hosts().get(name).and_then(|host| host.facts(*kind)).map(|facts| (name, line(facts)))
        }
        Event::Heartbeat(name) => {
            cma.hosts().get(name).map(|host| (name, format!("nanoprobe up {}", span(host.up_seconds))))
        }
        _ => None,
    };
    if let Some((name, line)) = line {
        let _ = writeln!(io::stdout().lock(), "{name}: {line}");
    }
}

fn tell(event: &Event) {
    match event {
        Event::Answered(..) | Event::AnsweredAgain | Event::Heartbeat(_) => {}
        Event::Strange(name) => eprintln!("{name} said something that is not understood"),
        Event::Refused(error) => eprintln!("refused: {} ({})", error.cause().code(), error.cause()),
        Event::Silent(name, kind) => eprintln!("{name} does not answer {kind:?}"),
        Event::Unsealed(name, error) => eprintln!("{name} cannot be asked: {error}"),
    }
}

fn host(text: &str) -> Result<(Name, SocketAddr), String> {
    let (name, address) = text.rsplit_once('=').ok_or("write NAME@ZONE=ADDRESS:PORT")?;
    let name = name.parse().map_err(|error| format!("{name:?}: {error}"))?;
    let address = address.parse().map_err(|_| format!("{address:?} is not an address and a port"))?;
    Ok((name, address))
}

//! `keycell open`

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use keycell_client::{Agent, AgentConfig, AgentKey, Opened, RestartGuard, system_rng};
use serde::Serialize;

use super::output::{Output, refused};
use super::{Outcome, text};
use crate::clock::{Clock as _, SystemClock};

/// Each line of standard input is one message. Within one run each opens once; a message that was stored may be
/// opened again by another run, since nothing is written down.
#[derive(Debug, Args)]
pub(super) struct Open {
    /// The key file of the party that the messages are for
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// With `--json`: one object a message.
#[derive(Debug, Serialize)]
struct View<'a> {
    source: &'a str,
    topic: &'a str,
    sent_at: u64,
    expiration: u64,
    sealed: bool,
    /// Standard base64.
    body: String,
}

impl Open {
    pub(super) fn run(self, output: &Output) -> Outcome<ExitCode> {
        let key = AgentKey::load(&self.key)?;
        let mut config = AgentConfig::default();
        config.opener.restart_guard = RestartGuard::Off;
        let mut agent = Agent::new(key, &config, SystemClock.now(), system_rng());
        let mut input = io::stdin().lock();
        let mut all = true;
        for number in 1_u64.. {
            let Some(message) = text::next(&mut input)? else { break };
            let opened = message.map_err(str::to_owned).and_then(|message| {
                let opened = agent.open(SystemClock.now(), &message);
                // Whoever runs this command holds the key: this is the receiver's own log.
                opened.map_err(|error| format!("{error}: {}", error.cause()))
            });
            match opened {
                Ok(opened) => print(&opened, output)?,
                Err(why) => {
                    refused(output, &format!("message {number}: {why}"));
                    all = false;
                }
            }
        }
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(opened: &Opened, output: &Output) -> io::Result<()> {
    let view = View {
        source: opened.source.as_str(),
        topic: &opened.topic,
        sent_at: opened.sent_at.0,
        expiration: opened.expiration.0,
        sealed: opened.mode == keycell_protocol::Mode::Sealed,
        body: STANDARD.encode(&opened.body),
    };
    output.print(&view, |out| out.write_all(&opened.body))?;
    io::stdout().flush()
}

//! `keycell seal`

use std::io::{self, BufRead as _, Read as _};
use std::path::PathBuf;

use clap::Args;
use keycell_client::AgentKey;
use keycell_client::https::{Agent, Config};
use keycell_protocol::{MAX_MESSAGE, Name};
use serde::Serialize;

use super::output::Output;
use super::{Outcome, text};

/// Prints one line a message, base64url, for `keycell open`.
#[derive(Debug, Args)]
pub(super) struct Seal {
    /// The key file of the sender
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// For whom, with or without the zone
    #[arg(long, value_name = "NAME")]
    to: String,
    /// What it is about: anyone on the way may read it, and nobody change it
    #[arg(long, default_value = "")]
    topic: String,
    /// Only sign it: the body stays readable on the way
    #[arg(long)]
    sign: bool,
    /// Make one message of each line of input, instead of one of all of it
    #[arg(long)]
    lines: bool,
}

/// With `--json`: one object a message.
#[derive(Debug, Serialize)]
struct View {
    message: String,
}

impl Seal {
    pub(super) async fn run(self, output: &Output) -> Outcome {
        let key = AgentKey::load(&self.key)?;
        let to = Name::in_zone(&self.to, &key.name.zone().parse()?)?;
        let agent = Agent::connect(key, Config::default())?;
        if self.lines {
            let mut input = io::stdin().lock();
            loop {
                let mut line = Vec::new();
                if input.by_ref().take(MAX_MESSAGE as u64).read_until(b'\n', &mut line)? == 0 {
                    return Ok(());
                }
                self.one(&agent, &to, line.strip_suffix(b"\n").unwrap_or(&line), output).await?;
            }
        }
        let mut body = Vec::new();
        io::stdin().lock().take(MAX_MESSAGE as u64).read_to_end(&mut body)?;
        self.one(&agent, &to, &body, output).await
    }

    async fn one(&self, agent: &Agent, to: &Name, body: &[u8], output: &Output) -> Outcome {
        let message = if self.sign {
            agent.sign(to, &self.topic, body).await?
        } else {
            agent.seal(to, &self.topic, body).await?
        };
        let view = View { message: text::line(&message) };
        Ok(output.print(&view, |out| writeln!(out, "{}", view.message))?)
    }
}

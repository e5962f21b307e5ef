//! `keycell inspect`

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use keycell_client::{Agent, AgentConfig, AgentKey, Keys, RestartGuard, system_rng};
use keycell_protocol::{Envelope, MAX_MESSAGE, Mode, Ticket, TicketKind, Under, UnixMillis};
use serde::Serialize;

use super::Outcome;
use super::moment::time;
use super::output::Output;
use crate::clock::{Clock as _, SystemClock};

/// Reads one message or ticket from standard input, as base64url or as it travels. Nothing that it prints without a
/// key is proved: it is what the bytes claim.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The key file of the party it is for: says which check fails, if any
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Check as if it were then, in Unix seconds, for a message that was stored
    #[arg(long, value_name = "SECONDS", requires = "key")]
    at: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Finding {
    Message(Box<Message>),
    Ticket(TicketView),
    Neither { code: &'static str, why: String },
}

#[derive(Debug, Serialize)]
struct Message {
    kind: &'static str,
    sealed: bool,
    source: String,
    destination: String,
    topic: String,
    sent_at: u64,
    expiration: u64,
    sequence: u64,
    salt: String,
    body_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<TicketView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Check>,
}

#[derive(Debug, Serialize)]
struct TicketView {
    version: u8,
    kind: &'static str,
    generation: u32,
    epoch: u32,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Check>,
}

/// What the key says of it.
#[derive(Debug, Serialize)]
struct Check {
    opens: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Inspect {
    pub(super) fn run(self, output: &Output) -> Outcome<ExitCode> {
        let mut bytes = Vec::new();
        io::stdin().lock().take(MAX_MESSAGE as u64 * 2).read_to_end(&mut bytes)?;
        let bytes = URL_SAFE_NO_PAD.decode(bytes.trim_ascii()).unwrap_or(bytes);
        let now = self.at.map_or_else(|| SystemClock.now(), |at| UnixMillis(at.saturating_mul(1000)));
        let key = self.key.as_ref().map(AgentKey::load).transpose()?;
        let finding = look(&bytes, key, now);
        let check = match &finding {
            Finding::Message(message) => message.check.as_ref(),
            Finding::Ticket(ticket) => ticket.check.as_ref(),
            Finding::Neither { .. } => None,
        };
        let fine = !matches!(finding, Finding::Neither { .. }) && check.is_none_or(|check| check.opens);
        output.print(&finding, |out| print(out, &finding))?;
        Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn look(bytes: &[u8], key: Option<AgentKey>, now: UnixMillis) -> Finding {
    if let Ok(ticket) = Ticket::parse(bytes) {
        let check = key.map(|key| {
            let mut keys = Keys::from(key);
            let opened = keys
                .named(now, ticket.generation(), ticket.epoch())
                .and_then(|keys| ticket.open(&keys.ticket).map_err(keycell_protocol::Cause::from));
            checked(opened.map(drop))
        });
        return Finding::Ticket(TicketView { check, ..ticket_view(&ticket) });
    }
    match Envelope::parse(bytes) {
        Ok(envelope) => Finding::Message(Box::new(message(&envelope, key.map(|key| open(bytes, key, now))))),
        Err(cause) => Finding::Neither { code: cause.code(), why: cause.to_string() },
    }
}

fn open(bytes: &[u8], key: AgentKey, now: UnixMillis) -> Check {
    let mut config = AgentConfig::default();
    config.opener.restart_guard = RestartGuard::Off;
    let opened = Agent::new(key, &config, now, system_rng()).open(now, bytes);
    checked(opened.map(drop).map_err(|error| error.cause()))
}

fn checked(outcome: Result<(), keycell_protocol::Cause>) -> Check {
    match outcome {
        Ok(()) => Check { opens: true, code: None, why: None },
        Err(cause) => Check { opens: false, code: Some(cause.code()), why: Some(cause.to_string()) },
    }
}

fn message(envelope: &Envelope<'_>, check: Option<Check>) -> Message {
    let (kind, ticket, ticket_id) = match envelope.under {
        Under::Ticket(ticket) => {
            ("message", Ticket::parse(ticket).ok().map(|ticket| ticket_view(&ticket)), None)
        }
        Under::Id(id) => ("reply", None, Some(format!("{id:?}"))),
    };
    Message {
        kind,
        sealed: envelope.mode == Mode::Sealed,
        source: String::from_utf8_lossy(envelope.source).escape_debug().to_string(),
        destination: String::from_utf8_lossy(envelope.destination).escape_debug().to_string(),
        topic: envelope.topic.as_str().to_owned(),
        sent_at: envelope.sent_at.0,
        expiration: envelope.expiration.0,
        sequence: envelope.sequence,
        salt: hex(envelope.salt),
        body_bytes: envelope.body_len(),
        ticket,
        ticket_id,
        check,
    }
}

fn ticket_view(ticket: &Ticket) -> TicketView {
    TicketView {
        version: 1,
        kind: match ticket.kind() {
            TicketKind::Party => "party",
            TicketKind::Group => "group",
        },
        generation: ticket.generation().0,
        epoch: ticket.epoch().0,
        id: format!("{:?}", ticket.id()),
        check: None,
    }
}

fn print(out: &mut dyn io::Write, finding: &Finding) -> io::Result<()> {
    match finding {
        Finding::Message(message) => {
            let how = if message.sealed { "sealed" } else { "signed" };
            writeln!(out, "{} ({how}), {} bytes of body", message.kind, message.body_bytes)?;
            writeln!(out, "  from      {}", message.source)?;
            writeln!(out, "  to        {}", message.destination)?;
            writeln!(out, "  topic     {}", message.topic)?;
            writeln!(out, "  sent      {}", time(UnixMillis(message.sent_at)))?;
            writeln!(out, "  expires   {}", time(UnixMillis(message.expiration.saturating_mul(1000))))?;
            writeln!(out, "  sequence  {} of salt {}", message.sequence, message.salt)?;
            match (&message.ticket, &message.ticket_id) {
                (Some(ticket), _) => print_ticket(out, "  ticket    ", ticket)?,
                (None, Some(id)) => writeln!(out, "  ticket    id {id}")?,
                (None, None) => writeln!(out, "  ticket    none that could be read")?,
            }
            print_check(out, message.check.as_ref())
        }
        Finding::Ticket(ticket) => {
            print_ticket(out, "ticket ", ticket)?;
            print_check(out, ticket.check.as_ref())
        }
        Finding::Neither { code, why } => writeln!(out, "neither a message nor a ticket: {why} ({code})"),
    }
}

fn print_ticket(out: &mut dyn io::Write, before: &str, ticket: &TicketView) -> io::Result<()> {
    let TicketView { kind, generation, epoch, id, .. } = ticket;
    writeln!(out, "{before}id {id}, for a {kind} key: generation {generation}, epoch {epoch}")
}

fn print_check(out: &mut dyn io::Write, check: Option<&Check>) -> io::Result<()> {
    match check {
        None => writeln!(out, "  not checked: with --key it says whether this is true"),
        Some(Check { opens: true, .. }) => writeln!(out, "  checked: every check holds"),
        Some(Check { code, why, .. }) => writeln!(
            out,
            "  checked: REFUSED, {} ({})",
            why.as_deref().unwrap_or_default(),
            code.unwrap_or_default()
        ),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

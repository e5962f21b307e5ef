//! `keycell open`

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use keycell_client::https::{self, Config, OpenError};
use keycell_client::{Agent, AgentConfig, AgentKey, Membership, Opened, RestartGuard, system_rng};
use keycell_protocol::{Cause, Envelope, GroupKeysRequest, Mode, Name, Ticket, TicketKind, Under};
use serde::Serialize;

use super::output::{Output, refused};
use super::table::printable;
use super::{Outcome, text};
use crate::clock::{Clock as _, SystemClock};

/// Each line of standard input is one message. For one to a group the KDC that the key file names is asked for the group's
/// keys; for no other. Within one run each message opens once; one that was stored may be opened again by another run,
/// since nothing is written down.
#[derive(Debug, Args)]
pub(super) struct Open {
    /// The key file of the party that the messages are for, or of a member of their group
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// With `--json`: one object a message.
#[derive(Debug, Serialize)]
struct View<'a> {
    source: &'a str,
    /// The party of the key file, or a group.
    destination: &'a str,
    group: bool,
    /// Whether it is proved that the source wrote it, and no other member of the group.
    author_proof: bool,
    topic: &'a str,
    sent_at: u64,
    expiration: u64,
    sealed: bool,
    /// Standard base64.
    body: String,
}

impl Open {
    pub(super) async fn run(self, output: &Output) -> Outcome<ExitCode> {
        let key = AgentKey::load(&self.key)?;
        let mut receiver = Receiver {
            alone: Agent::new(key, &settings(), SystemClock.now(), system_rng()),
            file: self.key,
            member: None,
            asked: HashMap::new(),
            unanswered: String::new(),
        };
        let mut input = io::stdin().lock();
        let mut all = true;
        for number in 1_u64.. {
            let Some(message) = text::next(&mut input)? else { break };
            let opened = match message {
                Ok(message) => receiver.open(&message).await,
                Err(why) => Err(why.to_owned()),
            };
            match opened {
                Ok(opened) => print(number, &opened, receiver.alone.name(), output)?,
                Err(why) => {
                    refused(output, &format!("message {number}: {why}"));
                    all = false;
                }
            }
        }
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The party of the key file.
struct Receiver {
    /// What is for it alone needs no KDC, and opens without one.
    alone: Agent,
    file: PathBuf,
    /// As a member of groups, once it is asked for.
    member: Option<https::Agent>,
    /// The groups whose keys this run has asked for, and why it got none. Whoever writes a message names what group it likes,
    /// and each one costs a KDC a request.
    asked: HashMap<Name, Option<String>>,
    /// Why no KDC answered, the last time that none did.
    unanswered: String,
}

impl Receiver {
    /// Or why not, in words for the log of the receiver: whoever runs this command holds the key.
    async fn open(&mut self, message: &[u8]) -> Result<Opened, String> {
        let Some(group) = group_of(message).filter(|group| group != self.alone.name()) else {
            let opened = self.alone.open(SystemClock.now(), message);
            return opened.map_err(|error| format!("{error}: {}", error.cause()));
        };
        let member = self.listen(&group)?;
        let opened = if member.failing_since().is_some() {
            // One message has waited for a KDC; while none answers the others do not, but open if the key is here.
            member.open(message).map_err(|error| match error.cause() {
                Cause::Waiting { .. } => {
                    OpenError::NoKey { group: group.clone(), last: self.unanswered.clone() }
                }
                _ => error.into(),
            })
        } else {
            member.fetch_and_open(message).await
        };
        opened.map_err(|error| {
            self.leave_refused(&member);
            match error {
                OpenError::Cannot(error) => format!("{error}: {}", error.cause()),
                OpenError::NoKey { ref last, .. } => {
                    self.unanswered.clone_from(last);
                    error.to_string()
                }
                error => error.to_string(),
            }
        })
    }

    /// What a KDC gives no keys of is not asked for again.
    fn leave_refused(&mut self, member: &https::Agent) {
        for (group, membership) in member.groups() {
            if let Membership::Refused { problem } = membership {
                member.leave(&group);
                let refusal = OpenError::Refused { group: group.clone(), problem };
                self.asked.insert(group, Some(refusal.to_string()));
            }
        }
    }

    /// The member that listens to a group, or why there is none.
    fn listen(&mut self, group: &Name) -> Result<https::Agent, String> {
        if group.zone() != self.alone.name().zone() {
            return Err(format!("it is for {group}, and a party is a member of groups of its own zone only"));
        }
        match self.asked.get(group) {
            Some(Some(refusal)) => return Err(refusal.clone()),
            None if self.asked.len() >= MOST_GROUPS => {
                return Err(format!(
                    "it is for the group {group}, and the keys of {MOST_GROUPS} groups were asked for already, which is the \
                     most for one run; open it in another one"
                ));
            }
            _ => {}
        }
        let member = self.member().map_err(|why| {
            format!("it is for the group {group}, whose keys are asked of a KDC, and that cannot be: {why}")
        })?;
        if self.asked.insert(group.clone(), None).is_none() {
            member.join(group);
        }
        Ok(member)
    }

    fn member(&mut self) -> Outcome<https::Agent> {
        let member = match &mut self.member {
            Some(member) => member,
            none => {
                let config = Config { agent: settings(), ..Config::default() };
                none.insert(https::Agent::connect(AgentKey::load(&self.file)?, config)?)
            }
        };
        Ok(member.clone())
    }
}

/// As many as fit one request for the keys of groups.
const MOST_GROUPS: usize = GroupKeysRequest::MAX_GROUPS;

/// For messages that were stored.
fn settings() -> AgentConfig {
    let mut config = AgentConfig::default();
    config.opener.restart_guard = RestartGuard::Off;
    config
}

/// The group that a message claims to be for.
fn group_of(message: &[u8]) -> Option<Name> {
    let envelope = Envelope::parse(message).ok()?;
    let Under::Ticket(ticket) = envelope.under else { return None };
    let to_group = Ticket::parse(ticket).ok()?.kind() == TicketKind::Group;
    to_group.then(|| Name::try_from(envelope.destination).ok())?
}

fn print(number: u64, opened: &Opened, me: &Name, output: &Output) -> io::Result<()> {
    let view = View {
        source: opened.source.as_str(),
        destination: opened.destination.as_str(),
        group: opened.destination != *me,
        author_proof: opened.author().is_some(),
        topic: &opened.topic,
        sent_at: opened.sent_at.0,
        expiration: opened.expiration.0,
        sealed: opened.mode == Mode::Sealed,
        body: STANDARD.encode(&opened.body),
    };
    if !output.json && (view.group || view.author_proof) {
        // Beside the body, which is all that standard output has.
        eprintln!("keycell: message {number}: {}", printable(&whose(&view)));
    }
    output.print(&view, |out| out.write_all(&opened.body))?;
    io::stdout().flush()
}

/// Whose word it is, for people.
fn whose(view: &View<'_>) -> String {
    let View { source, destination, .. } = view;
    match (view.group, view.author_proof) {
        (true, true) => format!("to the group {destination}, from {source}, who proves to be the author"),
        (true, false) => {
            format!(
                "to the group {destination}, in the name of {source}: without a proof, any member can have written it"
            )
        }
        (false, _) => format!("from {source}, who proves to be the author"),
    }
}

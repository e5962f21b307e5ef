//! Runs the vectors of whole messages.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use keycell_client::{Keys, Opener, OpenerConfig, RestartGuard};
use keycell_protocol::{
    Cause, Envelope, Epoch, Extras, Generation, Grant, GroupKey, Header, HeldGroup, HeldKey, Instance,
    LongTermKey, Mode, Name, Nonce, Outcome, RatchetPeriod, Salt, SealedReply, SignerKey, StreamKey, Ticket,
    TicketRequest, Under, UnixMillis, UnixSeconds,
};
use serde::Deserialize;

#[test]
fn every_message_is_opened_or_refused_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/message");
    let mut codes = BTreeSet::new();
    let mut files = 0;
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let place = path.display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        let file: File = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(file.kind, "message", "{place}: nobody knows this kind");
        let (mut accepted, mut rejected) = (0, 0);
        for case in file.cases {
            let place = format!("{place}: {}", case.case);
            let mut receiver = Open::new(&case.receiver);
            for (at, step) in case.steps.iter().enumerate() {
                match receiver.run(step, &format!("{place}, step {at}")) {
                    None => accepted += 1,
                    Some(code) => {
                        rejected += 1;
                        codes.insert(code);
                    }
                }
            }
        }
        assert!(
            accepted > 0 && rejected > 0,
            "{place} shows too little: {accepted} accepted, {rejected} rejected"
        );
        files += 1;
    }
    assert!(files > 0);
    let missing: Vec<_> = Cause::CODES.iter().filter(|code| !codes.contains(*code)).collect();
    assert!(missing.is_empty(), "no vector is refused as {missing:?}");
}

struct Open {
    name: Name,
    keys: Keys,
    long_term: Vec<LongTermKey>,
    opener: Opener,
    grants: Vec<Grant>,
    groups: Vec<HeldGroup>,
}

impl Open {
    fn new(receiver: &Receiver) -> Self {
        let period = RatchetPeriod::from_seconds(receiver.ratchet_period).unwrap();
        let long_term: Vec<_> = receiver.keys.iter().map(Key::parse).collect();
        let mut keys = Keys::new(long_term[0].clone(), period);
        long_term.iter().for_each(|key| keys.add(key.clone()));
        let config = OpenerConfig {
            max_lifetime: receiver.max_lifetime,
            max_ahead_ms: receiver.max_ahead_ms,
            max_age_ms: receiver.max_age_ms,
            max_streams: receiver.max_senders,
            max_streams_per_source: receiver.max_senders_per_source,
            restart_guard: guard(&receiver.restart_guard),
            ..OpenerConfig::default()
        };
        let started = UnixMillis(receiver.started);
        let mut opener = Opener::new(receiver.name.parse().unwrap(), &config, started);
        let grants: Vec<_> = receiver.granted.iter().map(|granted| granted.open(&mut keys)).collect();
        for grant in &grants {
            assert!(opener.expect_replies(started, grant));
        }
        let groups: Vec<_> = receiver.groups.iter().map(Member::held).collect();
        groups.iter().for_each(|group| opener.hold(group.clone()));
        for Signer { zone, key } in &receiver.signers {
            opener.trust_signers(&zone.parse().unwrap(), &[SignerKey::new(array(key))]);
        }
        let name = receiver.name.parse().unwrap();
        Self { name, keys, long_term, opener, grants, groups }
    }

    /// `None` when the message was accepted, or the code of the refusal.
    fn run(&mut self, step: &Step, place: &str) -> Option<&'static str> {
        let mut message = hex(&step.message);
        if let Some(len) = step.zeros_up_to {
            assert!(len > message.len());
            message.resize(len, 0);
        }
        let (keys, now) = (&mut self.keys, UnixMillis(step.now));
        let opened = match &step.common {
            None => self.opener.open(keys, now, &message),
            Some(common) => self.opener.open_with_body(keys, now, &message, &hex(common)),
        };
        match (opened, &step.expect) {
            (Ok(opened), Expect::Accepted(parts)) => {
                let printed =
                    |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                let to_group = opened.destination != self.name;
                let got = Parts {
                    source: opened.source.to_string(),
                    topic: opened.topic.clone(),
                    body: printed(&opened.body),
                    sent_at: opened.sent_at.0,
                    expiration: opened.expiration.0,
                    mode: match opened.mode {
                        Mode::Sealed => "sealed",
                        Mode::Signed => "signed",
                    }
                    .to_owned(),
                    reply: opened.is_reply(),
                    group: to_group.then(|| opened.destination.to_string()),
                    voucher: opened.author().map(|voucher| printed(voucher.as_bytes())),
                };
                assert_eq!(got, *parts, "{place}");
                assert_eq!(opened.evidence().is_some(), opened.author().is_some(), "{place}");
                // What its author signs, or what is in another's part, can only be written by its sender.
                if Envelope::parse(&message).unwrap().extras == Extras::NONE {
                    let written = self.write(&message, &opened.body);
                    assert_eq!(written, message, "{place}: what is read is not what is written");
                }
                None
            }
            (Err(cause), Expect::Rejected(code)) => {
                assert_eq!(cause.code(), code, "{place}");
                Some(cause.code())
            }
            (Ok(opened), Expect::Rejected(code)) => panic!("{place}: {code} was opened: {opened:?}"),
            (Err(cause), Expect::Accepted(_)) => panic!("{place}: {cause}"),
        }
    }

    /// The same message once more, from its parts.
    fn write(&self, message: &[u8], body: &[u8]) -> Vec<u8> {
        let envelope = Envelope::parse(message).unwrap();
        let name = |bytes: &[u8]| Name::try_from(bytes).unwrap();
        let (source, destination) = (name(envelope.source), name(envelope.destination));
        let sek = match envelope.under {
            Under::Ticket(ticket) => {
                let ticket = Ticket::parse(ticket).unwrap();
                if let Some(group) = self.groups.iter().find(|group| group.group == destination) {
                    let held = group.keys.iter().find(|held| held.key.generation() == ticket.generation());
                    let rkey = ticket.open(&held.unwrap().key.ticket_key()).unwrap();
                    rkey.sek(&source, &destination, envelope.expiration)
                } else {
                    let key =
                        self.long_term.iter().find(|key| key.generation() == ticket.generation()).unwrap();
                    let subkeys = key.clone().advance(ticket.epoch()).unwrap().subkeys();
                    ticket.open(&subkeys.ticket).unwrap().sek(&source, &destination, envelope.expiration)
                }
            }
            Under::Id(id) => {
                let grant = self.grants.iter().find(|grant| grant.ticket.id() == id).unwrap();
                grant.reply_sek.clone().unwrap()
            }
        };
        let header = Header {
            mode: envelope.mode,
            extras: Extras::NONE,
            expiration: envelope.expiration,
            sent_at: envelope.sent_at,
            sequence: envelope.sequence,
            source: &source,
            destination: &destination,
            topic: envelope.topic,
            under: envelope.under,
        };
        StreamKey::new(sek, Salt::of(&envelope)).write(&header, body)
    }
}

fn guard(text: &str) -> RestartGuard {
    match text.split_once(' ') {
        None if text == "start" => RestartGuard::Start,
        None if text == "first-use" => RestartGuard::FirstUse,
        None if text == "off" => RestartGuard::Off,
        Some(("until", at)) => RestartGuard::Until(UnixMillis(at.parse().unwrap())),
        _ => panic!("nobody knows the restart guard {text}"),
    }
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.is_ascii() && text.len().is_multiple_of(2), "{text}");
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kind: String,
    #[serde(rename = "about")]
    _about: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    receiver: Receiver,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receiver {
    name: String,
    ratchet_period: u32,
    keys: Vec<Key>,
    started: u64,
    restart_guard: String,
    max_lifetime: u64,
    max_ahead_ms: u64,
    max_age_ms: Option<u64>,
    max_senders: usize,
    max_senders_per_source: usize,
    granted: Vec<Granted>,
    #[serde(default)]
    groups: Vec<Member>,
    #[serde(default)]
    signers: Vec<Signer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    group: String,
    author_proof: bool,
    keys: Vec<MemberKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberKey {
    generation: u32,
    begins: u64,
    ends: u64,
    secret: String,
}

impl Member {
    fn held(&self) -> HeldGroup {
        let key = |key: &MemberKey| HeldKey {
            key: GroupKey::new(Generation(key.generation), array(&key.secret)),
            begins: UnixSeconds(key.begins),
            ends: UnixSeconds(key.ends),
        };
        HeldGroup {
            group: self.group.parse().unwrap(),
            author_proof: self.author_proof,
            refresh_at: UnixMillis(0),
            spread: 0,
            keys: self.keys.iter().map(key).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signer {
    zone: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    generation: u32,
    epoch: u32,
    secret: String,
}

impl Key {
    fn parse(&self) -> LongTermKey {
        LongTermKey::new(Generation(self.generation), Epoch(self.epoch), array(&self.secret))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Granted {
    request: Request,
    reply: String,
}

impl Granted {
    fn open(&self, keys: &mut Keys) -> Grant {
        let request = TicketRequest {
            source: self.request.source.parse().unwrap(),
            destinations: self.request.destinations.iter().map(|name| name.parse().unwrap()).collect(),
            timestamp: UnixMillis(self.request.timestamp),
            nonce: Nonce(array(&self.request.nonce)),
            instance: Instance(array(&self.request.instance)),
        };
        let subkeys = keys.current(request.timestamp).unwrap();
        let reply =
            SealedReply::parse(self.reply.as_bytes()).unwrap().open(&subkeys.reply, &request).unwrap();
        match reply.outcomes.into_iter().next() {
            Some(Outcome::Granted(grant)) => *grant,
            other => panic!("{other:?} is no ticket"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    source: String,
    destinations: Vec<String>,
    timestamp: u64,
    nonce: String,
    instance: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    now: u64,
    message: String,
    zeros_up_to: Option<usize>,
    common: Option<String>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Accepted(Parts),
    Rejected(String),
}

#[derive(Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Parts {
    source: String,
    topic: String,
    body: String,
    sent_at: u64,
    expiration: u64,
    mode: String,
    reply: bool,
    group: Option<String>,
    voucher: Option<String>,
}

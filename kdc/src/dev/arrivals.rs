//! Hosts that come aboard by themselves, strangers that do not, and a host's key that somebody copied.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use keycell_client::https::{
    Agent, Answer, Config, EnrollError, EnrollOptions, Transport, TransportError, enroll, tls_config,
};
use keycell_client::protocol::{JoinToken, Name};
use keycell_client::{AgentConfig, AgentKey, StoredHost, SystemClock};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::attacks::Attack;
use super::auditor::Auditor;
use super::cell::DevCell;
use super::{Failure, local};
use crate::enrollment::{Admission, CopiesKind, Refusal, TokenRefusal};

/// Who came aboard, and what was tried.
#[derive(Debug, Serialize)]
pub(crate) struct Arrivals {
    /// The CMA and the nanoprobes.
    pub(crate) fleet: Vec<Arrived>,
    /// Everything else, in order.
    pub(crate) tried: Vec<Attack>,
}

/// One party that came aboard by itself.
#[derive(Debug, Serialize)]
pub(crate) struct Arrived {
    /// Its whole name.
    pub(crate) name: Name,
    /// By what.
    pub(crate) by: Option<Admission>,
}

/// Tries everything at the gate of a cell.
pub(super) struct Gate<'a> {
    cell: &'a DevCell,
    auditor: Auditor,
    tried: Vec<Attack>,
}

impl<'a> Gate<'a> {
    /// # Errors
    /// The KDC gives no token to look with.
    pub(super) async fn new(cell: &'a DevCell) -> Result<Self, Failure> {
        Ok(Self { cell, auditor: Auditor::of(cell).await?, tried: Vec::new() })
    }

    /// Lets hosts come, and tries to get in otherwise. `fleet` is aboard, and of it somebody has used the key of `robbed`.
    ///
    /// # Errors
    /// Something cannot be tried.
    pub(super) async fn try_everything(mut self, fleet: &[Name], robbed: &Name) -> Result<Arrivals, Failure> {
        let token = self.cell.join_token(SERVICE, &["*"]).await?;
        let one = self.cell.aboard(SERVICE, "one", &token).await?;
        let two = self.first_come("two").await?;
        let key_file = one.key_path().to_owned();
        let config = || Config { agent: AgentConfig::default().first_use(), ..Config::default() };
        let (one, two) = (Agent::connect_host(one, config())?, Agent::connect_host(two, config())?);
        let how = "web.one brings a join token for one host, and writes to web.two".to_owned();
        self.talk("token", how, (&one, Admission::Token), &two).await?;
        let how =
            "web.two brings nothing while whoever comes first gets in, and writes to web.one".to_owned();
        self.talk("tofu", how, (&two, Admission::Tofu), &one).await?;

        self.strangers(&token).await?;
        self.copied(&one, AgentKey::load(&key_file)?, fleet).await?;
        let how = format!(
            "who broke into {} asked the KDC in its name while it went on: two processes, and one key",
            local(robbed)
        );
        self.found(robbed, how, CopiesKind::Shared).await?;
        let arrived = |name: &Name| Arrived { name: name.clone(), by: self.cell.admission(name) };
        Ok(Arrivals { fleet: fleet.iter().map(arrived).collect(), tried: self.tried })
    }

    /// A host that gets in for a moment in which nobody needs a join token.
    async fn first_come(&self, host: &str) -> Result<StoredHost, Failure> {
        let host = self.cell.stranger(SERVICE, host).await?;
        self.cell.trusts_on_first_use(SERVICE).await?;
        let enrolled = enroll(&host, &EnrollOptions::default()).await;
        self.cell.wants_tokens().await?;
        enrolled?;
        Ok(host)
    }

    /// Somebody who came aboard writes to another.
    async fn talk(
        &mut self,
        name: &'static str,
        how: String,
        (from, by): (&Agent, Admission),
        to: &Agent,
    ) -> Result<(), Failure> {
        let sealed = from.seal(to.name(), TOPIC, HELLO).await?;
        let (verdict, held) = match to.open(&sealed) {
            Ok(opened) if opened.source == *from.name() && opened.body == HELLO => ("opened", true),
            Ok(_) => ("something else", false),
            Err(error) => (error.cause().code(), false),
        };
        let held = held && self.cell.admission(from.name()) == Some(by);
        let reason = format!("from {}", from.name().local());
        self.note(local(to.name()), name, how, (verdict, reason), held);
        Ok(())
    }

    /// Nobody gets in who has not what it takes.
    async fn strangers(&mut self, used: &JoinToken) -> Result<(), Failure> {
        let three = self.cell.stranger(SERVICE, "three").await?;
        let others = self.cell.join_token(SERVICE, &["db*"]).await?;
        for (token, how, expected) in [
            (None, "web.three brings nothing, now that it takes a join token", NO_TOKEN),
            (Some(&others), "web.three brings a join token for the hosts db*", OTHER_HOST),
            (Some(used), "web.three brings the join token of web.one, which let that in", USED_UP),
        ] {
            let before = self.refusals();
            let options = EnrollOptions { token: token.cloned(), ..EnrollOptions::default() };
            let verdict = match enroll(&three, &options).await {
                Ok(_) => "aboard",
                Err(EnrollError::Refused { .. }) => {
                    let more = |reason: &&str| self.refusals().get(reason) > before.get(reason);
                    Refusal::REASONS.into_iter().find(more).unwrap_or("for no reason")
                }
                Err(error) => return Err(error.into()),
            };
            let held = verdict == expected && self.cell.admission(&three.full_name()).is_none();
            self.note(KDC, "stranger", how.to_owned(), (verdict, String::new()), held);
        }
        self.cell.revoke(&others).await
    }

    /// Somebody read a host's key file, and uses it on another machine while the host goes on.
    async fn copied(&mut self, host: &Agent, key: AgentKey, others: &[Name]) -> Result<(), Failure> {
        let (place, kind) = elsewhere();
        let there = Arc::new(Bound::to(place, &key.kdc.tls_roots)?);
        let thief = Agent::with(key, Config::default(), there, Arc::new(SystemClock))?;
        for other in others {
            // Each time somebody that it has no ticket for yet, so that the KDC hears of both in turn.
            for agent in [host, &thief] {
                drop(agent.seal(other, TOPIC, HELLO).await?);
            }
        }
        let who = local(host.name()).to_owned();
        let how = format!("who copied {who}'s key file asks for tickets at {place} while {who} does so, too");
        self.found(host.name(), how, kind).await
    }

    /// Waits until administrators see that a party's key is used twice.
    async fn found(&mut self, party: &Name, how: String, kind: CopiesKind) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        let copies = loop {
            let conflict = self.auditor.conflict(party).await?;
            match conflict.and_then(|conflict| conflict.copies) {
                Some(copies) => break Some(copies),
                None if Instant::now() > end => break None,
                None => sleep(BEFORE_THE_NEXT_LOOK).await,
            }
        };
        let (verdict, reason, held) = match copies {
            Some(copies) => {
                let [one, other] = copies.addresses;
                (copies.kind.as_str(), format!("{one} and {other}"), copies.kind == kind)
            }
            None => ("nothing", String::new(), false),
        };
        self.note("an administrator", "copied", how, (verdict, reason), held);
        Ok(())
    }

    /// How many the KDC refused, by why.
    fn refusals(&self) -> BTreeMap<&'static str, u64> {
        let counted = &self.cell.kdc().metrics().enrollment;
        Refusal::REASONS.into_iter().map(|reason| (reason, counted.refused_for(reason))).collect()
    }

    fn note(
        &mut self,
        receiver: &str,
        name: &'static str,
        how: String,
        (verdict, reason): (&'static str, String),
        held: bool,
    ) {
        let seen = BTreeMap::from([(verdict, 1)]);
        self.tried.push(Attack { name, how, receiver: receiver.to_owned(), seen, reason, held });
    }
}

/// Another address of this machine, and what the KDC finds of a key that is used there. Where there is none, two processes
/// at one address are what it can find.
fn elsewhere() -> (IpAddr, CopiesKind) {
    let place = Ipv4Addr::new(127, 0, 0, 2);
    match UdpSocket::bind((place, 0)) {
        Ok(_) => (place.into(), CopiesKind::Clone),
        Err(_) => (Ipv4Addr::LOCALHOST.into(), CopiesKind::Shared),
    }
}

/// The way to a KDC from one address of this machine.
struct Bound(reqwest::Client);

impl Bound {
    fn to(address: IpAddr, roots: &str) -> Result<Self, Failure> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls_config(roots)?)
            .https_only(true)
            .no_proxy()
            .local_address(address)
            .build()?;
        Ok(Self(client))
    }
}

impl Transport for Bound {
    fn post<'a>(
        &'a self,
        url: &'a str,
        body: Vec<u8>,
        _max: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send + 'a>> {
        let failed = |error: reqwest::Error| TransportError(error.to_string());
        Box::pin(async move {
            let request =
                self.0.post(url).header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
            let response = request.send().await.map_err(failed)?;
            let status = response.status().as_u16();
            // The cell's own KDC sends nothing that is too long.
            let body = response.bytes().await.map_err(failed)?.to_vec();
            Ok(Answer { status, retry_after: None, body })
        })
    }
}

/// The service of the hosts that come while everybody looks.
const SERVICE: &str = "web";
const TOPIC: &str = "greeting";
const HELLO: &[u8] = b"hello";
const KDC: &str = "the KDC";
const NO_TOKEN: &str = Refusal::NoToken.reason();
const OTHER_HOST: &str = Refusal::Token(TokenRefusal::Host).reason();
const USED_UP: &str = Refusal::Token(TokenRefusal::UsedUp).reason();
/// How long administrators may see nothing; usually it is some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
const BEFORE_THE_NEXT_LOOK: Duration = Duration::from_millis(20);

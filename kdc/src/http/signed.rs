//! What comes with a signature of its sender: one way in and out for every kind of it.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use keycell_protocol::{Name, ProblemType, RequestError};
use tokio::runtime::Handle;
use tracing::field::display;
use tracing::{Instrument as _, Span};

use super::Peer;
use super::admin::body::require_json;
use super::heavy::heavily;
use super::layers::RequestId;
use super::problem::Failure;
use crate::administration::{Asker, PartyError};
use crate::issuance::Denied;
use crate::kdc::{Journey, Kdc};

/// A kind of signed request: what is its own. All else is the same for each, and is [`serve`]'s.
pub(super) trait Served: 'static {
    /// As it travels.
    type Signed<'a>;

    /// What is told to whom sent something else.
    const MALFORMED: &'static str;
    /// What the log is told of one that is refused.
    const REFUSED: &'static str;

    /// What answering a body of `size` bytes takes.
    fn work(size: usize) -> Work;

    /// Reads the JSON.
    fn parse(json: &[u8]) -> Result<Self::Signed<'_>, RequestError>;

    /// Who says to have signed it.
    fn sender<'a>(signed: &'a Self::Signed<'_>) -> &'a Name;

    /// [Reads](read) it, answers it with JSON, and tells the log of that.
    fn answer(
        kdc: &Kdc,
        json: &[u8],
        from: Origin,
    ) -> impl Future<Output = Result<Answer, PartyError>> + Send;
}

/// What a request came to.
pub(super) enum Answer {
    /// The JSON to send.
    Given(Vec<u8>),
    /// Other zones have to be asked first: that is waited for with no thread, and no place for heavy work.
    Abroad(Box<Journey>),
}

impl From<Vec<u8>> for Answer {
    fn from(json: Vec<u8>) -> Self {
        Self::Given(json)
    }
}

/// What an answer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A moment: it waits for nothing.
    Moment,
    /// Milliseconds in which it waits for nothing either.
    Heavy,
    /// A change: it is seen through also when the sender has gone, who asks again and gets the same.
    Change,
}

/// Where a request came from, and under which name the log knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) id: RequestId,
    pub(super) peer: SocketAddr,
}

impl Origin {
    /// The same for the audit log.
    pub(super) fn asker(self) -> Asker {
        Asker { request: Some(self.id.to_string()), address: Some(self.peer.ip()) }
    }
}

/// A request that nobody has looked at yet.
pub(super) struct Sent {
    kdc: Arc<Kdc>,
    origin: Origin,
    body: Bytes,
}

impl FromRequest<Arc<Kdc>> for Sent {
    type Rejection = Failure;

    async fn from_request(request: Request, kdc: &Arc<Kdc>) -> Result<Self, Failure> {
        require_json(request.headers())?;
        let internal = || Failure::new(ProblemType::Internal);
        let Peer(peer) = *request.extensions().get::<Peer>().ok_or_else(internal)?;
        let id = *request.extensions().get::<RequestId>().ok_or_else(internal)?;
        let body = Bytes::from_request(request, kdc).await.map_err(|_| internal())?;
        Ok(Self { kdc: kdc.clone(), origin: Origin { id, peer }, body })
    }
}

impl Sent {
    /// What it is made of.
    pub(super) fn into_parts(self) -> (Arc<Kdc>, Origin, Bytes) {
        let Self { kdc, origin, body } = self;
        (kdc, origin, body)
    }
}

/// Answers a request of the kind `K`.
pub(super) async fn serve<K: Served>(sent: Sent) -> Result<Response, Failure> {
    let (kdc, origin) = (sent.kdc.clone(), sent.origin);
    let work = K::work(sent.body.len());
    let (sent, answer) = match work {
        Work::Moment => {
            let answer = sent.answer::<K>().await;
            (sent, answer)
        }
        Work::Heavy => {
            let runtime = Handle::current();
            let answer = move |_: &Kdc| {
                let answer = runtime.block_on(sent.answer::<K>());
                (sent, answer)
            };
            heavily(&kdc, answer).await?
        }
        Work::Change => {
            let answer = async move {
                let answer = sent.answer::<K>().await;
                (sent, answer)
            };
            let answer = tokio::spawn(answer.in_current_span()).await;
            answer.map_err(|_| Failure::new(ProblemType::Internal))?
        }
    };
    let answer = match answer {
        Ok(Answer::Given(json)) => Ok(json),
        Ok(Answer::Abroad(journey)) => sent.abroad::<K>(journey, work).await?,
        Err(error) => Err(error),
    };
    match answer {
        Ok(json) => Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response()),
        Err(PartyError::Denied(denied)) => Err(failure(&kdc, denied, origin.peer)),
        Err(PartyError::Admin(error)) => Err(error.into()),
    }
}

/// Reads a request, before anything is answered to it.
pub(super) fn read<K: Served>(json: &[u8]) -> Result<K::Signed<'_>, PartyError> {
    K::parse(json).map_err(|_| PartyError::denied(ProblemType::MalformedRequest, K::MALFORMED))
}

impl Sent {
    async fn answer<K: Served>(&self) -> Result<Answer, PartyError> {
        let answer = K::answer(&self.kdc, &self.body, self.origin).await;
        if let Err(error) = &answer {
            self.refused::<K>(error);
        }
        answer
    }

    /// Waits for other zones, and then answers.
    async fn abroad<K: Served>(
        &self,
        mut journey: Box<Journey>,
        work: Work,
    ) -> Result<Result<Vec<u8>, PartyError>, Failure> {
        let fetched = self.kdc.fetch(&mut journey).await;
        let issue = move |kdc: &Kdc| kdc.arrive(*journey, &fetched);
        let issued = match work {
            Work::Heavy => heavily(&self.kdc, issue).await?,
            Work::Moment | Work::Change => issue(&self.kdc),
        };
        let answer = issued.map(|issued| issued.body).map_err(PartyError::from);
        if let Err(error) = &answer {
            self.refused::<K>(error);
        }
        Ok(answer)
    }

    fn refused<K: Served>(&self, error: &PartyError) {
        // Read once more, for no future could be sent that keeps a borrowed request of any kind (rust-lang/rust#100013).
        if let Ok(signed) = K::parse(&self.body) {
            self.note::<K>(K::sender(&signed), error);
        }
    }

    /// Tells the logs what is not told to the sender.
    fn note<K: Served>(&self, sender: &Name, error: &PartyError) {
        let Self { kdc, origin: Origin { id, peer }, body: _ } = self;
        let cause = match error {
            PartyError::Denied(Denied::Refused(refusal)) => {
                if refusal.problem == ProblemType::Unauthenticated {
                    kdc.recorder().failed(kdc.now(), peer.ip(), Some(sender.as_str()));
                }
                Cow::Borrowed(refusal.cause)
            }
            PartyError::Denied(Denied::TooOften(_)) => Cow::Borrowed("over its rate"),
            PartyError::Admin(error) => Cow::Owned(error.to_string()),
        };
        // The path of a ticket has no span that names the request.
        let id = Span::current().is_none().then(|| display(id));
        tracing::info!(id, party = %sender, cause = &*cause, "{}", K::REFUSED);
    }
}

/// What is told to whom a request was denied.
fn failure(kdc: &Kdc, denied: Denied, peer: SocketAddr) -> Failure {
    let failure = Failure::new(denied.problem());
    match denied {
        Denied::TooOften(limit) => failure
            .detail("this party asks too often; wait as long as Retry-After says")
            .retry_after(limit.retry_after),
        Denied::Refused(refusal) => match refusal.problem {
            ProblemType::ClockSkew => failure
                .detail("set the clock, or correct by server_time and ask again")
                .server_time(kdc.now()),
            ProblemType::Overloaded => Failure::overloaded(),
            // A clock that is off by an epoch or more makes a request that cannot be authenticated: tell the time.
            // After a recovery that is every host's answer at once: they are told how to spread, whoever asks.
            ProblemType::Unauthenticated => {
                let within = kdc.directory().settings().enrollment.reenroll_within_seconds;
                counted(kdc, peer, failure.server_time(kdc.now()).reenroll_within(within))
            }
            ProblemType::Replayed => counted(kdc, peer, failure),
            _ => failure.detail(refusal.cause),
        },
    }
}

/// The answer to a failure of an address: the failure, or that there are too many.
pub(super) fn counted(kdc: &Kdc, peer: SocketAddr, failure: Failure) -> Failure {
    match kdc.failed(peer.ip()) {
        Ok(()) => failure,
        Err(limit) => Failure::failed_too_often(limit),
    }
}

//! The wire from one zone's KDC to another's, in one process, and what may befall it.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use keycell_client::https::{Answer, ConnectError, Transport, TransportError};
use keycell_kdc::administration::{AdminError, Asker, PartyError};
use keycell_kdc::peers::Connect;
use keycell_protocol::{
    Epoch, KeysFor, LongTermKey, PeerRequest, Peers, Problem, ProblemType, SignedPeerRequest, SignedRotation,
    UnixMillis,
};
use tokio::sync::Semaphore;

use crate::zone::Zone;

/// What is answered in the place of the truth, to this request, under these keys, at this time.
pub(super) type Lie = fn(&PeerRequest, &KeysFor<Peers>, UnixMillis) -> Vec<u8>;

/// What the other zone's KDC does with a request.
#[derive(Clone)]
pub(super) enum Mood {
    /// It answers.
    Well,
    /// There is no connection.
    Dead,
    /// It does all that is asked, and its answers to steps of a rotation are lost, but for so many.
    Forgets(usize),
    /// It takes that step of a rotation, counted from 0, and denies it.
    Denies(usize),
    /// It takes so many steps of a rotation, and refuses the others.
    Refuses(usize),
    /// It takes the request and says nothing until it is released.
    Hangs,
    /// It answers this.
    Says(u16, Vec<u8>),
    /// Something is done to its answers.
    Altered(fn(Vec<u8>) -> Vec<u8>),
    /// It holds the key and lies.
    Lies(LongTermKey, Lie),
    /// It gives the answer before this one.
    Replays,
}

/// To the KDC of one zone.
pub(super) struct Wire {
    zone: Arc<Zone>,
    mood: Mutex<Mood>,
    calls: AtomicUsize,
    connections: AtomicUsize,
    steps: AtomicUsize,
    released: Semaphore,
    last: Mutex<Vec<u8>>,
    urls: Mutex<Vec<String>>,
    /// Of the key that the last request for tickets named.
    epoch: Mutex<Option<Epoch>>,
}

impl Wire {
    /// Lays it from `asking`.
    pub(super) fn lay(asking: &Zone, to: &Arc<Zone>) -> Arc<Self> {
        let wire = Arc::new(Self {
            zone: to.clone(),
            mood: Mutex::new(Mood::Well),
            calls: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            steps: AtomicUsize::new(0),
            released: Semaphore::new(0),
            last: Mutex::default(),
            urls: Mutex::default(),
            epoch: Mutex::default(),
        });
        wire.clone().join(asking);
        wire
    }

    /// Joins a KDC that was started again.
    pub(super) fn join(self: Arc<Self>, asking: &Zone) {
        asking.kdc.peers().connect_by(Arc::new(To(self)));
    }

    pub(super) fn set(&self, mood: Mood) {
        self.steps.store(0, Ordering::SeqCst);
        *self.mood.lock().unwrap() = mood;
    }

    /// How many requests came this far.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How often connections were made anew.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Where they went.
    pub(super) fn urls(&self) -> Vec<String> {
        std::mem::take(&mut *self.urls.lock().unwrap())
    }

    /// Which epoch the last request for tickets was of.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        *self.epoch.lock().unwrap()
    }

    /// Whoever hangs is answered.
    pub(super) fn release(&self) {
        self.released.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    async fn answer(&self, url: &str, body: Vec<u8>, max: usize) -> Result<Answer, TransportError> {
        let mood = self.mood.lock().unwrap().clone();
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.urls.lock().unwrap().push(url.to_owned());
        if let Ok(signed) = SignedPeerRequest::parse(&body)
            && url.ends_with("/v1/peer/tickets")
        {
            *self.epoch.lock().unwrap() = Some(signed.key().epoch);
        }
        if body.len() > self.zone.config.limits.body_bytes {
            let body = serde_json::to_vec(&Problem::new(ProblemType::TooLarge)).unwrap();
            return Ok(Answer { status: 413, retry_after: None, body });
        }
        let broken = || TransportError("the connection broke".to_owned());
        match mood {
            Mood::Dead => return Err(broken()),
            Mood::Hangs => drop(self.released.acquire().await.unwrap()),
            Mood::Says(status, body) => return Ok(Answer { status, retry_after: None, body }),
            Mood::Lies(key, lie) => {
                let request = SignedPeerRequest::parse(&body).unwrap();
                let period = self.zone.kdc.zone_record().ratchet_period;
                let epoch = period.epoch(self.zone.now().seconds());
                let keys = key.advance(epoch).unwrap().keys_for();
                let body = lie(&request.verify(&keys).unwrap(), &keys, self.zone.now());
                return Ok(Answer { status: 200, retry_after: None, body });
            }
            _ => {}
        }
        let rotates = url.ends_with("/v1/keys/rotate");
        let step = if rotates { self.steps.fetch_add(1, Ordering::SeqCst) } else { 0 };
        let answered = if rotates {
            let refused = matches!(mood, Mood::Refuses(most) if step >= most);
            if refused { Err((ProblemType::Unauthenticated, None)) } else { self.rotate(&body).await }
        } else {
            let issued = self.zone.kdc.peer_tickets(&SignedPeerRequest::parse(&body).unwrap(), None);
            issued.map(|issued| issued.body).map_err(|denied| (denied.problem(), None))
        };
        let denied = rotates && matches!(mood, Mood::Denies(one) if step == one);
        let answered = if denied { Err((ProblemType::Unauthenticated, None)) } else { answered };
        let body = match answered {
            Ok(body) => body,
            Err((kind, retry_after)) => {
                let mut problem = Problem::new(kind);
                problem.server_time = Some(self.zone.now());
                let body = serde_json::to_vec(&problem).unwrap();
                return Ok(Answer { status: kind.status(), retry_after, body });
            }
        };
        let before = std::mem::replace(&mut *self.last.lock().unwrap(), body.clone());
        let body = match mood {
            Mood::Forgets(after) if rotates && step >= after => return Err(broken()),
            Mood::Altered(alter) => alter(body),
            Mood::Replays => before,
            _ => body,
        };
        if body.len() > max {
            return Err(broken());
        }
        Ok(Answer { status: 200, retry_after: None, body })
    }

    async fn rotate(&self, body: &[u8]) -> Result<Vec<u8>, (ProblemType, Option<u64>)> {
        let asker = Asker { request: None, address: None };
        let answered = self.zone.kdc.rotate(&SignedRotation::parse(body).unwrap(), &asker).await;
        answered.map_err(|error| match error {
            PartyError::Denied(denied) => (denied.problem(), None),
            PartyError::Admin(AdminError::Refused(_)) => (ProblemType::Conflict, None),
            PartyError::Admin(AdminError::NotYet { retry_after, .. }) => {
                (ProblemType::Conflict, Some(retry_after.as_secs()))
            }
            PartyError::Admin(_) => (ProblemType::Internal, None),
        })
    }
}

struct To(Arc<Wire>);

impl Connect for To {
    fn connect(&self, _: &str) -> Result<Arc<dyn Transport>, ConnectError> {
        self.0.connections.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(Self(self.0.clone())))
    }
}

impl Transport for To {
    fn post<'a>(
        &'a self,
        url: &'a str,
        body: Vec<u8>,
        max: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send + 'a>> {
        Box::pin(self.0.answer(url, body, max))
    }
}

//! Opens requests to enroll on threads of its own, so that a flood of them keeps no request for tickets waiting.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use keycell_protocol::{
    EnrollmentError, EnrollmentKeys, EnrollmentRequest, IdentitySecret, SealedEnrollment,
};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

/// Threads that open requests, and a queue in front of them that holds so many and no more.
pub struct Opener {
    jobs: SyncSender<Job>,
    waiting: Gauge,
    /// Kept, so that the queue is one also where no thread could be started.
    _queue: Arc<Mutex<Receiver<Job>>>,
}

struct Job {
    sealed: SealedEnrollment,
    secret: Arc<IdentitySecret>,
    done: oneshot::Sender<Result<Opened, EnrollmentError>>,
}

/// What a request says whose seal and signature hold, and the keys that it made.
pub type Opened = (EnrollmentRequest, EnrollmentKeys);

/// Why a request was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// More come than can be opened.
    #[error("more hosts enroll than this KDC can take at once")]
    Overloaded,
    /// It is not what it says to be.
    #[error(transparent)]
    Request(#[from] EnrollmentError),
}

impl Opener {
    /// Starts the threads: half of the cores open requests at the most.
    #[must_use]
    pub fn start(waiting: Gauge) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self::with((cores / 2).max(1), ROOM, waiting)
    }

    fn with(threads: usize, room: usize, waiting: Gauge) -> Self {
        let (jobs, queue) = sync_channel::<Job>(room);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let (queue, waiting) = (queue.clone(), waiting.clone());
            let thread = thread::Builder::new().name(format!("enrollment-{number}"));
            let next = move || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let work = move || {
                // Until the opener is gone.
                while let Ok(job) = next() {
                    waiting.dec();
                    job.work();
                }
            };
            if let Err(error) = thread.spawn(work) {
                tracing::error!(%error, "a thread that opens requests to enroll cannot be started");
            }
        }
        Self { jobs, waiting, _queue: queue }
    }

    /// Opens a request, when it is its turn.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        &self,
        sealed: SealedEnrollment,
        secret: Arc<IdentitySecret>,
    ) -> Result<Opened, OpenError> {
        let (done, opened) = oneshot::channel();
        self.waiting.inc();
        if self.jobs.try_send(Job { sealed, secret, done }).is_err() {
            self.waiting.dec();
            return Err(OpenError::Overloaded);
        }
        Ok(opened.await.map_err(|_| OpenError::Overloaded)??)
    }
}

impl Job {
    fn work(self) {
        // Whoever does not wait for it any more asks again.
        if !self.done.is_closed() {
            let _ = self.done.send(self.sealed.open(&self.secret));
        }
    }
}

/// How many requests wait at the most: what a thread opens in a few hundredths of a second.
const ROOM: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use keycell_protocol::{AuthorKey, IdentityName, Instance, KdcIdentity, Nonce, SignerKey, UnixMillis};
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn sealed(secret: &IdentitySecret) -> SealedEnrollment {
        let key = AuthorKey::new(&[3; 32]);
        let request = EnrollmentRequest {
            service: "nanoprobe".parse().unwrap(),
            host: "web1".parse().unwrap(),
            public_key: key.public(),
            token: None,
            timestamp: UnixMillis(5),
            nonce: Nonce([1; 16]),
            instance: Instance([2; 16]),
        };
        let to = KdcIdentity {
            name: IdentityName::PRIMARY,
            signing_key: SignerKey::new([0; 32]),
            encryption_key: secret.public(),
        };
        let zone = "z".parse().unwrap();
        let (json, _) = request.seal(&zone, &to, &key, &mut crate::random::system()).unwrap();
        SealedEnrollment::parse(&json).unwrap()
    }

    #[tokio::test]
    async fn what_is_sealed_is_opened_elsewhere() {
        let secret = Arc::new(IdentitySecret::generate(&mut crate::random::system()));
        let waiting = Gauge::default();
        let opener = Opener::with(2, 4, waiting.clone());
        let (request, _) = opener.open(sealed(&secret), secret.clone()).await.unwrap();
        assert_eq!(request.host.as_str(), "web1");
        let other = Arc::new(IdentitySecret::generate(&mut crate::random::system()));
        let error = opener.open(sealed(&secret), other).await.unwrap_err();
        assert_eq!(error, OpenError::Request(EnrollmentError::Forged));
        assert_eq!(waiting.get(), 0);
    }

    #[test]
    fn a_full_queue_takes_no_more() {
        let secret = Arc::new(IdentitySecret::generate(&mut crate::random::system()));
        let waiting = Gauge::default();
        // Nobody works.
        let opener = Opener::with(0, 2, waiting.clone());
        let sealed = sealed(&secret);
        let mut context = Context::from_waker(Waker::noop());
        let (mut one, mut two, mut three) = (
            pin!(opener.open(sealed.clone(), secret.clone())),
            pin!(opener.open(sealed.clone(), secret.clone())),
            pin!(opener.open(sealed, secret)),
        );
        assert!(one.as_mut().poll(&mut context).is_pending());
        assert!(two.as_mut().poll(&mut context).is_pending());
        assert_eq!(waiting.get(), 2);
        match three.as_mut().poll(&mut context) {
            Poll::Ready(Err(error)) => assert_eq!(error, OpenError::Overloaded),
            other => panic!("{other:?}"),
        }
        assert_eq!(waiting.get(), 2);
    }
}

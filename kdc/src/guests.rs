//! Who is connected: how many connections an address has, and whether anything happens on one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::sleep;

use crate::limit::Network;

/// Counts the open connections of each address.
pub(crate) struct Guests {
    present: Mutex<HashMap<Network, usize>>,
}

impl Guests {
    pub(crate) fn new() -> Self {
        Self { present: Mutex::default() }
    }

    /// Lets one more connection of `address` in; `None` when it has `most` of them.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Guest> {
        let network = Network::of(address);
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let count = present.entry(network).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Guest { guests: self.clone(), network })
    }
}

/// One open connection; counted until it is dropped.
pub(crate) struct Guest {
    guests: Arc<Guests>,
    network: Network,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut present = self.guests.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = present.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                present.remove(&self.network);
            }
        }
    }
}

/// What happens on one connection.
pub(crate) struct Activity {
    working: AtomicUsize,
    asked: AtomicUsize,
    last: Mutex<Instant>,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self { working: AtomicUsize::new(0), asked: AtomicUsize::new(0), last: Mutex::new(Instant::now()) }
    }

    /// Notes a request, until what is returned is dropped.
    pub(crate) fn work(self: &Arc<Self>) -> Working {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.begin()
    }

    fn begin(self: &Arc<Self>) -> Working {
        self.working.fetch_add(1, Ordering::Relaxed);
        Working(self.clone())
    }

    /// Returns when no first request came within `first`, or none after another within `next`.
    pub(crate) async fn rests(&self, first: Duration, next: Duration) {
        sleep(first).await;
        if self.asked.load(Ordering::Relaxed) == 0 {
            return;
        }
        loop {
            let quiet = self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            if self.working.load(Ordering::Relaxed) > 0 {
                sleep(next).await;
            } else if quiet >= next {
                return;
            } else {
                sleep(next - quiet).await;
            }
        }
    }
}

/// A request in work on a connection.
pub(crate) struct Working(Arc<Activity>);

impl Working {
    /// The request's answer, which goes on with the work: while a piece of it is waited for, the connection does not rest.
    /// It does while the client takes no more.
    pub(crate) fn answer(self, body: Body) -> Body {
        let activity = self.0.clone();
        Body::new(Answer { body, activity, working: Some(self) })
    }
}

struct Answer {
    body: Body,
    activity: Arc<Activity>,
    working: Option<Working>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.working.is_none() {
            self.working = Some(self.activity.begin());
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.working = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_gets_them_back() {
        let guests = Arc::new(Guests::new());
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = guests.enter(one, 2).unwrap();
        let _second = guests.enter(one, 2).unwrap();
        assert!(guests.enter(one, 2).is_none());
        drop(guests.enter(other, 2).unwrap());
        drop(first);
        assert!(guests.enter(one, 2).is_some());
        assert_eq!(guests.present.lock().unwrap().len(), 1, "who has gone is forgotten");
    }
}

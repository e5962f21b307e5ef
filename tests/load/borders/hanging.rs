//! What answers in the place of the other zone's KDC: nothing.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Takes every connection, keeps it, and says nothing.
pub(crate) struct Hanging {
    taken: Arc<AtomicU64>,
}

impl Hanging {
    /// In the place of a KDC that was stopped.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let taken = Arc::new(AtomicU64::new(0));
        let counted = taken.clone();
        thread::spawn(move || {
            let kept: Mutex<Vec<TcpStream>> = Mutex::default();
            for connection in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push(connection);
                // Those of long ago were given up at the other end.
                let more = kept.len().saturating_sub(KEPT);
                kept.drain(..more);
            }
        });
        Self { taken }
    }

    /// How many connections it took.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

const KEPT: usize = 512;

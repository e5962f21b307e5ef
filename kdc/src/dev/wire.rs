//! The wire between the CMA and its nanoprobes: it loses, doubles and reorders, and somebody listens.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::fleet::wire::MAX_DATAGRAM;

/// One link for each nanoprobe: a near end that the CMA sends to, and a far end that the nanoprobe answers to.
pub(super) struct Wire {
    links: Vec<Link>,
    state: Arc<State>,
    _pumps: JoinSet<()>,
}

/// What the wire did to the datagrams that were given to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Given to it.
    pub(crate) taken: u64,
    /// Not delivered.
    pub(crate) lost: u64,
    /// Delivered twice.
    pub(crate) doubled: u64,
    /// Delivered after one that was sent later.
    pub(crate) overtaken: u64,
}

struct Link {
    near: Arc<UdpSocket>,
    far: Arc<UdpSocket>,
    /// Commands that the nanoprobe never got; the attacker did.
    lost: Arc<Lost>,
}

type Lost = Mutex<Vec<Vec<u8>>>;

impl Wire {
    /// Lays a wire between the CMA and each nanoprobe.
    ///
    /// # Errors
    /// No socket is to be had.
    pub(super) async fn lay(cma: SocketAddr, nanoprobes: &[SocketAddr]) -> io::Result<Self> {
        let mut wire = Self { links: Vec::new(), state: Arc::default(), _pumps: JoinSet::new() };
        for (at, nanoprobe) in (0_u64..).zip(nanoprobes) {
            let (near, far) = (end(cma).await?, end(*nanoprobe).await?);
            let lost = Arc::new(Lost::default());
            let deck = |way| Deck(fastrand::Rng::with_seed(2 * at + way), VecDeque::new());
            let state = &wire.state;
            let there = Pump::new(&near, &far, deck(0), state, Some(lost.clone()));
            let back = Pump::new(&far, &near, deck(1), state, None);
            wire._pumps.spawn(there.run());
            wire._pumps.spawn(back.run());
            wire.links.push(Link { near, far, lost });
        }
        Ok(wire)
    }

    /// Where the CMA finds the nanoprobes.
    pub(super) fn fronts(&self) -> io::Result<Vec<SocketAddr>> {
        self.links.iter().map(|link| link.near.local_addr()).collect()
    }

    /// From now on it delivers everything once and in order; returns when nothing is held back any more.
    pub(super) async fn calm(&self) {
        self.state.calm.store(true, Ordering::SeqCst);
        while self.state.holding.load(Ordering::SeqCst) > 0 {
            sleep(HOLD).await;
        }
    }

    /// Takes [`calm`](Self::calm) back.
    pub(super) fn roughen(&self) {
        self.state.calm.store(false, Ordering::SeqCst);
    }

    /// A command that nanoprobe `at` never got.
    pub(super) fn stolen(&self, at: usize) -> Option<Vec<u8>> {
        self.links.get(at)?.lost.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Sends something to nanoprobe `at`, as if the CMA had.
    pub(super) async fn to_nanoprobe(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        match self.links.get(at) {
            Some(link) => link.far.send(bytes).await.map(drop),
            None => Ok(()),
        }
    }

    /// Sends something to the CMA, as if nanoprobe `at` had.
    pub(super) async fn to_cma(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        match self.links.get(at) {
            Some(link) => link.near.send(bytes).await.map(drop),
            None => Ok(()),
        }
    }

    /// What it did so far.
    pub(super) fn counts(&self) -> Counts {
        let State { taken, lost, doubled, overtaken, .. } = &*self.state;
        let [taken, lost, doubled, overtaken] =
            [taken, lost, doubled, overtaken].map(|count| count.load(Ordering::Relaxed));
        Counts { taken, lost, doubled, overtaken }
    }
}

#[derive(Default)]
struct State {
    calm: AtomicBool,
    holding: AtomicU64,
    taken: AtomicU64,
    lost: AtomicU64,
    doubled: AtomicU64,
    overtaken: AtomicU64,
}

/// Carries datagrams one way.
struct Pump {
    from: Arc<UdpSocket>,
    to: Arc<UdpSocket>,
    deck: Deck,
    state: Arc<State>,
    lost: Option<Arc<Lost>>,
    held: Option<(Vec<u8>, Instant)>,
}

impl Pump {
    fn new(
        from: &Arc<UdpSocket>,
        to: &Arc<UdpSocket>,
        deck: Deck,
        state: &Arc<State>,
        lost: Option<Arc<Lost>>,
    ) -> Self {
        Self { from: from.clone(), to: to.clone(), deck, state: state.clone(), lost, held: None }
    }

    async fn run(mut self) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let until = self.held.as_ref().map(|(_, until)| *until);
            let received = match until {
                Some(until) => timeout_at(until, self.from.recv(&mut buffer)).await,
                None => Ok(self.from.recv(&mut buffer).await),
            };
            match received {
                Ok(Ok(size)) => self.carry(buffer.get(..size).unwrap_or_default()).await,
                // An end that is not there yet, or not any more.
                Ok(Err(_)) => sleep(HOLD).await,
                Err(_) => {
                    self.release().await;
                }
            }
        }
    }

    async fn carry(&mut self, datagram: &[u8]) {
        let state = self.state.clone();
        state.taken.fetch_add(1, Ordering::Relaxed);
        let fate = if state.calm.load(Ordering::SeqCst) { Fate::Through } else { self.deck.draw() };
        match fate {
            Fate::Lost => {
                state.lost.fetch_add(1, Ordering::Relaxed);
                self.keep(datagram);
                return;
            }
            Fate::Late if self.held.is_none() => {
                state.holding.fetch_add(1, Ordering::SeqCst);
                self.held = Some((datagram.to_vec(), Instant::now() + HOLD));
                return;
            }
            Fate::Twice => {
                state.doubled.fetch_add(1, Ordering::Relaxed);
                self.send(datagram).await;
            }
            Fate::Through | Fate::Late => {}
        }
        self.send(datagram).await;
        if self.release().await {
            state.overtaken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Delivers what was held back, if anything was.
    async fn release(&mut self) -> bool {
        let Some((datagram, _)) = self.held.take() else { return false };
        self.send(&datagram).await;
        self.state.holding.fetch_sub(1, Ordering::SeqCst);
        true
    }

    async fn send(&self, datagram: &[u8]) {
        // This is a wire that loses datagrams.
        let _ = self.to.send(datagram).await;
    }

    fn keep(&self, datagram: &[u8]) {
        if let Some(lost) = &self.lost {
            let mut lost = lost.lock().unwrap_or_else(PoisonError::into_inner);
            if lost.len() < KEPT {
                lost.push(datagram.to_vec());
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Through,
    Lost,
    Twice,
    Late,
}

/// Fates by chance, but a deck of cards and not dice: six datagrams are enough to see each fate once.
struct Deck(fastrand::Rng, VecDeque<Fate>);

impl Deck {
    fn draw(&mut self) -> Fate {
        let Self(rng, cards) = self;
        if cards.is_empty() {
            let mut deck = [Fate::Lost, Fate::Twice, Fate::Through, Fate::Through, Fate::Through];
            rng.shuffle(&mut deck);
            cards.extend(deck);
            // Not the last, so that there is one that can overtake it.
            cards.insert(rng.usize(..deck.len()), Fate::Late);
        }
        cards.pop_front().unwrap_or(Fate::Through)
    }
}

async fn end(peer: SocketAddr) -> io::Result<Arc<UdpSocket>> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
    socket.connect(peer).await?;
    Ok(Arc::new(socket))
}

/// How long a datagram is held back at most.
const HOLD: Duration = Duration::from_millis(40);
/// How many stolen commands are kept for each nanoprobe.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deck_has_every_fate_and_a_seed_repeats_itself() {
        let deck = |seed| Deck(fastrand::Rng::with_seed(seed), VecDeque::new());
        let draw = |seed| {
            let mut deck = deck(seed);
            (0..60).map(|_| deck.draw()).collect::<Vec<_>>()
        };
        for seed in 0..50 {
            let fates = draw(seed);
            for six in fates.chunks(6) {
                for fate in [Fate::Lost, Fate::Twice, Fate::Late] {
                    assert_eq!(six.iter().filter(|one| **one == fate).count(), 1, "{six:?}");
                }
                assert_ne!(six[5], Fate::Late);
            }
            assert_eq!(fates, draw(seed));
        }
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_once_twice_late_or_never() {
        let (cma, probe) = (end_of_none().await, end_of_none().await);
        let wire = Wire::lay(cma.local_addr().unwrap(), &[probe.local_addr().unwrap()]).await.unwrap();
        let front = wire.fronts().unwrap()[0];
        for n in 0..6 {
            cma.send_to(&[n], front).await.unwrap();
        }
        // Six in, one of them lost and one doubled.
        let mut out = Vec::new();
        for _ in 0..6 {
            let mut byte = [0];
            assert_eq!(probe.recv(&mut byte).await.unwrap(), 1);
            out.push(byte[0]);
        }
        assert_eq!(wire.counts(), Counts { taken: 6, lost: 1, doubled: 1, overtaken: 1 });
        let stolen = wire.stolen(0).unwrap();
        assert!(!out.contains(&stolen[0]), "{out:?} {stolen:?}");
        assert!(!out.is_sorted(), "{out:?}");

        wire.calm().await;
        for n in 10..16 {
            cma.send_to(&[n], front).await.unwrap();
            let mut byte = [0];
            probe.recv(&mut byte).await.unwrap();
            assert_eq!(byte, [n]);
        }
    }

    async fn end_of_none() -> UdpSocket {
        UdpSocket::bind(("127.0.0.1", 0)).await.unwrap()
    }
}

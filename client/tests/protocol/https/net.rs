//! A network that fails as a test likes, and the clocks of its hosts.

use core::pin::Pin;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use keycell_client::https::{Agent, Answer, Transport, TransportError};
use keycell_client::{AgentKey, Clock};
use keycell_protocol::{Problem, UnixMillis};
use tokio::time::Instant;

use super::config;
use crate::cell::{Cell, START};

/// How one KDC of the network behaves.
#[derive(Clone)]
pub(super) enum Mood {
    Well,
    Refuses,
    Hangs,
    /// Does what is asked, and the answer is lost.
    Swallows,
    Answers(Answer),
}

pub(super) struct Net {
    pub(super) cell: Mutex<Cell>,
    moods: Mutex<HashMap<String, Mood>>,
    /// The zones for which a KDC that is asked for their tickets never gets an answer.
    silent: Mutex<Vec<&'static str>>,
    pub(super) asked: Mutex<Vec<String>>,
    start: Instant,
}

impl Net {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            cell: Mutex::new(Cell::new()),
            moods: Mutex::default(),
            silent: Mutex::default(),
            asked: Mutex::default(),
            start: Instant::now(),
        })
    }

    pub(super) fn mood(&self, kdc: &str, mood: Mood) {
        self.mood_of(kdc, "/v1/tickets", mood);
    }

    pub(super) fn mood_of(&self, kdc: &str, path: &str, mood: Mood) {
        self.moods.lock().unwrap().insert(format!("https://{kdc}.example{path}"), mood);
    }

    /// Whoever asks for tickets of these zones waits without end.
    pub(super) fn silence(&self, zones: &[&'static str]) {
        *self.silent.lock().unwrap() = zones.to_vec();
    }

    fn is_silent(&self, url: &str, body: &[u8]) -> bool {
        let silent = self.silent.lock().unwrap();
        if !url.ends_with("/v1/tickets") || silent.is_empty() {
            return false;
        }
        let destinations = self.cell.lock().unwrap().destinations(body);
        destinations.iter().any(|to| silent.contains(&to.zone()))
    }

    pub(super) fn all(&self, mood: &Mood) {
        ["one", "two"].iter().for_each(|kdc| self.mood(kdc, mood.clone()));
    }

    pub(super) fn asked(&self) -> Vec<String> {
        let urls = std::mem::take(&mut *self.asked.lock().unwrap());
        urls.iter().map(|url| url["https://".len()..].split('.').next().unwrap().to_owned()).collect()
    }

    pub(super) fn requests(&self) -> usize {
        self.cell.lock().unwrap().requests.len()
    }

    /// Something happens at the KDCs.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Cell) -> T) -> T {
        let mut cell = self.cell.lock().unwrap();
        cell.now = self.now();
        change(&mut cell)
    }

    pub(super) fn now(&self) -> UnixMillis {
        START.plus(self.start.elapsed().as_millis() as u64)
    }

    pub(super) fn key(&self, party: &str) -> AgentKey {
        let mut key = self.cell.lock().unwrap().key(party);
        key.kdc.urls = vec!["https://one.example".into(), "https://two.example/".into()];
        key
    }

    pub(super) fn agent(self: &Arc<Self>, party: &str) -> Agent {
        self.agent_off(party, 0)
    }

    pub(super) fn agent_off(self: &Arc<Self>, party: &str, off: i64) -> Agent {
        let clock = Arc::new(HostClock { net: Arc::clone(self), off });
        Agent::with(self.key(party), config(), Arc::clone(self) as Arc<dyn Transport>, clock).unwrap()
    }
}

pub(super) struct HostClock {
    pub(super) net: Arc<Net>,
    pub(super) off: i64,
}

impl Clock for HostClock {
    fn now(&self) -> UnixMillis {
        self.net.now().shifted(self.off)
    }
}

impl Transport for Net {
    fn post<'a>(
        &'a self,
        url: &'a str,
        body: Vec<u8>,
        max: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send + 'a>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(url.to_owned());
            let mood = self.moods.lock().unwrap().get(url).cloned().unwrap_or(Mood::Well);
            let answer = |retry_after, answer| match answer {
                Ok(body) => Answer { status: 200, retry_after, body },
                Err(problem) => problem_answer(&problem),
            };
            let serve = || {
                let mut cell = self.cell.lock().unwrap();
                cell.now = self.now();
                let (_, path) = url.split_once(".example").unwrap();
                cell.answer_at(path, &body).unwrap()
            };
            if self.is_silent(url, &body) {
                return std::future::pending().await;
            }
            match mood {
                Mood::Well => {
                    let answer = answer(None, serve());
                    assert!(answer.body.len() <= max);
                    Ok(answer)
                }
                Mood::Refuses => Err(TransportError("connection refused".into())),
                Mood::Hangs => std::future::pending().await,
                Mood::Swallows => {
                    let _ = serve();
                    std::future::pending().await
                }
                Mood::Answers(answer) => Ok(answer),
            }
        })
    }
}

pub(super) fn problem_answer(problem: &Problem) -> Answer {
    let body = serde_json::to_vec(problem).unwrap();
    Answer { status: problem.status, retry_after: None, body }
}

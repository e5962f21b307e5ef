//! Carries an agent's requests to its KDCs, from a thread of its own: who waits on a socket never waits for a KDC.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use keycell_client::https::{Https, Transport};
use keycell_client::protocol::{Problem, UnixMillis};
use keycell_client::{Agent, KdcAddress, PendingRequest};
use tokio::runtime::Builder;

/// The way from one agent to its KDCs. Dropped, it ends after the request that it is at.
pub(crate) struct Courier {
    requests: Sender<PendingRequest>,
    answers: Receiver<(PendingRequest, Outcome)>,
}

enum Outcome {
    Reply(Vec<u8>),
    Problem(Problem),
    Nobody,
}

impl Courier {
    /// Starts the thread.
    ///
    /// # Errors
    /// The key file's certificates are none, or there is no thread to be had.
    pub(crate) fn start(kdc: &KdcAddress) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let (requests, asked) = channel::<PendingRequest>();
        let (answer, answers) = channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (https, urls) = (Https::new(&kdc.tls_roots, PATIENCE)?, kdc.urls.clone());
        thread::Builder::new().name("courier".to_owned()).spawn(move || {
            for request in asked {
                let outcome = runtime.block_on(ask(&https, &urls, &request));
                if answer.send((request, outcome)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { requests, answers })
    }

    /// Gives the agent what came, and takes what it wants now.
    ///
    /// # Errors
    /// The thread ended.
    pub(crate) fn turn(&self, agent: &mut Agent, now: UnixMillis) -> io::Result<()> {
        for (request, outcome) in self.answers.try_iter() {
            match outcome {
                // One that does not hold is as good as none: the agent asks again by itself.
                Outcome::Reply(body) => drop(agent.take_reply(now, &request, &body)),
                Outcome::Problem(problem) => agent.take_problem(now, &request, &problem),
                Outcome::Nobody => agent.give_up(now, &request),
            }
        }
        while let Some(request) = agent.wants(now) {
            self.requests.send(request).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Asks one KDC after the other until one answers.
async fn ask(https: &Https, urls: &[String], request: &PendingRequest) -> Outcome {
    for url in urls {
        let url = format!("{}{}", url.trim_end_matches('/'), request.path());
        let post = https.post(&url, request.body.clone(), request.max_reply());
        match tokio::time::timeout(PATIENCE, post).await {
            Ok(Ok(answer)) if answer.status == 200 => return Outcome::Reply(answer.body),
            Ok(Ok(answer)) => {
                if let Ok(mut problem) = serde_json::from_slice::<Problem>(&answer.body) {
                    problem.retry_after = problem.retry_after.or(answer.retry_after);
                    return Outcome::Problem(problem);
                }
            }
            _ => {}
        }
    }
    Outcome::Nobody
}

const PATIENCE: Duration = Duration::from_secs(10);

//! Sending prepared requests over kept connections, as fast as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use rustls::ClientConfig;

use super::{CpuClock, CpuError};

/// Which version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// HTTP/1.1: one request at a time on each connection.
    Http1,
    /// HTTP/2: all requests on one connection.
    Http2,
}

/// A server under load.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where requests go.
    pub url: String,
    /// What to trust.
    pub tls: ClientConfig,
    /// The process whose CPU time is measured, if it is known.
    pub cpu: Option<CpuClock>,
}

/// What to send, and how.
#[derive(Debug, Clone)]
pub struct Load {
    /// The bodies, each sent once.
    pub bodies: Arc<Vec<Vec<u8>>>,
    /// How many requests are under way at a time.
    pub concurrency: usize,
    /// Which HTTP.
    pub protocol: Protocol,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// How many requests were answered well.
    pub requests: usize,
    /// From the first to the last.
    pub elapsed: Duration,
    /// CPU time that the server used meanwhile, if its process is known.
    pub cpu: Option<Duration>,
    /// Half of the requests took at most this.
    pub p50: Duration,
    /// All but one in a hundred took at most this.
    pub p99: Duration,
    /// The mean size of an answer in bytes.
    pub answer_bytes: usize,
}

impl Load {
    /// Sends everything to `target`.
    ///
    /// # Errors
    /// [`LoadError`] at the first request that is not answered with 200.
    pub async fn run(&self, target: &Target) -> Result<Measured, LoadError> {
        let client = client(target, self.protocol)?;
        let next = Arc::new(AtomicUsize::new(0));
        // Connections are made before the clock starts.
        let warm = self.bodies.len().min(self.concurrency);
        let workers = |until: usize| -> Vec<_> {
            (0..self.concurrency)
                .map(|_| {
                    let worker = Worker {
                        client: client.clone(),
                        url: target.url.clone(),
                        bodies: self.bodies.clone(),
                        next: next.clone(),
                        until,
                    };
                    tokio::spawn(worker.run())
                })
                .collect()
        };
        for worker in workers(warm) {
            worker.await.map_err(|_| LoadError::Worker)??;
        }
        let cpu = target.cpu.map(|cpu| cpu.read()).transpose()?;
        let started = Instant::now();
        let mut all = Answers::default();
        next.store(warm, Ordering::SeqCst);
        for worker in workers(self.bodies.len()) {
            all.add(worker.await.map_err(|_| LoadError::Worker)??);
        }
        let elapsed = started.elapsed();
        let used = match (cpu, target.cpu) {
            (Some(before), Some(cpu)) => Some(cpu.read()?.saturating_sub(before)),
            _ => None,
        };
        Ok(all.measured(elapsed, used))
    }
}

struct Worker {
    client: reqwest::Client,
    url: String,
    bodies: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
    until: usize,
}

impl Worker {
    async fn run(self) -> Result<Answers, LoadError> {
        let mut answers = Answers::default();
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(body) = self.bodies.get(at).filter(|_| at < self.until) else { return Ok(answers) };
            let started = Instant::now();
            let request =
                self.client.post(&self.url).header(CONTENT_TYPE, "application/json").body(body.clone());
            let response = request.send().await?;
            let status = response.status();
            let answer = response.bytes().await?;
            if !status.is_success() {
                return Err(LoadError::Status {
                    status: status.as_u16(),
                    answer: String::from_utf8_lossy(&answer).chars().take(200).collect(),
                });
            }
            answers.times.push(started.elapsed());
            answers.bytes += answer.len();
        }
    }
}

#[derive(Default)]
struct Answers {
    times: Vec<Duration>,
    bytes: usize,
}

impl Answers {
    fn add(&mut self, mut other: Self) {
        self.times.append(&mut other.times);
        self.bytes += other.bytes;
    }

    fn measured(mut self, elapsed: Duration, cpu: Option<Duration>) -> Measured {
        self.times.sort_unstable();
        let requests = self.times.len();
        let at = |percent: usize| self.times.get(requests * percent / 100).copied().unwrap_or_default();
        Measured {
            requests,
            elapsed,
            cpu,
            p50: at(50),
            p99: at(99),
            answer_bytes: self.bytes / requests.max(1),
        }
    }
}

fn client(target: &Target, protocol: Protocol) -> Result<reqwest::Client, LoadError> {
    let mut tls = target.tls.clone();
    let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60));
    let builder = match protocol {
        Protocol::Http1 => {
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            builder.http1_only()
        }
        Protocol::Http2 => {
            tls.alpn_protocols = vec![b"h2".to_vec()];
            builder.http2_prior_knowledge()
        }
    };
    Ok(builder.tls_backend_preconfigured(tls).build()?)
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A request was not answered.
    #[error("a request was not answered")]
    Http(#[from] reqwest::Error),
    /// A request was refused.
    #[error("a request was answered with {status}: {answer}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        answer: String,
    },
    /// The CPU time cannot be read.
    #[error(transparent)]
    Cpu(#[from] CpuError),
    /// A task of the load itself failed.
    #[error("a task of the load generator failed")]
    Worker,
}

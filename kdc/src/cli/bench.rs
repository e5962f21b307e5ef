//! `keycell bench`

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use keycell_client::{AgentKey, https};
use keycell_protocol::Name;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::output::Output;
use super::{Global, Outcome};
use crate::bench::{self, CpuClock, Load, Measured, Protocol, Target, Trial};
use crate::tls;

/// Without --key it makes a KDC of its own and measures it beside a handler that only echoes JSON, both in child
/// processes: the ratio of their CPU times is what to quote. With --key it loads a KDC that is running.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Ask as this party, at the KDC of its key file
    #[arg(long, value_name = "FILE", requires = "to")]
    key: Option<PathBuf>,
    /// Ask for this destination
    #[arg(long, value_name = "NAME", requires = "key")]
    to: Option<String>,
    /// The KDC's process on this machine, to measure its CPU time
    #[arg(long, requires = "key")]
    pid: Option<u32>,
    /// How many requests
    #[arg(long, default_value_t = 100_000, value_parser = at_least_one)]
    requests: usize,
    /// How many are under way at a time
    #[arg(long, default_value_t = 8, value_parser = at_least_one)]
    concurrency: usize,
    /// Only this version of HTTP [default: with --key http1, else both]
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// Be the peer that is measured against
    #[arg(long, hide = true, value_name = "ADDRESS")]
    echo: Option<SocketAddr>,
}

/// One line of the result.
#[derive(Debug, Serialize)]
struct Line {
    what: String,
    requests: usize,
    tickets: usize,
    requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us_per_request: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us_per_ticket: Option<f64>,
    /// Times the CPU of the peer, for the same number of requests and bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    times_the_echo: Option<f64>,
}

impl Bench {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        if let Some(address) = self.echo {
            let listener = TcpListener::bind(address).await?;
            return Ok(bench::serve_echo(listener, tls::server(&global.config()?.tls)?).await?);
        }
        // A signal ends the wait, and with it the servers that were started.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            done = self.measure(output) => done,
            _ = terminate.recv() => Err("stopped".into()),
            _ = interrupt.recv() => Err("stopped".into()),
        }
    }

    async fn measure(&self, output: &Output) -> Outcome {
        let lines = match (&self.key, &self.to) {
            (Some(key), Some(to)) => vec![self.running(AgentKey::load(key)?, to).await?],
            _ => self.own().await?,
        };
        Ok(output.print(&lines, |out| table(out, &lines))?)
    }

    async fn running(&self, key: AgentKey, to: &str) -> Outcome<Line> {
        let zone = key.name.zone().parse()?;
        let to = Name::in_zone(to, &zone)?;
        let url = key.kdc.urls.first().ok_or("the key file names no KDC")?;
        let target = Target {
            url: format!("{}/v1/tickets", url.trim_end_matches('/')),
            tls: https::tls_config(&key.kdc.tls_roots)?,
            cpu: self.pid.map(CpuClock::of),
        };
        let bodies = bench::signed_requests(&key.name, &key.key, key.ratchet_period, &[to], self.requests)?;
        let protocol = self.protocol.unwrap_or(Protocol::Http1);
        let load = Load { bodies: Arc::new(bodies), concurrency: self.concurrency, protocol };
        Ok(line(format!("tickets, {protocol:?}"), 1, &load.run(&target).await?, None))
    }

    async fn own(&self) -> Outcome<Vec<Line>> {
        let trial = Trial::start(&std::env::current_exe()?).await?;
        let protocols = match self.protocol {
            Some(protocol) => vec![protocol],
            None => vec![Protocol::Http1, Protocol::Http2],
        };
        let mut lines = Vec::new();
        for protocol in protocols {
            let one = trial.compare(1, self.requests, self.concurrency, protocol).await?;
            lines.push(line(format!("echo, {protocol:?}"), 0, &one.echo, None));
            lines.push(line(format!("1 ticket, {protocol:?}"), 1, &one.kdc, Some(&one.echo)));
        }
        let protocol = self.protocol.unwrap_or(Protocol::Http1);
        let many = trial.compare(1000, (self.requests / 200).max(10), 2, protocol).await?;
        lines.push(line(format!("1000 tickets, {protocol:?}"), 1000, &many.kdc, None));
        Ok(lines)
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "a number from 1 on".to_owned())
}

fn line(what: String, batch: usize, measured: &Measured, echo: Option<&Measured>) -> Line {
    let tickets = measured.requests * batch;
    let micros = |m: &Measured| m.cpu.map(|cpu| cpu.as_secs_f64() * 1e6);
    let per = |count: usize| micros(measured).filter(|_| count > 0).map(|cpu| cpu / count as f64);
    Line {
        what,
        requests: measured.requests,
        tickets,
        requests_per_second: measured.requests as f64 / measured.elapsed.as_secs_f64(),
        p50_ms: measured.p50.as_secs_f64() * 1e3,
        p99_ms: measured.p99.as_secs_f64() * 1e3,
        cpu_us_per_request: per(measured.requests),
        cpu_us_per_ticket: per(tickets),
        times_the_echo: echo.and_then(micros).zip(micros(measured)).map(|(echo, ours)| ours / echo),
    }
}

fn table(out: &mut dyn io::Write, lines: &[Line]) -> io::Result<()> {
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    writeln!(
        out,
        "{:22} {:>9} {:>9} {:>8} {:>8} {:>11} {:>11} {:>8}",
        "WHAT", "REQUESTS", "PER S", "P50 MS", "P99 MS", "CPU µS/REQ", "CPU µS/TKT", "× ECHO"
    )?;
    for line in lines {
        writeln!(
            out,
            "{:22} {:>9} {:>9.0} {:>8.2} {:>8.2} {:>11} {:>11} {:>8}",
            line.what,
            line.requests,
            line.requests_per_second,
            line.p50_ms,
            line.p99_ms,
            cell(line.cpu_us_per_request),
            cell(line.cpu_us_per_ticket),
            cell(line.times_the_echo)
        )?;
    }
    Ok(())
}

//! Accepting connections, and letting go of them without losing an answer.

mod watchdog;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::audit::Action;
use crate::guests::{Activity, Guest, Guests};
use crate::http::{self, Peer};
use crate::kdc::{Kdc, SUPERSEDED};
use crate::process;
use watchdog::Pulse;

/// Serves until `stop`, then finishes what was accepted, for as long as the configuration allows.
pub async fn serve(
    kdc: Arc<Kdc>,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    stop: impl Future<Output = ()> + Send,
) {
    let background = CancellationToken::new();
    kdc.ticket_log().write();
    if let Err(error) = kdc.record(Action::KdcStart).await {
        tracing::error!(error = http::chain(&error), "the start is not recorded in the audit log");
    }
    let pulse = Arc::new(Pulse::new());
    let tasks = [
        tokio::spawn(record(kdc.clone(), background.clone())),
        tokio::spawn(follow(kdc.clone(), background.clone())),
        tokio::spawn(tidy(kdc.clone(), pulse.clone(), background.clone())),
        tokio::spawn(keep_house(kdc.clone(), background.clone())),
        tokio::spawn(rewrap(kdc.clone(), background.clone())),
        tokio::spawn(watch_copies(kdc.clone(), background.clone())),
        tokio::spawn(kdc.peers().clone().run(background.clone())),
        tokio::spawn(kdc.clone().watch_certificate(background.clone())),
    ];

    let watched = tasks.each_ref().map(JoinHandle::abort_handle);
    let silent = background.clone();
    let watchdog = tokio::spawn(async move { watchdog::watch(&pulse, &watched, silent).await });

    let server = Arc::new(Server {
        router: http::router(&kdc),
        acceptor: TlsAcceptor::from(tls),
        guests: Arc::new(Guests::new()),
        kdc: kdc.clone(),
    });
    let places = Arc::new(Semaphore::new(process::connections(kdc.config().limits.connections)));
    let graceful = GracefulShutdown::new();
    let mut short_of = None;
    tokio::pin!(stop);
    loop {
        // A place first: past the limit, new connections wait in the listener's queue.
        let place = tokio::select! {
            () = &mut stop => break,
            place = places.clone().acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                short_of = None;
                // Dropped at once when its address has too many: others need the room.
                let most = kdc.config().limits.connections_per_address;
                if let Some(guest) = server.guests.enter(peer.ip(), most) {
                    tokio::spawn(server.clone().connection(stream, peer, graceful.watcher(), (place, guest)));
                }
            }
            Err(error) => {
                // Usually out of file descriptors: they come back as connections end. Said once, not each time.
                if short_of.replace(error.kind()) != Some(error.kind()) {
                    tracing::error!(%error, "cannot accept connections; is the limit of open files too low?");
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }

    drop(listener);
    tracing::info!("stopping: finishing what was accepted");
    let patience = Duration::from_secs(kdc.config().limits.shutdown_seconds.into());
    if timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
    background.cancel();
    for task in tasks.into_iter().chain([watchdog]) {
        // A task that panicked has said so already.
        let _ = task.await;
    }
    if let Err(error) = kdc.exchange_seen().await {
        tracing::warn!(error = http::chain(&error), "the database was not told who was seen lately");
    }
    if let Err(error) = kdc.raise_copies().await {
        tracing::warn!(error = http::chain(&error), "keys that are used in two places were not recorded");
    }
    if let Err(error) = kdc.record(Action::KdcStop).await {
        tracing::error!(error = http::chain(&error), "the stop is not recorded in the audit log");
    }
    if let Some(traces) = kdc.traces() {
        traces.stop().await;
    }
    kdc.close().await;
}

struct Server {
    router: Router,
    acceptor: TlsAcceptor,
    guests: Arc<Guests>,
    kdc: Arc<Kdc>,
}

impl Server {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: hyper_util::server::graceful::Watcher,
        _room: (OwnedSemaphorePermit, Guest),
    ) {
        // Answers leave at once; waiting to fill a packet would cost a round trip.
        let _ = stream.set_nodelay(true);
        let metrics = self.kdc.metrics();
        let (patience, rest) = {
            let limits = &self.kdc.config().limits;
            // For a handshake, and for the first request; between two, and for the next piece of an answer to be taken.
            (limits.request_timeout_seconds, limits.idle_seconds)
        };
        let (patience, rest) = (Duration::from_secs(patience.into()), Duration::from_secs(rest.into()));
        let stream = match timeout(patience, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                metrics.handshake_failures.inc();
                tracing::debug!(%peer, %error, "no TLS handshake");
                return;
            }
            Err(_) => {
                metrics.handshake_failures.inc();
                tracing::debug!(%peer, "the TLS handshake took too long");
                return;
            }
        };
        metrics.connections.inc();
        let router = self.router.clone();
        let activity = Arc::new(Activity::new());
        let seen = activity.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            let working = seen.work();
            let answer = router.clone().call(request);
            async move { Ok::<_, Infallible>(answer.await?.map(|body| working.answer(body))) }
        });
        // By what was agreed in the handshake: to guess from the first bytes would wait for them without end.
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let builder = builder(patience);
        let builder = if http2 { builder.http2_only() } else { builder.http1_only() };
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        tokio::select! {
            served = watcher.watch(connection) => if let Err(error) = served {
                tracing::debug!(%peer, %error, "a connection ended early");
            },
            () = activity.rests(patience, rest) => tracing::debug!(%peer, "no request came"),
        }
        metrics.connections.dec();
    }
}

fn builder(patience: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(64)
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(patience);
    builder
}

async fn record(kdc: Arc<Kdc>, stop: CancellationToken) {
    let journal = kdc.ledger().journal().as_ref().clone();
    kdc.recorder().run(journal, stop).await;
}

async fn follow(kdc: Arc<Kdc>, stop: CancellationToken) {
    let report = |outcome: Result<(), crate::directory::FollowError>| match outcome {
        Ok(()) => {
            kdc.in_step();
            if kdc.superseded() {
                tracing::error!("{SUPERSEDED}; nobody is served until then");
            }
        }
        Err(error) => {
            let error = http::chain(&error);
            tracing::error!(
                error,
                stale_ms = kdc.staleness_ms(),
                "the directory is not in step with the database"
            );
        }
    };
    kdc.follower().follow(LOOK_EVERY, stop, report).await;
}

async fn tidy(kdc: Arc<Kdc>, pulse: Arc<Pulse>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(TIDY_EVERY) => kdc.tidy(),
        }
        pulse.beat();
    }
}

async fn keep_house(kdc: Arc<Kdc>, stop: CancellationToken) {
    loop {
        // At once, too: keys may have ended while no KDC ran.
        if let Err(error) = kdc.keep_house().await {
            tracing::warn!(error = http::chain(&*error), "some housekeeping could not be done");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(KEEP_HOUSE_EVERY) => {}
        }
    }
}

async fn watch_copies(kdc: Arc<Kdc>, stop: CancellationToken) {
    kdc.watch_copies(stop).await;
}

async fn rewrap(kdc: Arc<Kdc>, stop: CancellationToken) {
    let rewrapper = kdc.rewrapper();
    loop {
        let work = async {
            rewrapper.due().await;
            if let Err(error) = rewrapper.pass().await {
                let error = http::chain(&error);
                tracing::warn!(error, "keys at rest are not all turned and wrapped anew: it is tried again");
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = work => {}
        }
    }
}

/// A revocation holds on every KDC of the zone within this time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const TIDY_EVERY: Duration = Duration::from_secs(1);
const KEEP_HOUSE_EVERY: Duration = Duration::from_secs(60);
/// The most of a request's head, and of its body at a time, that is held for HTTP/1.
const HEAD_BYTES: usize = 64 * 1024;

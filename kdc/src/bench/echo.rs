//! The peer that a KDC is measured against: axum and rustls as they are, with a handler that only echoes JSON.

use std::io;
use std::sync::Arc;

use axum::routing::post;
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Echoes JSON at `/echo` until the process is killed.
///
/// # Errors
/// When no connection can be accepted any more.
pub async fn serve_echo(listener: TcpListener, tls: Arc<ServerConfig>) -> io::Result<()> {
    let router =
        Router::new().route("/echo", post(|Json(value): Json<serde_json::Value>| async { Json(value) }));
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = TowerToHyperService::new(router);
            let builder = Builder::new(TokioExecutor::new());
            // The client's end of the connection tells what went wrong, if anything.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

//! The HTTP server of health and metrics: one request a connection, nothing that a client can hold.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, FORWARDED};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout};

use super::Health;
use super::report::{Reader, Report};
use crate::metrics::{self, Metrics};

const IETF_TYPE: &str = "application/health+json";

/// What a client can take up.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections at a time; one more ends the oldest.
    connections: usize,
    /// From the accepted connection to the last byte of the answer.
    exchange: Duration,
}

const LIMITS: Limits = Limits {
    connections: 128,
    exchange: Duration::from_secs(10),
};

/// How long to wait when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address of health and metrics cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "bind health and metrics to {address}: set health_port (0 takes any free port) or health_address"
)]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The reason.
    pub source: io::Error,
}

/// Serves `/healthz`, `/livez`, `/readyz` and `/metrics` until it is dropped.
#[derive(Debug)]
pub struct HealthServer {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl HealthServer {
    /// Binds `address` (port 0 takes any free one) and serves on the runtime that it is called on.
    ///
    /// # Errors
    /// When the address is taken or is not this host's.
    pub async fn start(
        address: SocketAddr,
        health: Health,
        metrics: Metrics,
    ) -> Result<Self, BindError> {
        Self::limited(address, health, metrics, LIMITS).await
    }

    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn limited(
        address: SocketAddr,
        health: Health,
        metrics: Metrics,
        limits: Limits,
    ) -> Result<Self, BindError> {
        let error = |source| BindError { address, source };
        let listener = TcpListener::bind(address).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        let accepting = tokio::spawn(accept(listener, routes(health, metrics), limits));
        Ok(Self { address, accepting })
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, routes: Router, limits: Limits) {
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let routes = routes.clone().layer(Extension(peer));
                let exchange = tokio::spawn(timeout(limits.exchange, serve(stream, routes)));
                connections.retain(|connection| !connection.is_finished());
                connections.push_back(exchange.abort_handle());
                if connections.len() > limits.connections
                    && let Some(oldest) = connections.pop_front()
                {
                    oldest.abort();
                }
            }
            // Out of descriptors, or a connection that was gone before it was accepted.
            Err(error) => {
                tracing::debug!(context = "health.accept", %error, "connection was not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, routes: Router) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Err(error) = connection.await {
        tracing::debug!(context = "health.http", %error, "connection ended early");
    }
}

fn routes(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
        .route("/metrics", get(scrape).with_state(metrics))
}

async fn healthz(
    State(health): State<Health>,
    peer: Extension<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    answer(&health.health(), *peer, &headers)
}

#[expect(clippy::disallowed_methods, reason = "the one clock of this server")]
async fn livez(
    State(health): State<Health>,
    peer: Extension<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    answer(&health.liveness(Instant::now()), *peer, &headers)
}

async fn readyz(
    State(health): State<Health>,
    peer: Extension<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    answer(&health.readiness(), *peer, &headers)
}

async fn scrape(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.encode())
}

fn answer(report: &Report, peer: SocketAddr, headers: &HeaderMap) -> Response {
    let status = if report.is_up() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let reader = reader(peer, headers);
    let (content_type, body) = if accepts_ietf(headers) {
        (IETF_TYPE, report.ietf(reader))
    } else {
        ("application/json", report.plain(reader))
    };
    (status, [(CONTENT_TYPE, content_type)], body).into_response()
}

fn accepts_ietf(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(IETF_TYPE))
}

/// A proxy on this host speaks for somebody who may be anywhere.
fn reader(peer: SocketAddr, headers: &HeaderMap) -> Reader {
    let forwarded = headers.contains_key(FORWARDED) || headers.contains_key("x-forwarded-for");
    if peer.ip().to_canonical().is_loopback() && !forwarded {
        Reader::Local
    } else {
        Reader::Remote
    }
}

#[cfg(test)]
mod tests;

//! The data plane: one thread with a runtime of its own.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{panic, thread};

use plantd_daemon::Daemon;
use plantd_daemon::health::Pulse;
use plantd_daemon::resources;
use plantd_mdp::Broker;
use plantd_zmtp::{Admission, Endpoint, Listener, SessionConfig, Side, SocketType};
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Span;

use crate::Config;
use crate::bus::{self, BoundBus};
use crate::memory::Memory;
use crate::metrics::Published;
use crate::router::{ARRIVALS, Control, Inputs, NOTICES, Router};
use crate::shared::Shared;

/// Why a broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An endpoint cannot be had.
    #[error("bind {endpoint}: set endpoint (PLANTD_BROKER_ENDPOINT, --endpoint) to another")]
    Bind {
        /// The endpoint.
        endpoint: Endpoint,
        /// The reason.
        source: io::Error,
    },
    /// An endpoint of a bus cannot be had.
    #[error(
        "bind {endpoint}, the {side} of the bus {bus}: set buses (PLANTD_BROKER_BUSES, --buses) to others"
    )]
    BindBus {
        /// The bus.
        bus: String,
        /// The key of the endpoint.
        side: &'static str,
        /// The endpoint.
        endpoint: Endpoint,
        /// The reason.
        source: io::Error,
    },
    /// The operating system gives no thread, no reactor or no randomness.
    #[error("start the data plane")]
    System(#[from] io::Error),
    /// The data plane ended before it had started.
    #[error("the data plane ended while it started")]
    Ended,
}

/// A broker that runs.
#[derive(Debug)]
pub struct Running {
    endpoints: Vec<Endpoint>,
    buses: Vec<BoundBus>,
    bus_plane: Option<bus::Plane>,
    ended: oneshot::Receiver<()>,
}

/// Binds the endpoints and starts to route. The broker drains when the daemon is asked to stop.
///
/// # Errors
/// When an endpoint cannot be bound, or the system has no means.
pub async fn start(config: Config, daemon: &Daemon) -> Result<Running, StartError> {
    let health = daemon.health.check("router");
    let published = Published::register(&daemon.metrics);
    let pulse = daemon.health.pulse("router", clock());
    let (bound, binding) = oneshot::channel();
    let (done, ended) = oneshot::channel();
    let (controls, wishes) = mpsc::unbounded_channel();
    let drain_after = drain_deadline(config.shared.shutdown_timeout.into());
    let part = Span::current();
    let limits = &config.limits;
    let connections = limits.connections.min(resources::connections());
    let shared = Shared {
        admission: Admission::new(connections, limits.connections_per_address),
        memory: Memory::new(config.memory_bytes()),
        connections: published.connections().clone(),
    };
    let bus_plane = match config.buses.is_empty() {
        true => None,
        false => Some(bus::start(&config, shared.clone(), daemon).await?),
    };
    let bus_reports = bus_plane.as_ref().map(|plane| plane.reports.clone());
    // Last, since a runtime cannot be dropped here once something else fails.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("data-plane".to_owned())
        .spawn(move || {
            let _part = part.entered();
            runtime.block_on(route(
                config,
                shared,
                bus_reports,
                published,
                pulse,
                wishes,
                bound,
            ));
            // With it go the listeners: who waits for the end may bind the endpoints again.
            drop(runtime);
            // Who no longer waits for the end does not need to know of it.
            let _ = done.send(());
        })?;
    let endpoints = binding.await.map_err(|_| StartError::Ended)??;
    health.up();
    daemon.health.started();
    for endpoint in &endpoints {
        tracing::info!(context = "broker.bound", %endpoint, "clients and workers are served");
    }

    let shutdown = daemon.shutdown.clone();
    tokio::spawn(async move {
        shutdown.requested().await;
        // A router that has ended needs no wish.
        let _ = controls.send(Control::Drain);
        tokio::time::sleep(drain_after).await;
        let _ = controls.send(Control::DrainDeadline);
    });
    let buses = bus_plane.as_ref().map(|plane| plane.bound.clone());
    let buses = buses.unwrap_or_default();
    for bus in &buses {
        bus.log();
    }
    Ok(Running {
        endpoints,
        buses,
        bus_plane,
        ended,
    })
}

impl Running {
    /// The endpoints as they were bound, with their actual ports.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The buses as they were bound, with their actual ports.
    pub fn buses(&self) -> &[BoundBus] {
        &self.buses
    }

    /// Waits until the drain is done and every connection has ended. The buses go on until all
    /// requests have ended: what those have to publish is still handed on.
    ///
    /// # Errors
    /// When the data plane or the buses ended without having been asked to.
    pub async fn ended(self) -> anyhow::Result<()> {
        let routed = async {
            self.ended
                .await
                .map_err(|_| anyhow::anyhow!("the data plane stopped unexpectedly"))
        };
        let Some(mut buses) = self.bus_plane else {
            return routed.await;
        };
        tokio::select! {
            routed = routed => routed?,
            failed = buses.failed() => return Err(failed),
        }
        buses.drain().await
    }
}

async fn route(
    config: Config,
    shared: Shared,
    bus_reports: Option<watch::Receiver<Arc<str>>>,
    published: Published,
    pulse: Pulse,
    controls: mpsc::UnboundedReceiver<Control>,
    bound: oneshot::Sender<Result<Vec<Endpoint>, StartError>>,
) {
    let (listeners, router_seed) = match prepare(&config).await {
        Ok(prepared) => prepared,
        Err(error) => {
            // Who started the broker waits for this.
            let _ = bound.send(Err(error));
            return;
        }
    };
    let endpoints: Vec<Endpoint> = listeners.iter().map(|l| l.endpoint().clone()).collect();
    let (accepted, arrivals) = mpsc::channel(ARRIVALS);
    let (notices, taken) = mpsc::channel(NOTICES);
    let router = Router::new(
        Broker::new(config.to_core(&endpoints), router_seed, clock()),
        SessionConfig::new(Side::Binding, SocketType::Router),
        shared,
        notices,
        published,
        pulse,
    );
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(listener.run(0, accepted.clone())))
        .collect();
    let _ = bound.send(Ok(endpoints));
    let inputs = Inputs {
        arrivals,
        controls,
        bus_reports,
    };
    as_task(router.run(inputs, taken)).await;
    for task in accepting {
        task.abort();
    }
}

/// Carries a loop as a task of the runtime. What a runtime blocks on is woken too, but looked at only after the
/// system was asked what else there is: a call more for each turn.
pub(crate) async fn as_task(carried: impl Future<Output = ()> + Send + 'static) {
    if let Err(ended) = tokio::spawn(carried).await {
        // The thread ends as it would have with the loop on it.
        panic::resume_unwind(ended.into_panic());
    }
}

async fn prepare(config: &Config) -> Result<(Vec<Listener>, [u8; 32]), StartError> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    let mut listeners = Vec::new();
    for endpoint in config.endpoint.iter() {
        let listener = Listener::bind(endpoint).await;
        listeners.push(listener.map_err(|source| StartError::Bind {
            endpoint: endpoint.clone(),
            source,
        })?);
    }
    Ok((listeners, seed))
}

/// When a drain that does not end is cut short: early enough for the rest to be written.
fn drain_deadline(shutdown_timeout: Duration) -> Duration {
    shutdown_timeout.mul_f64(0.8)
}

#[expect(clippy::disallowed_methods, reason = "the start, before any loop runs")]
fn clock() -> Instant {
    Instant::now()
}

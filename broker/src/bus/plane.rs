//! The thread of the buses: its listeners, and how it starts and ends.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use plantd_daemon::Daemon;
use plantd_zmtp::{Endpoint, Handover, Listener, SessionConfig, Side as End, SocketType};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Span;

use super::fanout::{ARRIVALS, Door, Fanout, Inputs, NOTICES};
use super::machine::{Bus, Side};
use super::metrics::Published;
use super::report::Reporter;
use crate::config::{BusKeys, Config, Retain};
use crate::plane::{StartError, as_task};
use crate::shared::Shared;

/// A bus as it was bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundBus {
    /// What it is called.
    pub name: String,
    /// Where publishers connect.
    pub frontend: Vec<Endpoint>,
    /// Where subscribers connect.
    pub backend: Vec<Endpoint>,
    /// Where captures connect; none if it has no capture.
    pub capture: Vec<Endpoint>,
    pub(super) retain: Retain,
}

/// Buses that run. Dropping it lets them end.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) bound: Vec<BoundBus>,
    /// What `mmi.buses` answers.
    pub(crate) reports: watch::Receiver<Arc<str>>,
    drain: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

/// Binds the buses and starts to carry them, on a thread of their own.
///
/// # Errors
/// When an endpoint cannot be bound, or the system has no means.
pub(crate) async fn start(
    config: &Config,
    shared: Shared,
    daemon: &Daemon,
) -> Result<Plane, StartError> {
    let health = daemon.health.check("buses");
    let pulse = daemon.health.pulse("buses", clock());
    let names: Vec<String> = config.buses.iter().map(|bus| bus.name.clone()).collect();
    let published = Published::register(&daemon.metrics, &names);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (reports, listing) = watch::channel("".into());
    let (bound, binding) = oneshot::channel();
    let (drain, draining) = oneshot::channel();
    let (done, ended) = oneshot::channel();
    let keys = config.buses.clone();
    let machines = config.buses.iter();
    let machines = machines.map(|bus| Bus::new(bus.to_machine(&config.limits)));
    let machines: Vec<Bus> = machines.collect();
    let part = Span::current();
    thread::Builder::new()
        .name("buses".to_owned())
        .spawn(move || {
            let _part = part.entered();
            runtime.block_on(async move {
                let doors = match bind(&keys).await {
                    Ok(doors) => doors,
                    Err(error) => {
                        // Who started the buses waits for this.
                        let _ = bound.send(Err(error));
                        return;
                    }
                };
                let buses = describe(&keys, &doors);
                let reporter = Reporter::new(buses.clone(), clock());
                let (sender, notices) = mpsc::channel(NOTICES);
                let (accepted, arrivals) = mpsc::channel(ARRIVALS);
                let mut accepting = Vec::new();
                let mut sides = Vec::new();
                for (number, (door, listener)) in doors.into_iter().enumerate() {
                    sides.push(door);
                    accepting.push(tokio::spawn(listener.run(number, accepted.clone())));
                }
                let fanout = Fanout::new(
                    machines, sides, shared, sender, published, reporter, reports, pulse,
                );
                let _ = bound.send(Ok(buses));
                let inputs = Inputs { arrivals, draining };
                as_task(fanout.run(inputs, notices)).await;
                for task in accepting {
                    task.abort();
                }
            });
            // With it go the listeners: who waits for the end may bind the endpoints again.
            drop(runtime);
            // Who no longer waits for the end does not need to know of it.
            let _ = done.send(());
        })?;
    let bound = binding.await.map_err(|_| StartError::Ended)??;
    health.up();
    Ok(Plane {
        bound,
        reports: listing,
        drain,
        ended,
    })
}

impl Plane {
    /// Waits until the buses end although nobody asked them to.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        // Whether they sent it or were lost with it, they have ended.
        let _ = (&mut self.ended).await;
        anyhow::anyhow!("the buses stopped unexpectedly")
    }

    /// Lets the buses write what they have taken, and end.
    ///
    /// # Errors
    /// When they were lost on the way.
    pub(crate) async fn drain(self) -> anyhow::Result<()> {
        // Buses that have ended need no wish.
        let _ = self.drain.send(());
        let ended = self.ended.await;
        ended.map_err(|_| anyhow::anyhow!("the buses stopped unexpectedly"))
    }
}

impl BoundBus {
    /// Tells the log where it is.
    pub(crate) fn log(&self) {
        let list = |endpoints: &[Endpoint]| {
            let texts: Vec<String> = endpoints.iter().map(Endpoint::to_string).collect();
            texts.join(" ")
        };
        tracing::info!(
            context = "broker.bus",
            bus = self.name,
            frontend = list(&self.frontend),
            backend = list(&self.backend),
            capture = list(&self.capture),
            "publishers and subscribers are served"
        );
    }
}

async fn bind(keys: &[BusKeys]) -> Result<Vec<(Door, Listener)>, StartError> {
    let mut doors = Vec::new();
    for (bus, keys) in keys.iter().enumerate() {
        for (side, endpoint) in keys.endpoints() {
            let listener = Listener::bind(endpoint).await;
            let listener = listener.map_err(|source| StartError::BindBus {
                bus: keys.name.clone(),
                side: side.as_str(),
                endpoint: endpoint.clone(),
                source,
            })?;
            let socket_type = match side {
                Side::Frontend => SocketType::Xsub,
                Side::Backend => SocketType::Xpub,
                Side::Capture => SocketType::Pub,
            };
            let session = SessionConfig {
                limits: keys.to_transport(),
                handover: Handover::Runs,
                ..SessionConfig::new(End::Binding, socket_type)
            };
            let door = Door {
                bus,
                side,
                session: Arc::new(session),
            };
            doors.push((door, listener));
        }
    }
    Ok(doors)
}

fn describe(keys: &[BusKeys], doors: &[(Door, Listener)]) -> Vec<BoundBus> {
    let of_each = keys.iter().enumerate().map(|(bus, keys)| {
        let at = |side| {
            let doors = doors.iter();
            let doors = doors.filter(move |(door, _)| (door.bus, door.side) == (bus, side));
            doors
                .map(|(_, listener)| listener.endpoint().clone())
                .collect()
        };
        BoundBus {
            name: keys.name.clone(),
            frontend: at(Side::Frontend),
            backend: at(Side::Backend),
            capture: at(Side::Capture),
            retain: keys.retain,
        }
    });
    of_each.collect()
}

#[expect(clippy::disallowed_methods, reason = "the start, before the loop runs")]
fn clock() -> Instant {
    Instant::now()
}

//! The Majordomo broker as a daemon.
//!
//! [`start`] binds the endpoints and runs the *data plane* on a thread of its own: a listener task
//! an endpoint, a task a connection, and one router task that owns all routing state (D3). The
//! router takes what all ready connections have read, hands it to [`plantd_mdp::Broker`], and
//! writes once to each peer that is owed something. It awaits no peer.
//!
//! What Majordomo means is decided in `core/mdp`, what bytes mean in `core/zmtp`. Here is no
//! protocol, and no HTTP either: health and metrics live on the daemon's own runtime, which reads
//! what the router publishes and never waits for it.

pub mod bus;
mod config;
mod journal;
mod memory;
mod metrics;
mod plane;
mod router;
mod shared;

pub use bus::BoundBus;
pub use config::{BusKeys, Config, LimitKeys, Retain};
pub use plane::{Running, StartError, start};
use plantd_daemon::Daemon;

/// Runs a broker until the daemon is asked to stop and the drain is done.
///
/// # Errors
/// [`StartError`] when an endpoint cannot be bound, or when the data plane ends by itself.
pub async fn run(config: Config, daemon: Daemon) -> anyhow::Result<()> {
    let running = start(config, &daemon).await?;
    running.ended().await
}

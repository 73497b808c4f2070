//! What every plantd process shares: configuration, logs, health, metrics and the stop.
//!
//! [`run_main`] is the whole `main` of a daemon: arguments, configuration, logs, health server, the
//! daemon's own `run`, exit code. The all-in-one process uses the same pieces one by one: a
//! [`config::load`] and a [`health::HealthServer`] for each part, one [`logs::Logs`] and one
//! [`shutdown::Shutdown`] for all of them.
//!
//! Nothing here knows a socket of the data plane, a protocol or a message.
#![warn(missing_docs)]

pub mod config;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod resources;
mod run;
pub mod shutdown;

pub use run::{Daemon, run_main};

/// The version of plantd, the same for every crate of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

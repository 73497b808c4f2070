//! The smallest worker: it answers a body with the same body.
//!
//! A module of your own can begin as a copy of this crate: a [`Config`], a [`run`] that serves until
//! the daemon is asked to stop, and a `main` that joins the two.

mod config;

use anyhow::{Context as _, bail};
use plantd_client::{Request, Served, Status, Worker};
use plantd_daemon::Daemon;
use plantd_daemon::config::Settings as _;
use tracing::Instrument as _;

pub use config::Config;
pub use plantd_client::{Endpoint, Transport};

/// Serves until the daemon is asked to stop and every request that was taken is answered.
///
/// # Errors
/// When requests could not be finished in the time of `shutdown_timeout`.
pub async fn run(config: Config, daemon: Daemon) -> anyhow::Result<()> {
    let shared = &config.shared;
    let worker = Worker::builder(&config.service)
        .brokers(config.broker_endpoint.iter().map(Endpoint::to_string))
        .transport(config.transport)
        .concurrency(config.concurrency)
        .name(Config::NAME)
        .version(plantd_daemon::VERSION)
        // Early enough for what is given back to be written before the process ends.
        .drain_timeout(shared.shutdown_timeout.duration().mul_f64(0.8))
        .build()
        .context("configure the worker")?;
    let check = daemon.health.check("broker_connection");
    tokio::spawn(
        check
            .follow(worker.status(), Status::health)
            .in_current_span(),
    );
    daemon.health.started();
    tracing::info!(
        context = "worker.started",
        service_name = config.service,
        "serving"
    );

    let echo = |request: Request| async move { Ok(request.into_body()) };
    let stop = async move { daemon.shutdown.requested().await };
    match worker.serve(echo, stop).await {
        Served::Drained => {
            tracing::info!(
                context = "worker.stopped",
                "every request that was taken is answered"
            );
            Ok(())
        }
        Served::TimedOut { unfinished } => {
            bail!("{unfinished} requests were not finished and are given to another worker")
        }
    }
}

//! Publishes what this host is measured for on the metric bus, and answers for it.
//!
//! A module of your own that publishes can begin as a copy of this crate: a [`Source`] is built once,
//! given a topic and a body whenever there is something to say, and closed at the end.

mod config;
mod host;
mod measurement;
mod service;

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use plantd_client::{Request, Served, Source, Status, Worker};
use plantd_daemon::Daemon;
use plantd_daemon::config::Settings as _;
use plantd_daemon::shutdown::Shutdown;
use sysinfo::System;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::Instrument as _;

use host::Host;
use measurement::Measurement;
use service::Service;

pub use config::Config;
pub use plantd_client::{Endpoint, Transport};

/// Publishes and serves until the daemon is asked to stop.
///
/// # Errors
/// When requests could not be finished in the time of `shutdown_timeout`.
pub async fn run(config: Config, daemon: Daemon) -> anyhow::Result<()> {
    let source = Source::builder()
        .brokers(config.bus_endpoint.iter().map(Endpoint::to_string))
        .transport(config.transport)
        .build()
        .context("configure the source")?;
    let worker = Worker::builder(&config.service)
        .brokers(config.broker_endpoint.iter().map(Endpoint::to_string))
        .name(Config::NAME)
        .version(plantd_daemon::VERSION)
        // Early enough for what is given back to be written before the process ends.
        .drain_timeout(config.shared.shutdown_timeout.duration().mul_f64(0.8))
        .build()
        .context("configure the worker")?;
    for (name, status) in [
        ("bus_connection", source.status()),
        ("broker_connection", worker.status()),
    ] {
        let check = daemon.health.check(name);
        tokio::spawn(check.follow(status, Status::health).in_current_span());
    }

    let (latest, seen) = watch::channel(Vec::new());
    let interval = watch::Sender::new(config.interval.duration());
    let publisher = Publisher {
        source,
        host: config.host.or_else(System::host_name).unwrap_or_default(),
        interval: interval.subscribe(),
        latest,
        is_refused: false,
    };
    let service = Service {
        latest: seen,
        interval,
    };
    daemon.health.started();
    tracing::info!(
        context = "metric.started",
        service_name = config.service,
        "publishing and serving"
    );

    let answer = move |request: Request| {
        let answer = service.answer(request.body());
        async { answer }
    };
    let stop = daemon.shutdown.clone();
    let (published, served) = tokio::join!(
        publisher.run(&daemon.shutdown),
        worker.serve(answer, async move { stop.requested().await }),
    );
    published?;
    match served {
        Served::Drained => {
            tracing::info!(
                context = "metric.stopped",
                "what was published is out, and what was asked is answered"
            );
            Ok(())
        }
        Served::TimedOut { unfinished } => {
            bail!("{unfinished} requests were not finished and are given to another worker")
        }
    }
}

/// Measures and publishes.
struct Publisher {
    source: Source,
    /// The tag of every metric.
    host: String,
    interval: watch::Receiver<Duration>,
    latest: watch::Sender<Vec<Measurement>>,
    /// Whether the last round was refused, which is told once.
    is_refused: bool,
}

impl Publisher {
    /// Measures at each interval and publishes it all, then waits for the bus to have read it.
    async fn run(mut self, shutdown: &Shutdown) -> anyhow::Result<()> {
        let mut host = Host::new();
        while self.wait(shutdown).await {
            let read = move || {
                let readings = host.read();
                (host, readings)
            };
            let readings;
            // A file system that does not answer stops this loop, and nothing else.
            (host, readings) = spawn_blocking(read).await.context("measure the host")?;
            let now = Timestamp::now();
            let measurements = readings.into_iter();
            let measurements: Vec<Measurement> = measurements
                .map(|reading| Measurement::new(reading, &self.host, now))
                .collect();
            self.publish(&measurements);
            self.latest.send_replace(measurements);
        }
        if let Err(unconfirmed) = self.source.close().await {
            tracing::warn!(context = "metric.unconfirmed", "{unconfirmed}");
        }
        Ok(())
    }

    /// Waits until it is time to measure; a new interval begins at once. False when it is time to stop.
    async fn wait(&mut self, shutdown: &Shutdown) -> bool {
        loop {
            let interval = *self.interval.borrow_and_update();
            tokio::select! {
                () = shutdown.requested() => return false,
                () = sleep(interval) => return true,
                // The service, which sets it, lives for as long as this does.
                _ = self.interval.changed() => {}
            }
        }
    }

    fn publish(&mut self, measurements: &[Measurement]) {
        let mut sent = measurements.iter().map(|measurement| {
            self.source
                .publication(measurement.topic(), measurement.payload())
                .content_type("application/json")
                .send()
        });
        // What is left of a round would be refused for the same reason as the first.
        let refused = sent.find_map(Result::err);
        if let (Some(error), false) = (&refused, self.is_refused) {
            tracing::warn!(context = "metric.refused", "not published: {error}");
        }
        self.is_refused = refused.is_some();
    }
}

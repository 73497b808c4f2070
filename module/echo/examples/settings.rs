//! A module that looks something up for each request: in the state service, by way of a cache, whose
//! counts are among its metrics.
//!
//! Serves `org.example.Settings`: asked for a key of the scope `org.example.Settings`, it answers with the
//! JSON that the key holds.

use std::fmt;
use std::process::ExitCode;

use anyhow::Context as _;
use plantd_client::state::{Cache, Json, Value};
use plantd_client::{Client, Request, State, Worker, WorkerError};
use plantd_daemon::config::{Settings, Shared};
use plantd_daemon::{Daemon, run_main};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde::{Deserialize, Serialize};

const NAME: &str = "org.example.Settings";

#[derive(Serialize, Deserialize)]
struct Config {
    broker_endpoint: String,
    bus_endpoint: String,
    #[serde(flatten)]
    shared: Shared,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            broker_endpoint: "tcp://127.0.0.1:9797".to_owned(),
            bus_endpoint: "tcp://127.0.0.1:13001".to_owned(),
            shared: Shared::with_health_port(8099),
        }
    }
}

impl Settings for Config {
    const NAME: &'static str = "settings";
    const ABOUT: &'static str = "Answers with what the state service keeps";
    const HELP: &'static [(&'static str, &'static str)] = &[
        ("broker_endpoint", "the broker"),
        ("bus_endpoint", "the subscriber side of the state bus"),
    ];

    fn shared(&self) -> &Shared {
        &self.shared
    }
}

fn main() -> ExitCode {
    run_main(run)
}

async fn run(config: Config, daemon: Daemon) -> anyhow::Result<()> {
    let client = Client::connect(&config.broker_endpoint).context("connect to the broker")?;
    let cache = Cache::connect(&config.bus_endpoint).context("follow the state bus")?;
    let state = State::builder(&client).cache(cache).build();
    daemon.metrics.register("settings", |registry| {
        registry.register_collector(Box::new(OfCache(state.clone())));
    });
    let worker = Worker::builder(NAME).broker(&config.broker_endpoint);
    let worker = worker.build().context("configure the worker")?;
    let scope = state.scope(NAME);
    let answer = move |request: Request| {
        let scope = scope.clone();
        async move {
            let key = request.body().text()?;
            let entry = scope.get_value(key).await;
            match entry.map_err(|error| WorkerError::new("no-state", error.to_string()))? {
                Some(entry) => match entry.value {
                    Value::Json(json) => Ok(Json::as_str(&json).to_owned()),
                    Value::Bytes { .. } => Err(WorkerError::new("no-json", "it holds bytes")),
                },
                None => Err(WorkerError::new("not-found", "there is no such key")),
            }
        }
    };
    daemon.health.started();
    tracing::info!(context = "worker.started", "serving");
    let stop = daemon.shutdown.clone();
    worker
        .serve(answer, async move { stop.requested().await })
        .await;
    Ok(())
}

/// The counts of a cache, read at each scrape.
#[derive(Debug)]
struct OfCache(State);

impl Collector for OfCache {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let stats = self.0.cache_stats().unwrap_or_default();
        let counters = [
            ("hits", "Reads that were answered from memory", stats.hits),
            ("misses", "Reads whose answers could be kept", stats.misses),
            (
                "bypassed",
                "Reads while the bus was not followed",
                stats.bypassed,
            ),
            (
                "invalidated",
                "Entries that were changed",
                stats.invalidated,
            ),
            ("interruptions", "Losses of the bus", stats.interruptions),
        ];
        for (name, help, count) in counters {
            let name = format!("state_cache_{name}");
            let metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            ConstCounter::new(count).encode(metric)?;
        }
        let gauges = [
            ("entries", "Entries that are held", stats.entries),
            ("bytes", "Their bytes", stats.bytes),
            ("scopes", "Scopes that are served from memory", stats.scopes),
        ];
        for (name, help, count) in gauges {
            let name = format!("state_cache_{name}");
            let metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(metric)?;
        }
        Ok(())
    }
}

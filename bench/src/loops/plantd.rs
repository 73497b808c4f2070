//! plantd-broker as its daemon runs it, with limits, heartbeats and metrics on.

use std::collections::BTreeMap;

use plantd_broker::Config;
use plantd_daemon::config::{Sources, load};
use plantd_daemon::logs::Logs;
use plantd_daemon::shutdown::Shutdown;
use plantd_daemon::{Daemon, config::Settings};

/// What is not as in an installation: free ports, quiet logs, and room for 10,000 connections and
/// those that are measured.
const KEYS: [(&str, &str); 4] = [
    ("PLANTD_BROKER_ENDPOINT", "tcp://127.0.0.1:0"),
    ("PLANTD_BROKER_LOG_LEVEL", "warn"),
    ("PLANTD_BROKER_BUSES", BUSES),
    ("PLANTD_BROKER_LIMITS_CONNECTIONS", "20000"),
];

/// As many buses as by default, on free ports.
const BUSES: &str = r#"[
    {"name": "metric", "frontend": "tcp://127.0.0.1:0", "backend": "tcp://127.0.0.1:0"},
    {"name": "event", "frontend": "tcp://127.0.0.1:0", "backend": "tcp://127.0.0.1:0"},
    {"name": "state", "frontend": "tcp://127.0.0.1:0", "backend": "tcp://127.0.0.1:0"},
]"#;

#[tokio::main(worker_threads = 2)]
pub(super) async fn run() -> anyhow::Result<()> {
    let keys = KEYS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let sources = Sources {
        environment: BTreeMap::from(keys),
        ..Sources::default()
    };
    let config = load::<Config>(&sources)?.config;
    let _logs = Logs::start(Config::NAME, config.shared())?;
    let daemon = Daemon::new(Shutdown::new());
    let broker = plantd_broker::start(config, &daemon).await?;
    let bus = broker.buses().first();
    let endpoints = [
        broker.endpoints().first(),
        bus.and_then(|bus| bus.frontend.first()),
        bus.and_then(|bus| bus.backend.first()),
    ];
    let endpoints = endpoints.into_iter().flatten().map(ToString::to_string);
    super::announce(&endpoints.collect::<Vec<_>>())?;
    broker.ended().await
}

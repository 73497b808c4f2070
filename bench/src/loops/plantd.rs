//! plantd-broker as its daemon runs it, with limits, heartbeats and metrics on.

use std::collections::BTreeMap;

use anyhow::Context as _;
use plantd_broker::Config;
use plantd_daemon::config::{Sources, load};
use plantd_daemon::logs::Logs;
use plantd_daemon::shutdown::Shutdown;
use plantd_daemon::{Daemon, config::Settings};

/// What is not as in an installation: a free port, quiet logs, and room for 10,000 connections and
/// those that are measured.
const KEYS: [(&str, &str); 4] = [
    ("PLANTD_BROKER_ENDPOINT", "tcp://127.0.0.1:0"),
    ("PLANTD_BROKER_LOG_LEVEL", "warn"),
    ("PLANTD_BROKER_BUSES", "[]"),
    ("PLANTD_BROKER_LIMITS_CONNECTIONS", "20000"),
];

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
    let endpoint = broker
        .endpoints()
        .first()
        .context("a broker has an endpoint")?;
    super::announce(&endpoint.to_string())?;
    broker.ended().await
}

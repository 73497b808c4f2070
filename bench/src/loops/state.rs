//! plantd-state as its daemon runs it, with history, published changes and metrics.

use plantd_daemon::Daemon;
use plantd_daemon::config::{Settings, Sources, load};
use plantd_daemon::logs::Logs;
use plantd_daemon::shutdown::Shutdown;
use plantd_state::Config;

/// Runs it as the environment says, which has where the store and the broker are.
#[tokio::main(worker_threads = 2)]
pub(super) async fn run() -> anyhow::Result<()> {
    let mut sources = Sources {
        environment: std::env::vars().collect(),
        ..Sources::default()
    };
    let quiet = ("PLANTD_STATE_LOG_LEVEL".to_owned(), "warn".to_owned());
    sources.environment.extend([quiet]);
    let config = load::<Config>(&sources)?.config;
    let _logs = Logs::start(Config::NAME, config.shared())?;
    // Whoever asks finds it by the broker.
    super::announce(&[])?;
    plantd_state::run(config, Daemon::new(Shutdown::new())).await
}

//! A broker in a process of its own.

use plantd_broker::Config;
use plantd_daemon::Daemon;
use plantd_daemon::config::{Settings as _, Sources, load};
use plantd_daemon::logs::Logs;
use plantd_daemon::shutdown::Shutdown;

/// The broker's own arguments.
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Arguments {
    /// Serves until it is killed.
    ///
    /// # Errors
    /// What keeps a broker from starting.
    #[tokio::main(worker_threads = 2)]
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let sources = Sources {
            arguments: self.arguments,
            ..Sources::default()
        };
        let config = load::<Config>(&sources)?.config;
        let _logs = Logs::start(Config::NAME, config.shared())?;
        let daemon = Daemon::new(Shutdown::new());
        let _health = daemon.serve_health(config.shared()).await?;
        plantd_broker::run(config, daemon).await
    }
}

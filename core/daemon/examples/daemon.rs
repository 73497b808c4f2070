//! The smallest daemon: a configuration of its own, one check, a drain.

use std::process::ExitCode;

use plantd_daemon::config::{Problem, Settings, Shared, TimeSpan};
use plantd_daemon::{Daemon, run_main};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Config {
    broker_endpoint: String,
    drain: TimeSpan,
    #[serde(flatten)]
    shared: Shared,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            broker_endpoint: "tcp://127.0.0.1:9797".to_owned(),
            drain: TimeSpan::from_millis(0),
            shared: Shared::with_health_port(8099),
        }
    }
}

impl Settings for Config {
    const NAME: &'static str = "example";
    const ABOUT: &'static str = "A daemon that waits for its stop.";
    const HELP: &'static [(&'static str, &'static str)] = &[
        ("broker_endpoint", "where the broker is"),
        ("drain", "how long its drain takes"),
    ];

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn validate(&self) -> Vec<Problem> {
        let known = ["tcp://", "ipc://"]
            .iter()
            .any(|scheme| self.broker_endpoint.starts_with(scheme));
        let expected = "expected tcp://host:port or ipc://path";
        (!known)
            .then(|| Problem::new("broker_endpoint", expected))
            .into_iter()
            .collect()
    }
}

fn main() -> ExitCode {
    run_main(run)
}

async fn run(config: Config, daemon: Daemon) -> anyhow::Result<()> {
    daemon.health.check("broker_connection").up();
    daemon.health.started();
    tracing::info!(
        context = "example.started",
        endpoint = config.broker_endpoint,
        "serving"
    );
    daemon.shutdown.requested().await;
    tokio::time::sleep(config.drain.into()).await;
    Ok(())
}

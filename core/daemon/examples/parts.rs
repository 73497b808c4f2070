//! Several parts in one process: one log and one stop, a configuration and a health server for each.

use std::process::ExitCode;

use plantd_daemon::config::{Settings, Shared, Sources, load};
use plantd_daemon::{Daemon, logs, run_main};
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;

#[derive(Serialize, Deserialize)]
struct Process {
    #[serde(flatten)]
    shared: Shared,
}

#[derive(Serialize, Deserialize)]
struct Part {
    #[serde(flatten)]
    shared: Shared,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            shared: Shared::without_health(),
        }
    }
}

impl Default for Part {
    fn default() -> Self {
        Self {
            shared: Shared::with_health_port(8098),
        }
    }
}

impl Settings for Process {
    const NAME: &'static str = "parts";
    const ABOUT: &'static str = "All parts in one process.";
    const HELP: &'static [(&'static str, &'static str)] = &[];

    fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Settings for Part {
    const NAME: &'static str = "part-one";
    const ABOUT: &'static str = "One part.";
    const HELP: &'static [(&'static str, &'static str)] = &[];

    fn shared(&self) -> &Shared {
        &self.shared
    }
}

fn main() -> ExitCode {
    run_main(|_: Process, process: Daemon| async move {
        // With two parts: together(load::<One>(&sources), load::<Other>(&sources))?
        let one = load::<Part>(&Sources::without_arguments())?.config;
        process.health.started();
        run(one, Daemon::new(process.shutdown))
            .instrument(logs::part(Part::NAME))
            .await
    })
}

async fn run(part: Part, daemon: Daemon) -> anyhow::Result<()> {
    let _server = daemon.serve_health(part.shared()).await?;
    daemon.health.started();
    tracing::info!(context = "part.started", "serving");
    daemon.shutdown.requested().await;
    Ok(())
}

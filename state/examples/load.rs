//! How fast a state service answers: `cargo run --release -p plantd-state --example load`.
//!
//! A broker, the service on a temporary folder and a client in one process; for a look at what a
//! change costs, not for comparisons.
#![expect(
    clippy::print_stdout,
    reason = "the figures are for whoever runs the example"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plantd_client::{Body, Client};
use plantd_daemon::Daemon;
use plantd_daemon::config::{Settings, Sources, load};
use plantd_daemon::shutdown::Shutdown;

const KEYS: u64 = 10_000;

#[tokio::main]
#[expect(
    clippy::disallowed_methods,
    reason = "the one clock of the measurement"
)]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(".")?;
    let broker: plantd_broker::Config = config("BROKER", &[("ENDPOINT", "tcp://127.0.0.1:0")])?;
    let daemon = Daemon::new(Shutdown::new());
    let running = plantd_broker::start(broker, &daemon).await?;
    let endpoint = running.endpoints()[0].to_string();
    let database = folder.path().join("state.db").display().to_string();
    let variables = [
        ("BROKER_ENDPOINT", endpoint.as_str()),
        ("DB", &database),
        ("BACKUP_INTERVAL", "0"),
    ];
    let state: plantd_state::Config = config("STATE", &variables)?;
    let state_daemon = Daemon::new(Shutdown::new());
    let stop = state_daemon.shutdown.clone();
    let serving = tokio::spawn(plantd_state::run(state, state_daemon));
    let client = Client::connect(&endpoint)?;
    for window in [1, 50, 500] {
        for operation in ["state-set", "state-get"] {
            let done = Arc::new(AtomicU64::new(0));
            let began = Instant::now();
            let until = began + Duration::from_secs(3);
            let askers = (0..window).map(|asker| {
                let (client, done) = (client.clone(), done.clone());
                tokio::spawn(async move {
                    let mut at = asker * 7_919;
                    while Instant::now() < until {
                        at += 1;
                        client
                            .request("org.plantd.State", body(operation, at % KEYS))
                            .await?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                })
            });
            for asker in askers.collect::<Vec<_>>() {
                asker.await??;
            }
            let rate = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
            println!("{operation}, {window} in flight: {rate:.0}/s");
        }
    }
    stop.request();
    serving.await?
}

fn body(operation: &str, key: u64) -> Body {
    let json = match operation {
        "state-set" => format!(
            r#"{{"scope":"org.example","key":"key/{key}","value":"0123456789012345678901234567890123456789012345678901234567890123"}}"#
        ),
        _ => format!(r#"{{"scope":"org.example","key":"key/{key}"}}"#),
    };
    Body::from_frames([operation.as_bytes(), json.as_bytes()])
}

fn config<T: Settings>(name: &str, variables: &[(&str, &str)]) -> anyhow::Result<T> {
    let mut sources = Sources::default();
    let variables = variables
        .iter()
        .map(|(key, value)| (format!("PLANTD_{name}_{key}"), (*value).to_owned()));
    sources.environment.extend(variables);
    Ok(load::<T>(&sources)?.config)
}

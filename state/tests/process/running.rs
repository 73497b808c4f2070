//! A broker in this process, and state services in processes of their own.

use std::path::Path;
use std::process::Command;

use plantd_client::{Body, Client, RequestError};
use plantd_daemon::Daemon;
use plantd_daemon::config::{Sources, load};
use plantd_daemon::shutdown::Shutdown;
use plantd_test_process::Process;
use serde_json::{Value, json};

/// A broker on a free port.
pub(crate) struct Broker {
    running: plantd_broker::Running,
    shutdown: Shutdown,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let mut sources = Sources::default();
        let variables = [("ENDPOINT", "tcp://127.0.0.1:0"), ("BUSES", "[]")];
        let variables =
            variables.map(|(key, value)| (format!("PLANTD_BROKER_{key}"), value.to_owned()));
        sources.environment.extend(variables);
        let config = load::<plantd_broker::Config>(&sources).unwrap().config;
        let shutdown = Shutdown::new();
        let daemon = Daemon::new(shutdown.clone());
        let running = plantd_broker::start(config, &daemon).await.unwrap();
        Self { running, shutdown }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.running.endpoints()[0].to_string()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.endpoint()).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.request();
        self.running.ended().await.unwrap();
    }
}

/// Starts a state service whose health is served; its store may not be open yet.
pub(crate) fn start_state(
    broker: &Broker,
    database: &Path,
    environment: &[(&str, &str)],
) -> Process {
    let mut command = program(broker, env!("CARGO_TARGET_TMPDIR"));
    command
        .env("PLANTD_STATE_DB", database)
        .envs(environment.iter().copied());
    Process::start(&mut command)
}

/// Starts one from a file of configuration, in a folder.
pub(crate) fn start_configured(broker: &Broker, folder: &Path, file: &str) -> Process {
    Process::start(program(broker, folder).args(["--config", file]))
}

fn program(broker: &Broker, folder: impl AsRef<Path>) -> Command {
    let program = env!("CARGO_BIN_EXE_plantd-state");
    let mut command = plantd_test_process::program(program, folder);
    command
        .env("PLANTD_STATE_BROKER_ENDPOINT", broker.endpoint())
        .env("PLANTD_STATE_HEALTH_PORT", "0")
        .env("PLANTD_STATE_BUS_ENDPOINT", "");
    command
}

/// Asks, and returns the whole reply.
pub(crate) async fn ask(
    client: &Client,
    operation: &str,
    fields: Value,
) -> Result<Value, RequestError> {
    let body = Body::from_frames([operation.as_bytes(), fields.to_string().as_bytes()]);
    let reply = client.request("org.plantd.State", body).await?;
    Ok(serde_json::from_str(reply.body.text().unwrap()).unwrap())
}

/// Writes, and returns the whole reply.
pub(crate) async fn set(client: &Client, key: &str, value: impl Into<Value>) -> Value {
    let fields = json!({"scope": "org.example", "key": key, "value": value.into()});
    ask(client, "state-set", fields).await.unwrap()
}

/// The value of a key.
pub(crate) async fn get(client: &Client, key: &str) -> Value {
    let fields = json!({"scope": "org.example", "key": key});
    ask(client, "state-get", fields).await.unwrap()["data"]["value"].clone()
}

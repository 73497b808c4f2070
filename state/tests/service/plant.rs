//! A broker and a state service on a folder of their own.

use std::path::{Path, PathBuf};

use plantd_client::{Body, Client};
use plantd_daemon::Daemon;
use plantd_daemon::config::{Sources, load};
use plantd_daemon::health::HealthServer;
use plantd_daemon::shutdown::Shutdown;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A broker on a free port.
pub(crate) struct Broker {
    running: plantd_broker::Running,
    shutdown: Shutdown,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(more: &[(&str, &str)]) -> Self {
        let bus = "[{name: state, frontend: 'tcp://127.0.0.1:0', backend: 'tcp://127.0.0.1:0'}]";
        let mut variables = vec![("ENDPOINT", "tcp://127.0.0.1:0"), ("BUSES", bus)];
        variables.extend(more);
        let config = config::<plantd_broker::Config>("BROKER", &variables);
        let shutdown = Shutdown::new();
        let daemon = Daemon::new(shutdown.clone());
        let running = plantd_broker::start(config, &daemon).await.unwrap();
        Self { running, shutdown }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.running.endpoints()[0].to_string()
    }

    /// Where the state bus takes what is published.
    pub(crate) fn frontend(&self) -> String {
        self.running.buses()[0].frontend[0].to_string()
    }

    /// Where it is subscribed to.
    pub(crate) fn backend(&self) -> String {
        self.running.buses()[0].backend[0].to_string()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.request();
        self.running.ended().await.unwrap();
    }
}

/// A configuration from these variables alone.
pub(crate) fn config<T: plantd_daemon::config::Settings>(
    name: &str,
    variables: &[(&str, &str)],
) -> T {
    let mut sources = Sources::default();
    let variables = variables
        .iter()
        .map(|(key, value)| (format!("PLANTD_{name}_{key}"), (*value).to_owned()));
    sources.environment.extend(variables);
    load::<T>(&sources).unwrap().config
}

/// Where the service takes clients itself.
pub(crate) fn own_endpoint(database: &Path) -> String {
    format!("ipc://{}", database.with_extension("socket").display())
}

/// A state service that runs in this process.
pub(crate) struct State {
    pub(crate) daemon: Daemon,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl State {
    pub(crate) fn start(broker: &Broker, database: &Path, variables: &[(&str, &str)]) -> Self {
        let (endpoint, frontend) = (broker.endpoint(), broker.frontend());
        let own = own_endpoint(database);
        let mut all = vec![
            ("BROKER_ENDPOINT", endpoint.as_str()),
            ("ENDPOINT", &own),
            ("BUS_ENDPOINT", &frontend),
            ("DB", database.to_str().unwrap()),
        ];
        all.extend(variables);
        let config = config::<plantd_state::Config>("STATE", &all);
        let daemon = Daemon::new(Shutdown::new());
        let ended = tokio::spawn(plantd_state::run(config, daemon.clone()));
        Self { daemon, ended }
    }

    /// Serves its health and metrics on a free port.
    pub(crate) async fn serve_health(&self) -> HealthServer {
        let (health, metrics) = (self.daemon.health.clone(), self.daemon.metrics.clone());
        let anywhere = ([127, 0, 0, 1], 0).into();
        HealthServer::start(anywhere, health, metrics)
            .await
            .unwrap()
    }

    /// Waits for the end.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        self.ended.await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.daemon.shutdown.request();
        self.ended().await.unwrap();
    }
}

/// A broker, a state service and a client.
pub(crate) struct Plant {
    pub(crate) broker: Broker,
    pub(crate) state: State,
    pub(crate) client: Client,
    pub(crate) folder: TempDir,
}

impl Plant {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        let broker = Broker::start().await;
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("state.db");
        let state = State::start(&broker, &database, variables);
        let client = Client::connect(crate::asked_at(&broker, &database)).unwrap();
        Self {
            broker,
            state,
            client,
            folder,
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    /// Asks, and returns the whole reply.
    pub(crate) async fn ask(&self, operation: &str, fields: Value) -> Value {
        ask(&self.client, operation, fields).await
    }

    /// Asks for what has to succeed, and returns its data.
    pub(crate) async fn done(&self, operation: &str, fields: Value) -> Value {
        let reply = self.ask(operation, fields.clone()).await;
        assert_eq!(reply["success"], true, "{operation} {fields}: {reply}");
        reply["data"].clone()
    }

    /// Asks for what has to be refused, and returns the code.
    pub(crate) async fn refused(&self, operation: &str, fields: Value) -> String {
        let reply = self.ask(operation, fields.clone()).await;
        assert_eq!(reply["success"], false, "{operation} {fields}: {reply}");
        assert!(reply["error"].is_string(), "{reply}");
        reply["code"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn set(&self, key: &str, value: impl Into<Value>) -> u64 {
        let fields = json!({"scope": "org.example", "key": key, "value": value.into()});
        let data = self.done("state-set", fields).await;
        data["version"].as_u64().unwrap()
    }

    /// Sets many keys, in batches; returns the last version.
    pub(crate) async fn fill(&self, keys: impl Iterator<Item = String>) -> u64 {
        let keys: Vec<String> = keys.collect();
        let mut last = 0;
        for keys in keys.chunks(500) {
            let set = |key| json!({"op": "set", "key": key, "value": 0});
            let operations: Vec<Value> = keys.iter().map(set).collect();
            let fields = json!({"scope": "org.example", "operations": operations});
            let data = self.done("batch", fields).await;
            last = data["results"][keys.len() - 1]["version"].as_u64().unwrap();
        }
        last
    }

    pub(crate) async fn stop(self) {
        self.state.stop().await;
        self.broker.stop().await;
    }
}

pub(crate) async fn ask(client: &Client, operation: &str, fields: Value) -> Value {
    let body = Body::from_frames([operation.as_bytes(), fields.to_string().as_bytes()]);
    let reply = client.request("org.plantd.State", body).await.unwrap();
    serde_json::from_str(reply.body.text().unwrap()).unwrap()
}

/// What a health server says.
pub(crate) fn get(health: &HealthServer, path: &str) -> String {
    plantd_test_process::get(&health.address().to_string(), path)
}

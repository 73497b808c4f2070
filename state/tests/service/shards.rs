//! A broker, the state services of several shards, and their router.

use std::path::PathBuf;

use plantd_client::{Body, Client, Reply};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::plant::{Broker, State};

/// `north` by prefix, `west` by range, with a part of it in `north`, and the rest.
pub(crate) const MAP: &str = "[{name: north, prefix: org.north.}, {name: west, from: org.a, until: org.n}, \
                              {name: north, prefix: org.b.}, {name: rest, rest: true}]";
pub(crate) const NAMES: [&str; 3] = ["north", "west", "rest"];
const SERVICE: &str = "org.plantd.State";

/// An installation of shards; each may be stopped and started again.
pub(crate) struct Shards {
    pub(crate) broker: Broker,
    pub(crate) client: Client,
    pub(crate) folder: TempDir,
    pub(crate) router: Option<State>,
    running: Vec<(&'static str, State)>,
}

impl Shards {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With a broker of these variables.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        let broker = Broker::start_with(variables).await;
        let client = Client::connect(broker.endpoint()).unwrap();
        let mut shards = Self {
            broker,
            client,
            folder: tempfile::tempdir().unwrap(),
            router: None,
            running: Vec::new(),
        };
        for name in NAMES {
            shards.start_shard(name, MAP);
        }
        shards.start_router(MAP);
        shards
    }

    pub(crate) fn database(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.db"))
    }

    pub(crate) fn start_shard(&mut self, name: &'static str, map: &str) {
        let variables = [("SHARDS", map), ("SHARD", name)];
        let state = State::start(&self.broker, &self.database(name), &variables);
        self.running.push((name, state));
    }

    pub(crate) fn start_router(&mut self, map: &str) {
        let variables = [("SHARDS", map), ("ROLE", "router")];
        let router = State::start(&self.broker, &self.database("router"), &variables);
        self.router = Some(router);
    }

    pub(crate) async fn stop_shard(&mut self, name: &str) {
        let place = self.running.iter().position(|(known, _)| *known == name);
        let (_, state) = self.running.remove(place.unwrap());
        state.stop().await;
    }

    pub(crate) async fn stop_router(&mut self) {
        self.router.take().unwrap().stop().await;
    }

    /// Asks the router, and returns what it says with its properties.
    pub(crate) async fn reply(&self, operation: &str, fields: Value) -> Reply {
        let body = Body::from_frames([operation.as_bytes(), fields.to_string().as_bytes()]);
        self.client.request(SERVICE, body).await.unwrap()
    }

    /// Asks the router.
    pub(crate) async fn ask(&self, operation: &str, fields: Value) -> Value {
        let reply = self.reply(operation, fields).await;
        serde_json::from_str(reply.body.text().unwrap()).unwrap()
    }

    /// Asks a shard itself.
    pub(crate) async fn ask_shard(&self, name: &str, operation: &str, fields: Value) -> Value {
        let body = Body::from_frames([operation.as_bytes(), fields.to_string().as_bytes()]);
        let service = format!("{SERVICE}.{name}");
        let reply = self.client.request(service, body).await.unwrap();
        serde_json::from_str(reply.body.text().unwrap()).unwrap()
    }

    /// Asks the router for what has to succeed.
    pub(crate) async fn done(&self, operation: &str, fields: Value) -> Value {
        let reply = self.ask(operation, fields.clone()).await;
        assert_eq!(reply["success"], true, "{operation} {fields}: {reply}");
        reply["data"].clone()
    }

    pub(crate) async fn set(&self, scope: &str, value: impl Into<Value>) -> Value {
        let fields = json!({"scope": scope, "key": "a", "value": value.into()});
        self.done("state-set", fields).await
    }

    pub(crate) async fn stop(mut self) {
        self.stop_router().await;
        for name in NAMES {
            self.stop_shard(name).await;
        }
        self.broker.stop().await;
    }
}

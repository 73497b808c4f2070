//! A broker in this process, and state services in processes of their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use plantd_client::{Body, Client, RequestError};
use plantd_daemon::Daemon;
use plantd_daemon::config::{Sources, load};
use plantd_daemon::shutdown::Shutdown;
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

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.running.endpoints()[0].to_string()).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.request();
        self.running.ended().await.unwrap();
    }
}

/// A state service; killed when dropped.
pub(crate) struct State {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub(crate) health: String,
}

impl State {
    /// Starts one whose health is served; its store may not be open yet.
    pub(crate) fn start(broker: &Broker, database: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_plantd-state"))
            .env_clear()
            .env("PLANTD_STATE_DB", database)
            .env(
                "PLANTD_STATE_BROKER_ENDPOINT",
                broker.running.endpoints()[0].to_string(),
            )
            .env("PLANTD_STATE_HEALTH_PORT", "0")
            .env("PLANTD_STATE_BUS_ENDPOINT", "")
            .envs(environment.iter().copied())
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut state = Self {
            child,
            lines,
            health: String::new(),
        };
        let line = state.line_of("daemon.health");
        state.health = line["fields"]["address"].as_str().unwrap().to_owned();
        state
    }

    /// Reads lines up to the one with this context.
    pub(crate) fn line_of(&mut self, context: &str) -> Value {
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).unwrap();
            assert_ne!(count, 0, "it ended before {context}");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["context"] == context {
                return line;
            }
        }
    }

    /// What is left of the log of one that has ended.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        rest
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.health).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks for the health until it says this.
    pub(crate) fn health_says(&self, check: &str) {
        while !self.get("/healthz").contains(check) {}
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        self.ended()
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

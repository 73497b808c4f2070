//! The all-in-one as a process: what serves, what it tells, how it stops.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use plantd_client::{Client, RequestError, Sink, SinkEvent};
use serde_json::Value;

/// The metric bus on free ports.
const BUSES: &str =
    "[{name: metric, frontend: \"tcp://127.0.0.1:0\", backend: \"tcp://127.0.0.1:0\"}]";

/// `plantd` on free ports, with nothing of this process's environment and no files.
fn plantd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plantd"));
    command
        .env_clear()
        .env("PLANTD_BROKER_ENDPOINT", "tcp://127.0.0.1:0")
        .env("PLANTD_BROKER_HEALTH_PORT", "0")
        .env("PLANTD_BROKER_BUSES", BUSES)
        .env("PLANTD_MODULE_ECHO_HEALTH_PORT", "0")
        .env("PLANTD_MODULE_METRIC_HEALTH_PORT", "0")
        .env("PLANTD_MODULE_METRIC_INTERVAL", "250ms")
        .env("PLANTD_STATE_HEALTH_PORT", "0")
        .env("PLANTD_STATE_DB", database())
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A database that no other process has.
fn database() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("plantd-{}-{count}/state.db", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A `plantd` that serves; killed when dropped.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    broker_health: String,
    echo_health: String,
    metric_health: String,
    state_health: String,
    /// The subscriber side of the metric bus.
    backend: String,
    endpoint: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self {
            child,
            lines,
            broker_health: String::new(),
            echo_health: String::new(),
            metric_health: String::new(),
            state_health: String::new(),
            backend: String::new(),
            endpoint: String::new(),
        };
        let address = |line: Value| line["fields"]["address"].as_str().unwrap().to_owned();
        running.broker_health = address(running.line_of("broker", "daemon.health"));
        let bus = running.line_of("broker", "broker.bus");
        running.backend = bus["fields"]["backend"].as_str().unwrap().to_owned();
        running.echo_health = address(running.line_of("module-echo", "daemon.health"));
        running.metric_health = address(running.line_of("module-metric", "daemon.health"));
        running.state_health = address(running.line_of("state", "daemon.health"));
        let started = running.line_of("plantd", "plantd.started");
        running.endpoint = started["fields"]["endpoint"].as_str().unwrap().to_owned();
        running
    }

    /// Reads lines up to the one of this part with this context.
    fn line_of(&mut self, service: &str, context: &str) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.lines.read_line(&mut line).unwrap(),
                0,
                "it ended before {context}"
            );
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["service"] == service && line["context"] == context {
                return line;
            }
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn refused(command: &mut Command) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8(text).unwrap())
}

/// The line of the log that says why it ended.
fn reason(log: &str) -> String {
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let errors: Vec<Value> = lines.filter(|line| line["level"] == "error").collect();
    assert_eq!(errors.len(), 1, "{log}");
    errors[0]["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_and_either_signal_ends_it_with_0() {
    for signal in ["-TERM", "-INT"] {
        let mut plantd = Running::start(&mut plantd());
        let client = Client::connect(&plantd.endpoint).unwrap();
        let reply = client.request("org.plantd.module.Echo", "hello").await;
        assert_eq!(reply.unwrap().body.text(), Ok("hello"));

        plantd.signal(signal);
        plantd.line_of("module-echo", "worker.stopped");
        plantd.line_of("broker", "broker.drain");
        plantd.line_of("plantd", "daemon.stopped");
        assert_eq!(plantd.exit_code(), Some(0), "{signal}");
    }
}

#[test]
fn each_part_has_its_own_health() {
    let plantd = Running::start(&mut plantd());
    assert!(get(&plantd.broker_health, "/healthz").contains(r#""name":"router","status":"UP""#));
    // Down until it is registered.
    let up = r#""name":"broker_connection","status":"UP""#;
    while !get(&plantd.echo_health, "/healthz").contains(up) {}
    for check in ["bus_connection", "broker_connection"] {
        let up = format!(r#""name":"{check}","status":"UP""#);
        while !get(&plantd.metric_health, "/healthz").contains(&up) {}
    }
    // There is no state bus here for it to publish on.
    while !get(&plantd.state_health, "/healthz").contains(up) {}
    for address in [
        &plantd.broker_health,
        &plantd.echo_health,
        &plantd.metric_health,
        &plantd.state_health,
    ] {
        assert!(get(address, "/readyz").starts_with("HTTP/1.1 200 "));
    }
    assert!(get(&plantd.broker_health, "/metrics").contains("plantd_broker_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_life_on_the_metric_bus() {
    let plantd = Running::start(&mut plantd());
    let mut sink = Sink::builder()
        .broker(&plantd.backend)
        .subscribe("org.plantd.metric.host.cpu.utilization")
        .build()
        .unwrap();
    // The second shows that it goes on.
    for _ in 0..2 {
        let Some(SinkEvent::Message(heard)) = sink.next().await else {
            panic!("nothing is missing at the beginning");
        };
        assert!(heard.body.text().unwrap().contains(r#""units":"ratio""#));
        assert!(heard.header.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_reads_its_own_variables() {
    let mut plantd = Running::start(
        plantd()
            .env("PLANTD_MODULE_ECHO_SERVICE", "org.example.Echo")
            .env("PLANTD_BROKER_QUEUE_TIMEOUT", "0"),
    );
    plantd.line_of("module-echo", "worker.registration");
    let client = Client::connect(&plantd.endpoint).unwrap();
    let reply = client.request("org.example.Echo", "hello").await;
    assert_eq!(reply.unwrap().body.text(), Ok("hello"));
    let nobody = client.request("org.plantd.module.Echo", "hello").await;
    assert!(
        matches!(nobody, Err(RequestError::NoWorker { .. })),
        "{nobody:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_kept_over_a_restart() {
    let database = database();
    let ask = |endpoint: String, operation: &'static str, json: &'static str| async move {
        let client = Client::connect(endpoint).unwrap();
        let body = plantd_client::Body::from_frames([operation, json]);
        let reply = client.request("org.plantd.State", body).await.unwrap();
        serde_json::from_str::<Value>(reply.body.text().unwrap()).unwrap()
    };
    let mut running = Running::start(plantd().env("PLANTD_STATE_DB", &database));
    let set = r#"{"scope":"s","key":"a","value":1}"#;
    let reply = ask(running.endpoint.clone(), "state-set", set).await;
    assert_eq!(reply["success"], true, "{reply}");
    running.signal("-TERM");
    assert_eq!(running.exit_code(), Some(0));
    let running = Running::start(plantd().env("PLANTD_STATE_DB", &database));
    let get = r#"{"scope":"s","key":"a"}"#;
    let reply = ask(running.endpoint.clone(), "state-get", get).await;
    assert_eq!(reply["data"]["value"], 1, "{reply}");
}

#[test]
fn what_it_tells_on_a_terminal_has_four_commands_to_try() {
    let mut child = plantd()
        .args(["--log-format", "text", "--log-level", "off"])
        .env(
            "PLANTD_BROKER_BUSES",
            "[{name: metric, frontend: 'tcp://127.0.0.1:0', backend: 'ipc://told.sock'}]",
        )
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = String::new();
    while !told.contains("Ctrl-C") {
        told.push_str(&lines.next().expect("it serves").unwrap());
        told.push('\n');
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for command in [
        "request --broker tcp://127.0.0.1:",
        "bus --broker tcp://127.0.0.1:",
        "services --broker",
        "curl http://127.0.0.1:",
        "bus metric   publish tcp://127.0.0.1:",
        "  subscribe ipc://told.sock\n",
    ] {
        assert!(told.contains(command), "{told}");
    }
}

#[test]
fn a_taken_port_is_one_line_that_names_the_key_and_exits_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let endpoint = format!("tcp://127.0.0.1:{port}");
    for (key, value) in [
        ("PLANTD_BROKER_ENDPOINT", &endpoint),
        ("PLANTD_BROKER_HEALTH_PORT", &port),
        ("PLANTD_MODULE_ECHO_HEALTH_PORT", &port),
        ("PLANTD_MODULE_METRIC_HEALTH_PORT", &port),
    ] {
        let (code, log) = refused(plantd().env(key, value));
        assert_eq!(code, Some(1), "{log}");
        let reason = reason(&log);
        assert!(reason.contains(key) && reason.contains(&port), "{reason}");
    }
}

#[test]
fn a_refused_configuration_tells_the_errors_of_all_parts_and_exits_64() {
    let (code, text) = refused(
        plantd()
            .env("PLANTD_BROKER_ATTEMPTS", "none")
            .env("PLANTD_MODULE_ECHO_CONCURENCY", "1")
            .env("PLANTD_MODULE_METRIC_INTERVAL", "1ms"),
    );
    assert_eq!(code, Some(64), "{text}");
    assert!(
        text.contains("attempts = \"none\" (PLANTD_BROKER_ATTEMPTS)"),
        "{text}"
    );
    assert!(text.contains("PLANTD_MODULE_ECHO_CONCURRENCY"), "{text}");
    assert!(text.contains("PLANTD_MODULE_METRIC_INTERVAL"), "{text}");
}

#[test]
fn an_endpoint_that_others_can_reach_needs_allow_anonymous() {
    let (code, text) = refused(plantd().env("PLANTD_BROKER_ENDPOINT", "tcp://*:0"));
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("allow_anonymous: true"), "{text}");

    let mut plantd = Running::start(
        plantd()
            .env("PLANTD_BROKER_ENDPOINT", "tcp://0.0.0.0:0")
            .env("PLANTD_BROKER_ALLOW_ANONYMOUS", "true"),
    );
    assert!(
        plantd.endpoint.starts_with("tcp://127.0.0.1:"),
        "{}",
        plantd.endpoint
    );
    plantd.line_of("module-echo", "worker.registration");
}

//! The all-in-one as a process: what serves, what it tells, how it stops.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use plantd_client::{Client, RequestError, Sink, SinkEvent};
use plantd_test_process::{Process, get, poll};
use serde_json::Value;

/// The metric bus on free ports.
const BUSES: &str =
    "[{name: metric, frontend: \"tcp://127.0.0.1:0\", backend: \"tcp://127.0.0.1:0\"}]";

/// `plantd` on free ports, with nothing of this process's environment and no files.
fn plantd() -> Command {
    let program = env!("CARGO_BIN_EXE_plantd");
    let mut command = plantd_test_process::program(program, env!("CARGO_TARGET_TMPDIR"));
    command
        .env("PLANTD_BROKER_ENDPOINT", "tcp://127.0.0.1:0")
        .env("PLANTD_BROKER_HEALTH_PORT", "0")
        .env("PLANTD_BROKER_BUSES", BUSES)
        .env("PLANTD_MODULE_ECHO_HEALTH_PORT", "0")
        .env("PLANTD_MODULE_METRIC_HEALTH_PORT", "0")
        .env("PLANTD_MODULE_METRIC_INTERVAL", "250ms")
        .env("PLANTD_STATE_HEALTH_PORT", "0")
        .env("PLANTD_STATE_DB", database())
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

/// A `plantd` that serves.
struct Running {
    process: Process,
    echo_health: String,
    metric_health: String,
    state_health: String,
    /// The subscriber side of the metric bus.
    backend: String,
    endpoint: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        // The broker's health is the first.
        let process = Process::start(command);
        let told = |part: &str, context: &str, field: &str| {
            let line = process.line_of_part(part, context);
            line["fields"][field].as_str().unwrap().to_owned()
        };
        let health = |part: &str| told(part, "daemon.health", "address");
        Self {
            backend: told("broker", "broker.bus", "backend"),
            echo_health: health("module-echo"),
            metric_health: health("module-metric"),
            state_health: health("state"),
            endpoint: told("plantd", "plantd.started", "endpoint"),
            process,
        }
    }
}

/// Asks for the health of a part until a check is up.
fn is_up(address: &str, check: &str) {
    let up = format!(r#""name":"{check}","status":"UP""#);
    poll(|| get(address, "/healthz").contains(&up).then_some(()));
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
    for signal in ["TERM", "INT"] {
        let mut plantd = Running::start(&mut plantd());
        let client = Client::connect(&plantd.endpoint).unwrap();
        let reply = client.request("org.plantd.module.Echo", "hello").await;
        assert_eq!(reply.unwrap().body.text(), Ok("hello"));

        plantd.process.signal(signal);
        plantd.process.line_of_part("module-echo", "worker.stopped");
        plantd.process.line_of_part("broker", "broker.drain");
        plantd.process.line_of_part("plantd", "daemon.stopped");
        assert_eq!(plantd.process.exit_code(), Some(0), "{signal}");
    }
}

#[test]
fn each_part_has_its_own_health() {
    let plantd = Running::start(&mut plantd());
    assert!(get(plantd.process.health(), "/healthz").contains(r#""name":"router","status":"UP""#));
    // Down until it is registered.
    is_up(&plantd.echo_health, "broker_connection");
    is_up(&plantd.metric_health, "bus_connection");
    is_up(&plantd.metric_health, "broker_connection");
    // There is no state bus here for it to publish on.
    is_up(&plantd.state_health, "broker_connection");
    for address in [
        plantd.process.health(),
        &plantd.echo_health,
        &plantd.metric_health,
        &plantd.state_health,
    ] {
        assert!(get(address, "/readyz").starts_with("HTTP/1.1 200 "));
    }
    assert!(get(plantd.process.health(), "/metrics").contains("plantd_broker_"));
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
    let plantd = Running::start(
        plantd()
            .env("PLANTD_MODULE_ECHO_SERVICE", "org.example.Echo")
            .env("PLANTD_BROKER_QUEUE_TIMEOUT", "0"),
    );
    plantd
        .process
        .line_of_part("module-echo", "worker.registration");
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
    running.process.signal("TERM");
    assert_eq!(running.process.exit_code(), Some(0));
    let running = Running::start(plantd().env("PLANTD_STATE_DB", &database));
    let get = r#"{"scope":"s","key":"a"}"#;
    let reply = ask(running.endpoint.clone(), "state-get", get).await;
    assert_eq!(reply["data"]["value"], 1, "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_state_part_may_be_a_shard_or_the_router_of_others() {
    const SHARDS: &str = "[{name: north, prefix: org.north.}, {name: rest, rest: true}]";
    let database = database();
    let router = Running::start(
        plantd()
            .env("PLANTD_STATE_DB", &database)
            .env("PLANTD_STATE_SHARDS", SHARDS)
            .env("PLANTD_STATE_ROLE", "router"),
    );
    // Those of another process, at the first one's broker.
    let shard = |name: &str| {
        let mut command = plantd();
        command
            .env("PLANTD_STATE_SHARDS", SHARDS)
            .env("PLANTD_STATE_SHARD", name)
            .env("PLANTD_STATE_BROKER_ENDPOINT", &router.endpoint);
        Running::start(&mut command)
    };
    let _shards = [shard("north"), shard("rest")];
    let client = Client::connect(&router.endpoint).unwrap();
    let set = r#"{"scope":"org.north.1","key":"a","value":1}"#;
    for service in ["org.plantd.State", "org.plantd.State.north"] {
        let body = plantd_client::Body::from_frames(["state-set", set]);
        let reply = client.request(service, body).await.unwrap();
        let reply: Value = serde_json::from_str(reply.body.text().unwrap()).unwrap();
        assert_eq!(reply["success"], true, "{reply}");
    }
    assert!(!database.exists());
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

    let plantd = Running::start(
        plantd()
            .env("PLANTD_BROKER_ENDPOINT", "tcp://0.0.0.0:0")
            .env("PLANTD_BROKER_ALLOW_ANONYMOUS", "true"),
    );
    assert!(
        plantd.endpoint.starts_with("tcp://127.0.0.1:"),
        "{}",
        plantd.endpoint
    );
    plantd
        .process
        .line_of_part("module-echo", "worker.registration");
}

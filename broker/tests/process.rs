//! The broker as a process: its exit codes, its drain, its health and its log.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use plantd_test_process::Process;
use serde_json::Value;

/// A safety net, in milliseconds; no test depends on it.
const PATIENCE_MS: i32 = 30_000;

const ANY_PORT: [&str; 4] = ["--endpoint", "tcp://127.0.0.1:0", "--health-port", "0"];

fn program() -> Command {
    let program = env!("CARGO_BIN_EXE_plantd-broker");
    let mut command = plantd_test_process::program(program, env!("CARGO_TARGET_TMPDIR"));
    command
        // Those that there are by default have ports that every test would want.
        .env("PLANTD_BROKER_BUSES", "[]")
        .stderr(Stdio::piped());
    command
}

/// What a broker says that ends by itself.
fn finished(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// A broker that serves.
struct Running {
    process: Process,
    endpoint: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let process = Process::start(program().args(ANY_PORT).args(arguments));
        let endpoint = process.told("broker.bound", "endpoint");
        Self { process, endpoint }
    }

    /// The status and the rest of the answer to a GET.
    fn get(&self, path: &str) -> (u16, String) {
        let answer = self.process.get(path);
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, body.to_owned())
    }

    fn dealer(&self, context: &zmq::Context) -> zmq::Socket {
        let socket = context.socket(zmq::DEALER).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_rcvtimeo(PATIENCE_MS).unwrap();
        socket.connect(&self.endpoint).unwrap();
        socket
    }
}

fn send(socket: &zmq::Socket, frames: &[&[u8]]) {
    socket.send_multipart(frames, 0).unwrap();
}

/// A worker of `echo` that holds a request of a client.
fn busy(broker: &Running, context: &zmq::Context) -> (zmq::Socket, zmq::Socket, Vec<u8>) {
    let worker = broker.dealer(context);
    let client = broker.dealer(context);
    send(&worker, &[b"MDPW02", &[1], b"echo"]);
    send(&client, &[b"MDPC02", &[1], b"echo", b"hi"]);
    let request = worker.recv_multipart(0).unwrap();
    assert_eq!(request[4], b"hi");
    let token = request[2].clone();
    (worker, client, token)
}

#[test]
fn a_drain_finishes_what_is_under_way_is_seen_in_readyz_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let mut broker = Running::start(&[]);
        let context = zmq::Context::new();
        let (worker, client, token) = busy(&broker, &context);
        assert_eq!(broker.get("/readyz").0, 200);
        broker.process.signal(signal);
        broker.process.line_of("broker.drain");
        assert_eq!(broker.get("/readyz").0, 503);
        assert_eq!(broker.get("/livez").0, 200);
        assert_eq!(broker.get("/healthz").0, 200);

        send(&worker, &[b"MDPW02", &[4], &token, b"", b"done"]);
        let answer = client.recv_multipart(0).unwrap();
        assert_eq!(answer, [&b"MDPC02"[..], &[3], b"echo", b"done"]);
        let farewell = worker.recv_multipart(0).unwrap();
        assert_eq!(farewell, [&b"MDPW02"[..], &[6]]);
        broker.process.line_of("daemon.stopped");
        assert_eq!(broker.process.exit_code(), Some(0), "SIG{signal}");
    }
}

#[test]
fn a_drain_that_nobody_ends_fails_what_is_left_and_exits_0() {
    let mut broker = Running::start(&["--shutdown-timeout", "2s"]);
    let context = zmq::Context::new();
    let worker = broker.dealer(&context);
    let client = broker.dealer(&context);
    send(&worker, &[b"MDPW02", &[1], b"echo"]);
    send(&client, &[b"MDPC03", &[1], b"echo", &[7; 8], b"hi"]);
    worker.recv_multipart(0).unwrap();
    broker.process.signal("TERM");
    let error = client.recv_multipart(0).unwrap();
    assert_eq!(error[..3], [&b"MDPC03"[..], &[4], b"echo"]);
    assert!(error[3].starts_with(&[&[7; 8][..], b"\x04code\0\0\0\x08draining"].concat()));
    assert_eq!(broker.process.exit_code(), Some(0));
}

#[test]
fn a_second_signal_ends_a_drain_with_1() {
    let mut broker = Running::start(&[]);
    let context = zmq::Context::new();
    let _held = busy(&broker, &context);
    broker.process.signal("TERM");
    broker.process.line_of("daemon.drain");
    broker.process.signal("TERM");
    broker.process.line_of("daemon.abort");
    assert_eq!(broker.process.exit_code(), Some(1));
}

#[test]
fn a_taken_port_is_one_line_that_names_the_endpoint_and_exits_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", taken.local_addr().unwrap());
    let output = finished(&[
        "--endpoint",
        &endpoint,
        "--health-port",
        "0",
        "--log-level",
        "error",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((stdout.lines().count(), stderr), (1, ""), "{stdout}");
    let line: Value = serde_json::from_str(stdout).unwrap();
    let message = line["message"].as_str().unwrap();
    for part in [&endpoint[..], "in use", "PLANTD_BROKER_ENDPOINT"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn an_endpoint_that_others_reach_needs_permission_and_the_refusal_says_which_line() {
    let open = ["--endpoint", "tcp://*:0", "--health-port", "0"];
    let output = finished(&open);
    assert_eq!(output.status.code(), Some(64));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("\n    allow_anonymous: true"), "{stderr}");
    assert_eq!(text(&output.stdout), "");

    let mut broker = Running::start(&["--endpoint", "tcp://*:0", "--allow-anonymous", "true"]);
    broker.process.signal("TERM");
    assert_eq!(broker.process.exit_code(), Some(0));
}

#[test]
fn an_unknown_key_names_the_nearest_one_and_exits_64() {
    let output = finished(&["--heartbeat-intervall", "1s"]);
    assert_eq!(output.status.code(), Some(64));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("--heartbeat-interval"), "{stderr}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn every_wrong_value_is_told_at_once() {
    let wrong = [
        "--liveness",
        "1",
        "--attempts",
        "0",
        "--limits-frame",
        "9MiB",
    ];
    let output = finished(&wrong);
    assert_eq!(output.status.code(), Some(64));
    let stderr = text(&output.stderr);
    for key in ["liveness", "attempts", "limits.frame"] {
        assert!(stderr.contains(key), "{key} is missing in {stderr}");
    }
}

#[test]
fn health_and_metrics_are_served() {
    let broker = Running::start(&[]);
    let (status, body) = broker.get("/healthz");
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &health["status"]), (200, &Value::from("UP")));
    assert_eq!(health["releaseId"], env!("CARGO_PKG_VERSION"));
    assert_eq!(health["checks"][0]["status"], "UP");
    assert_eq!(broker.get("/livez").0, 200);
    assert_eq!(broker.get("/readyz").0, 200);
    let (status, metrics) = broker.get("/metrics");
    assert_eq!(status, 200);
    for series in [
        "plantd_broker_connections 0\n",
        "plantd_broker_requests_total 0\n",
        "plantd_broker_rejected_total{reason=\"frame_too_large\"} 0\n",
        "plantd_broker_requests_failed_total{code=\"no-worker\"} 0\n",
        "process_open_fds ",
    ] {
        assert!(metrics.contains(series), "{series} is missing in {metrics}");
    }
    assert_eq!(broker.get("/nope").0, 404);
}

#[test]
fn the_log_is_one_json_object_a_line_and_tells_who_came_and_went() {
    let mut broker = Running::start(&["--log-level", "trace"]);
    let context = zmq::Context::new();
    let worker = broker.dealer(&context);
    send(&worker, &[b"MDPW02", &[1], b"org.plantd.State"]);
    let joined = broker.process.line_of("worker.registration");
    for (field, expected) in [
        ("level", "info"),
        ("service", "broker"),
        ("message", "worker registered"),
    ] {
        assert_eq!(joined[field], expected, "{joined}");
    }
    assert!(
        joined["worker_id"]
            .as_str()
            .unwrap()
            .starts_with("tcp://127.0.0.1:"),
        "{joined}"
    );
    assert_eq!(joined["fields"]["service_name"], "org.plantd.State");
    assert!(
        joined["timestamp"].as_str().unwrap().ends_with('Z'),
        "{joined}"
    );

    send(&worker, &[b"MDPW02", &[9]]);
    let refused = broker.process.line_of("message.rejected");
    assert_eq!(
        (&refused["level"], &refused["fields"]["reason"]),
        (&"warn".into(), &"unknown_command".into())
    );
    broker.process.signal("TERM");
    for line in broker.process.rest() {
        assert!(
            line["message"].is_string() && line["context"].is_string(),
            "{line}"
        );
    }
    assert_eq!(broker.process.exit_code(), Some(0));
}

#[test]
fn refusals_of_one_kind_are_logged_once_and_counted_all() {
    let broker = Running::start(&[]);
    let context = zmq::Context::new();
    let peer = broker.dealer(&context);
    for _ in 0..1000 {
        send(&peer, &[b"junk"]);
    }
    send(&peer, &[b"MDPC02", &[1], b"mmi.heartbeat", b"x"]);
    peer.recv_multipart(0).unwrap();
    let (_, metrics) = broker.get("/metrics");
    assert!(metrics.contains("plantd_broker_rejected_total{reason=\"unknown_protocol\"} 1000\n"));
    broker.process.signal("TERM");
    let log = broker.process.rest();
    let is_refusal = |line: &&Value| line["context"] == "message.rejected";
    let lines = log.iter().filter(is_refusal).count();
    // One a second; a slow machine may take more than one second.
    assert!(
        (1..100).contains(&lines),
        "{lines} lines for 1,000 refusals"
    );
}

#[test]
fn a_unix_socket_that_a_killed_broker_left_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("ipc://{}/broker", folder.path().display());
    let mut killed = Running::start(&["--endpoint", &endpoint]);
    killed.process.signal("KILL");
    assert_eq!(killed.process.exit_code(), None);
    let mut broker = Running::start(&["--endpoint", &endpoint]);
    let context = zmq::Context::new();
    let client = broker.dealer(&context);
    send(
        &client,
        &[b"MDPC02", &[1], b"mmi.service", b"org.plantd.Broker"],
    );
    assert_eq!(client.recv_multipart(0).unwrap()[3], b"200");

    let second = finished(&["--endpoint", &endpoint, "--health-port", "0"]);
    assert_eq!(
        second.status.code(),
        Some(1),
        "one that runs keeps its socket"
    );
    broker.process.signal("TERM");
    assert_eq!(broker.process.exit_code(), Some(0));
}

#[test]
fn buses_are_told_in_the_log_and_have_a_health_and_metrics() {
    let buses = "[{name: one, frontend: 'tcp://127.0.0.1:0', backend: 'tcp://127.0.0.1:0'}]";
    let mut broker = Running::start(&["--buses", buses]);
    let told = broker.process.line_of("broker.bus");
    assert_eq!(told["fields"]["bus"], "one");
    let endpoint = |side: &str| told["fields"][side].as_str().unwrap().to_owned();
    assert_eq!(endpoint("capture"), "");
    let context = zmq::Context::new();
    let subscriber = context.socket(zmq::SUB).unwrap();
    subscriber.set_rcvtimeo(PATIENCE_MS).unwrap();
    subscriber.set_subscribe(b"t").unwrap();
    subscriber.connect(&endpoint("backend")).unwrap();
    let publisher = context.socket(zmq::XPUB).unwrap();
    publisher.set_linger(0).unwrap();
    publisher.connect(&endpoint("frontend")).unwrap();
    publisher.set_rcvtimeo(PATIENCE_MS).unwrap();
    assert_eq!(publisher.recv_bytes(0).unwrap(), b"\x01t");
    publisher.send("topic", 0).unwrap();
    assert_eq!(subscriber.recv_bytes(0).unwrap(), b"topic");

    let (status, health) = broker.get("/healthz");
    assert_eq!(status, 200);
    assert!(
        health.contains(r#""name":"buses","status":"UP""#),
        "{health}"
    );
    let (_, metrics) = broker.get("/metrics");
    assert!(metrics.contains("plantd_broker_bus_peers{bus=\"one\",side=\"backend\"} 1\n"));
    broker.process.signal("TERM");
    assert_eq!(broker.process.exit_code(), Some(0));
}

#[test]
fn a_taken_port_of_a_bus_is_named_with_its_side_and_exits_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", taken.local_addr().unwrap());
    let buses = format!("[{{name: one, frontend: 'tcp://127.0.0.1:0', backend: '{endpoint}'}}]");
    let output = finished(&[&ANY_PORT[..], &["--buses", &buses]].concat());
    assert_eq!(output.status.code(), Some(1));
    let log = text(&output.stdout);
    assert!(
        log.contains("the backend of the bus one") && log.contains(&endpoint),
        "{log}"
    );
}

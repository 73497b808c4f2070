//! The echo module as a process, with and without a broker.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use plantd_client::Client;
use plantd_daemon::Daemon;
use plantd_daemon::config::{Sources, load};
use plantd_daemon::shutdown::Shutdown;
use serde_json::Value;

const DOWN: &str = r#""name":"broker_connection","status":"DOWN""#;
const UP: &str = r#""name":"broker_connection","status":"UP""#;

/// A broker on a free port.
struct Broker {
    running: plantd_broker::Running,
    shutdown: Shutdown,
}

impl Broker {
    async fn start() -> Self {
        let mut sources = Sources::default();
        let endpoint = (
            "PLANTD_BROKER_ENDPOINT".to_owned(),
            "tcp://127.0.0.1:0".to_owned(),
        );
        let buses = ("PLANTD_BROKER_BUSES".to_owned(), "[]".to_owned());
        sources.environment.extend([endpoint, buses]);
        let config = load::<plantd_broker::Config>(&sources).unwrap().config;
        let shutdown = Shutdown::new();
        let daemon = Daemon::new(shutdown.clone());
        let running = plantd_broker::start(config, &daemon).await.unwrap();
        Self { running, shutdown }
    }

    fn endpoint(&self) -> String {
        self.running.endpoints()[0].to_string()
    }

    async fn stop(self) {
        self.shutdown.request();
        self.running.ended().await.unwrap();
    }
}

/// An echo module that serves its health; killed when dropped.
struct Echo {
    child: Child,
    lines: BufReader<ChildStdout>,
    health: String,
}

impl Echo {
    fn start(broker: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_plantd-module-echo"))
            .env_clear()
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .args(["--health-port", "0", "--broker-endpoint", broker])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut echo = Self {
            child,
            lines,
            health: String::new(),
        };
        let address = echo.line_of("daemon.health")["fields"]["address"].clone();
        echo.health = address.as_str().unwrap().to_owned();
        echo
    }

    /// Reads lines up to the one with this context.
    fn line_of(&mut self, context: &str) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.lines.read_line(&mut line).unwrap(),
                0,
                "it ended before {context}"
            );
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["context"] == context {
                return line;
            }
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.health).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks for the health until it says this.
    fn health_says(&self, check: &str) -> String {
        loop {
            let health = self.get("/healthz");
            if health.contains(check) {
                return health;
            }
        }
    }

    fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().code()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_comes_back() {
    let broker = Broker::start().await;
    let mut echo = Echo::start(&broker.endpoint(), &[]);
    let client = Client::connect(broker.endpoint()).unwrap();
    for frames in [&[&b"hello"[..]][..], &[b"", b"\xff\0", b""]] {
        let body = plantd_client::Body::from_frames(frames);
        let reply = client
            .request("org.plantd.module.Echo", body.clone())
            .await
            .unwrap();
        assert_eq!(reply.body, body);
    }
    assert_eq!(echo.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_configuration_reaches_the_broker() {
    let broker = Broker::start().await;
    let arguments = [
        "--service",
        "org.example.Echo",
        "--concurrency",
        "7",
        "--transport",
        "zeromq",
    ];
    let mut echo = Echo::start(&broker.endpoint(), &arguments);
    echo.health_says(UP);

    let client = Client::connect(broker.endpoint()).unwrap();
    let workers = client
        .mmi("workers", Some("org.example.Echo"))
        .await
        .unwrap()
        .data
        .unwrap();
    assert_eq!(workers["total"], 1);
    assert_eq!(workers["workers"][0]["credit"], 7);
    let reply = client.request("org.example.Echo", "hello").await.unwrap();
    assert_eq!(reply.body.text(), Ok("hello"));
    assert_eq!(echo.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_health_says_whether_the_broker_is_there() {
    let broker = Broker::start().await;
    let mut echo = Echo::start(&broker.endpoint(), &[]);
    assert!(echo.health_says(UP).starts_with("HTTP/1.1 200 "));

    broker.stop().await;

    let health = echo.health_says(DOWN);
    assert!(health.starts_with("HTTP/1.1 503 "), "{health}");
    assert!(echo.get("/livez").starts_with("HTTP/1.1 200 "));
    assert_eq!(echo.terminate(), Some(0));
}

#[test]
fn without_a_broker_it_is_alive_and_says_why_it_is_down() {
    let mut echo = Echo::start("tcp://127.0.0.1:1", &[]);
    echo.health_says("tcp://127.0.0.1:1: Connection refused");
    assert!(echo.get("/livez").starts_with("HTTP/1.1 200 "));
    assert_eq!(echo.terminate(), Some(0));
}

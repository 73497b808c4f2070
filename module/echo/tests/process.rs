//! The echo module as a process, with and without a broker.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use plantd_client::Client;
use plantd_daemon::Daemon;
use plantd_daemon::config::{Sources, load};
use plantd_daemon::shutdown::Shutdown;
use plantd_test_process::Process;

const CHECK: &str = "broker_connection";

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

fn echo(broker: &str, arguments: &[&str]) -> Process {
    let program = env!("CARGO_BIN_EXE_plantd-module-echo");
    let mut command = plantd_test_process::program(program, env!("CARGO_TARGET_TMPDIR"));
    Process::start(
        command
            .args(["--health-port", "0", "--broker-endpoint", broker])
            .args(arguments),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_comes_back() {
    let broker = Broker::start().await;
    let mut echo = echo(&broker.endpoint(), &[]);
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
    let mut echo = echo(&broker.endpoint(), &arguments);
    echo.health_says(CHECK, "UP");

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
    let mut echo = echo(&broker.endpoint(), &[]);
    assert!(echo.health_says(CHECK, "UP").starts_with("HTTP/1.1 200 "));

    broker.stop().await;

    let health = echo.health_says(CHECK, "DOWN");
    assert!(health.starts_with("HTTP/1.1 503 "), "{health}");
    assert!(echo.get("/livez").starts_with("HTTP/1.1 200 "));
    assert_eq!(echo.terminate(), Some(0));
}

#[test]
fn without_a_broker_it_is_alive_and_says_why_it_is_down() {
    let mut echo = echo("tcp://127.0.0.1:1", &[]);
    echo.health_contains("tcp://127.0.0.1:1: Connection refused");
    assert!(echo.get("/livez").starts_with("HTTP/1.1 200 "));
    assert_eq!(echo.terminate(), Some(0));
}

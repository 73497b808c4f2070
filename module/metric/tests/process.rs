//! The metric module as a process: what it publishes, what it answers.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;

use plantd_client::{Body, Client, RequestError};
use plantd_daemon::Daemon;
use plantd_daemon::config::{Sources, load};
use plantd_daemon::shutdown::Shutdown;
use plantd_test_process::Process;
use serde_json::{Value, json};
use zmq::{Context, Socket};

const SERVICE: &str = "org.plantd.module.Metric";
/// Where nothing listens.
const NOWHERE: &str = "tcp://127.0.0.1:1";

/// A broker on a free port.
struct Broker {
    running: plantd_broker::Running,
    _shutdown: Shutdown,
}

impl Broker {
    async fn start() -> Self {
        let mut sources = Sources::default();
        let variables = [("ENDPOINT", "tcp://127.0.0.1:0"), ("BUSES", "[]")];
        let variables =
            variables.map(|(key, value)| (format!("PLANTD_BROKER_{key}"), value.to_owned()));
        sources.environment.extend(variables);
        let config = load::<plantd_broker::Config>(&sources).unwrap().config;
        let shutdown = Shutdown::new();
        let daemon = Daemon::new(shutdown.clone());
        let running = plantd_broker::start(config, &daemon).await.unwrap();
        Self {
            running,
            _shutdown: shutdown,
        }
    }

    fn endpoint(&self) -> String {
        self.running.endpoints()[0].to_string()
    }
}

/// The publisher side of a bus, as libzmq has it.
struct Bus(Socket);

impl Bus {
    fn start(topic: &str) -> Self {
        let socket = Context::new().socket(zmq::SUB).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_subscribe(topic.as_bytes()).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        Self(socket)
    }

    fn endpoint(&self) -> String {
        self.0.get_last_endpoint().unwrap().unwrap()
    }

    /// The topic and the payload of what is published next.
    fn next(&self) -> (String, Value) {
        let frames = self.0.recv_multipart(0).unwrap();
        let [topic, header, payload] = &frames[..] else {
            panic!("{frames:?}");
        };
        let header = String::from_utf8_lossy(header);
        assert!(
            header.ends_with("content-type\0\0\0\x10application/json"),
            "{header:?}"
        );
        let topic = String::from_utf8(topic.clone()).unwrap();
        (topic, serde_json::from_slice(payload).unwrap())
    }
}

fn module(broker: &str, bus: &str, arguments: &[&str]) -> Process {
    let program = env!("CARGO_BIN_EXE_plantd-module-metric");
    let mut command = plantd_test_process::program(program, env!("CARGO_TARGET_TMPDIR"));
    Process::start(
        command
            .args(["--health-port", "0", "--interval", "250ms"])
            .args(["--broker-endpoint", broker, "--bus-endpoint", bus])
            .args(arguments),
    )
}

async fn ask(client: &Client, frames: &[&str]) -> Result<Value, RequestError> {
    let reply = client.request(SERVICE, Body::from_frames(frames)).await?;
    let mut answer: Value = serde_json::from_str(reply.body.text().unwrap()).unwrap();
    assert_eq!(answer["success"], true);
    Ok(answer["data"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_published_over_either_transport() {
    for transport in ["zeromq", "plantd"] {
        let bus = Bus::start("org.plantd.metric.");
        let arguments = ["--transport", transport, "--host", "press-3"];
        let mut module = module(NOWHERE, &bus.endpoint(), &arguments);
        let mut heard = BTreeSet::new();
        while ![
            "cpu.utilization",
            "load.1m",
            "memory.used",
            "network.sent",
            "uptime",
        ]
        .iter()
        .all(|name| heard.contains(*name))
        {
            let (topic, metric) = bus.next();
            let name = metric["name"].as_str().unwrap();
            assert_eq!(topic, format!("org.plantd.metric.host.{name}"));
            assert_eq!(metric["service"], "host");
            assert_eq!(metric["tags"]["host"], "press-3");
            assert!(
                metric["value"].is_number() && metric["units"].is_string(),
                "{metric}"
            );
            let timestamp = metric["timestamp"].as_str().unwrap();
            assert!(timestamp.parse::<jiff::Timestamp>().is_ok(), "{metric}");
            heard.insert(name.to_owned());
        }
        // It goes on: longer than a source needs to learn what is subscribed to.
        let mut rounds = 0;
        while rounds < 6 {
            rounds += usize::from(bus.next().0.ends_with(".uptime"));
        }
        module.health_says("bus_connection", "UP");
        assert_eq!(module.terminate(), Some(0), "{transport}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_can_be_asked_for() {
    let broker = Broker::start().await;
    let bus = Bus::start("");
    let mut module = module(&broker.endpoint(), &bus.endpoint(), &[]);
    let client = Client::connect(broker.endpoint()).unwrap();
    let (topic, published) = bus.next();
    let name = published["name"].as_str().unwrap();

    let listed = ask(&client, &["list"]).await.unwrap();
    let listed = listed["metrics"].as_array().unwrap();
    let listed = listed.iter().find(|metric| metric["name"] == name).unwrap();
    assert_eq!(listed["topic"], topic);
    assert_eq!(listed["units"], published["units"]);

    let arguments = json!({ "name": name }).to_string();
    let latest = ask(&client, &["latest", &arguments]).await.unwrap();
    assert_eq!(latest["metrics"][0]["name"], name);
    module.health_says("broker_connection", "UP");
    assert_eq!(module.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_interval_is_set_by_a_request_and_counts_at_once() {
    let broker = Broker::start().await;
    let bus = Bus::start("org.plantd.metric.host.uptime");
    let mut module = module(&broker.endpoint(), &bus.endpoint(), &["--interval", "1h"]);
    let client = Client::connect(broker.endpoint()).unwrap();
    let interval = ask(&client, &["interval"]).await.unwrap();
    assert_eq!(interval, json!({"seconds": 3600.0}));
    let none = ask(&client, &["latest"]).await.unwrap();
    assert_eq!(none, json!({"metrics": []}));

    let set = ask(&client, &["interval", r#"{"seconds":0.25}"#]).await;
    assert_eq!(set.unwrap(), json!({"seconds": 0.25}));

    assert_eq!(bus.next().0, "org.plantd.metric.host.uptime");
    assert_eq!(module.line_of("metric.interval")["fields"]["seconds"], 0.25);
    assert_eq!(module.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_an_error_that_says_what_would_be_right() {
    let broker = Broker::start().await;
    let _module = module(&broker.endpoint(), NOWHERE, &[]);
    let client = Client::connect(broker.endpoint()).unwrap();
    let refused = ask(&client, &["intreval"]).await.unwrap_err();
    let RequestError::WorkerError { code, message, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(code, "bad-request");
    assert_eq!(
        message,
        "unknown operation intreval; expected list, latest or interval"
    );
}

#[test]
fn without_broker_and_bus_it_is_alive_and_stops_at_once() {
    let mut module = module(NOWHERE, NOWHERE, &[]);
    module.health_says("broker_connection", "DOWN");
    module.health_says("bus_connection", "DOWN");
    assert!(module.get("/livez").starts_with("HTTP/1.1 200 "));
    assert_eq!(module.terminate(), Some(0));
}

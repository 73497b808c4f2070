//! Buses: `bus list`, `bus sub`, `bus pub` and `bus top`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::harness::{Broker, Ended, plant};

const BUSES: &str = "[{name: metric, frontend: tcp://127.0.0.1:0, backend: tcp://127.0.0.1:0}, \
                      {name: event, frontend: tcp://127.0.0.1:0, backend: tcp://127.0.0.1:0}]";

/// `plant bus sub --json`, or `top`, that is subscribed; killed when it is dropped.
struct Subscriber {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Subscriber {
    /// Starts it, and waits until each bus has a subscription.
    fn start(broker: &Broker, arguments: &[&str]) -> Self {
        let mut child = broker
            .plant(&["bus"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let subscriber = Self { child, lines };
        loop {
            let listing = &broker.run(&["bus", "list", "-o", "json"]).json()[0];
            let buses = listing["buses"].as_array().unwrap();
            assert_eq!(buses.len(), 2);
            if buses.iter().all(|bus| bus["subscriptions"] != 0) {
                return subscriber;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Waits for its end, and gives the rest of what it printed.
    fn end(mut self) -> String {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.lines, &mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn buses_are_listed_with_what_passes_over_them() {
    let broker = Broker::with_buses(BUSES);
    let ended = broker.run(&["bus", "list"]);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ended.stdout);
    assert!(lines[0].starts_with("BUS "), "{}", ended.stdout);
    assert!(
        lines[1].starts_with("metric  tcp://127.0.0.1:"),
        "{}",
        ended.stdout
    );
    let document = &broker.run(&["bus", "list", "-o", "json"]).json()[0];
    assert_eq!(document["buses"][1]["name"], "event");
}

#[test]
fn what_is_published_is_printed_with_its_bus() {
    let broker = Broker::with_buses(BUSES);
    let mut subscriber = Subscriber::start(&broker, &["sub", "--json"]);
    let publish = |arguments: &[&str]| {
        let ended = broker.run(&[&["bus", "pub"], arguments].concat());
        ended.printed("");
    };
    publish(&[
        "--bus",
        "event",
        "org.example.a",
        "hello",
        "two",
        "-p",
        "x=y",
    ]);
    let mut message = subscriber.json();
    let time = message["time"].take();
    assert!(time.as_str().unwrap().ends_with('Z'));
    let source = message["source"].take();
    assert_eq!(source.as_str().unwrap().len(), 36);
    let expected = json!({
        "event": "message", "bus": "event", "topic": "org.example.a", "time": null,
        "source": null, "sequence": 1, "properties": {"x": "y"},
        "body": [{"text": "hello"}, {"text": "two"}],
    });
    assert_eq!(message, expected);
    publish(&["--bus", "metric", "org.example.b", "1", "--count", "3"]);
    for sequence in 1..=3 {
        let message = subscriber.json();
        assert_eq!(
            (&message["bus"], &message["sequence"]),
            (&json!("metric"), &json!(sequence))
        );
    }
}

#[test]
fn one_bus_and_some_topics_are_chosen() {
    let broker = Broker::with_buses(BUSES);
    let metric = &broker.running.buses()[0];
    let (frontend, backend) = (
        metric.frontend[0].to_string(),
        metric.backend[0].to_string(),
    );
    let subscribed = |arguments: &[&str]| {
        let mut command = plant(&["bus", "sub", "--endpoint", &backend]);
        command.args(arguments).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let child = subscribed(&["a", "b", "-n", "2", "--raw"]);
    let until_subscribed = |subscribers: u64| {
        loop {
            let listing = &broker.run(&["bus", "list", "-o", "json"]).json()[0];
            if listing["buses"][0]["subscriptions"] == subscribers {
                break;
            }
        }
    };
    until_subscribed(2);
    let publish = |topic: &str, body: &str| {
        let arguments = [
            "bus",
            "pub",
            "--endpoint",
            &frontend,
            topic,
            body,
            "-o",
            "json",
        ];
        let ended = Ended::of(plant(&arguments).output().unwrap());
        ended.printed("{\"published\":1}\n");
    };
    publish("c", "not this");
    publish("b.1", "this ");
    publish("ab", "and this");
    let ended = Ended::of(child.wait_with_output().unwrap());
    ended.printed("this and this");
}

#[test]
fn sums_and_rates_are_counted() {
    let broker = Broker::with_buses(BUSES);
    let subscriber = Subscriber::start(&broker, &["sub", "--count", "-n", "3"]);
    let arguments = ["bus", "pub", "--bus", "event", "a", "12345", "-n", "3"];
    broker.run(&arguments).printed("");
    assert_eq!(subscriber.end(), "3 messages, 15 B, 0 missed\n");

    let mut subscriber = Subscriber::start(&broker, &["sub", "--rate", "-o", "json"]);
    broker.run(&arguments).printed("");
    let mut messages = 0;
    while messages == 0 {
        let rate = subscriber.json();
        assert_eq!(rate["event"], "rate");
        messages = rate["messages_per_second"].as_u64().unwrap();
    }
    assert!(messages <= 3);
}

#[test]
fn the_busiest_topics_are_on_top() {
    let broker = Broker::with_buses(BUSES);
    let mut subscriber = Subscriber::start(&broker, &["top", "--interval", "200ms", "-o", "json"]);
    for (topic, count) in [("a", "2"), ("b", "5")] {
        let arguments = ["bus", "pub", "--bus", "event", topic, "x", "--count", count];
        broker.run(&arguments).printed("");
    }
    let mut seen = std::collections::BTreeMap::new();
    while seen != [("a".to_owned(), 2), ("b".to_owned(), 5)].into() {
        let page = subscriber.json();
        for line in page["topics"].as_array().unwrap() {
            assert_eq!(line["bus"], "event");
            let topic = line["topic"].as_str().unwrap().to_owned();
            seen.insert(topic, line["messages"].as_u64().unwrap());
        }
    }
    drop(subscriber);
    let ended = broker.run(&["bus", "top", "--interval", "10ms", "-n", "2"]);
    let head = "TOPIC  BUS  MESSAGES/S  BYTES/S  MESSAGES  MISSED\n\n";
    ended.printed(&head.repeat(2));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let broker = Broker::with_buses(BUSES);
    let ended = broker.run(&["bus", "pub", "a", "b"]);
    ended.failed(
        64,
        "plant: choose a bus by --bus; the broker has: event, metric",
    );
    let ended = broker.run(&["bus", "sub", "--bus", "none"]);
    ended.failed(
        64,
        "plant: the broker has no bus \"none\"; it has: event, metric",
    );
    let ended = broker.run(&["bus", "pub", "--bus", "event", "a", "b", "-p", "A=b"]);
    ended.failed(64, "plant: property \"A\": ");
    let ended = Broker::start().run(&["bus", "sub"]);
    ended.failed(64, "plant: the broker has no buses;");
    let absent = [
        "bus",
        "sub",
        "--endpoint",
        "tcp://127.0.0.1:1",
        "-t",
        "100ms",
    ];
    let ended = Ended::of(plant(&absent).output().unwrap());
    ended.failed(6, "plant: no bus at tcp://127.0.0.1:1 (");
    let absent = [
        "bus",
        "list",
        "--broker",
        "tcp://127.0.0.1:1",
        "-t",
        "100ms",
    ];
    let ended = Ended::of(plant(&absent).output().unwrap());
    ended.failed(6, "plant: no broker at tcp://127.0.0.1:1 (");
}

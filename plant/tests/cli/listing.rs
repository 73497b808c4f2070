//! What the broker says of itself: `services`, `workers`, `broker` and `ping`.

use crate::harness::{Broker, Ended, plant};

#[test]
fn services_are_listed_with_their_workers() {
    let broker = Broker::start();
    let _worker = broker.worker(&["org.example.Echo", "--echo"]);
    broker.run(&["services"]).printed(
        "\
SERVICE           WORKERS  WAITING  QUEUED  QUEUED BYTES
org.example.Echo        1        1       0           0 B
",
    );
    let document = &broker.run(&["services", "--output", "json"]).json()[0];
    assert_eq!(document["total"], 1);
    assert_eq!(document["services"][0]["name"], "org.example.Echo");
}

#[test]
fn workers_are_listed_for_all_services_or_for_one() {
    let broker = Broker::start();
    let _one = broker.worker(&["org.example.One", "--echo", "--name", "first"]);
    let _other = broker.worker(&["org.example.Other", "--echo", "--concurrency", "7"]);
    let names = |arguments: &[&str]| {
        let document = &broker.run(&[arguments, &["-o", "json"]].concat()).json()[0];
        let workers = document["workers"].as_array().unwrap().clone();
        workers
            .into_iter()
            .map(|worker| (worker["name"].clone(), worker["credit"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&["workers", "org.example.One"]),
        [("first".into(), 1.into())]
    );
    assert_eq!(
        names(&["workers"]),
        [("first".into(), 1.into()), ("plant".into(), 7.into())]
    );
    let table = broker.run(&["workers", "org.example.Other"]);
    assert_eq!(
        (table.code, table.stdout.lines().count()),
        (Some(0), 2),
        "{table:?}"
    );

    let ended = broker.run(&["workers", "org.example.None"]);
    ended.failed(3, "plant: nobody serves org.example.None;");
}

#[test]
fn the_broker_tells_its_version_and_limits() {
    let broker = Broker::start();
    let ended = broker.run(&["broker"]);
    assert!(
        ended.stdout.contains("\nlimits.body_bytes       8 MiB\n"),
        "{}",
        ended.stdout
    );
    let document = &broker.run(&["broker", "--output", "json"]).json()[0];
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["limits"]["body_bytes"], 8 << 20);
}

#[test]
fn ping_is_a_line_for_each_round_trip_and_a_summary() {
    let broker = Broker::start();
    let ended = broker.run(&["ping", "--count", "3", "--interval", "0"]);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!((ended.code, lines.len()), (Some(0), 4), "{}", ended.stdout);
    assert!(lines[2].starts_with(&format!("answer from {}: seq=3 time=", broker.endpoint)));
    assert!(lines[3].starts_with("3 sent, 3 answered, 0 % lost; round trip min/avg/max "));

    let ended = broker.run(&["ping", "-n", "2", "-i", "0", "-o", "json"]);
    assert_eq!(ended.json().len(), 2);
    assert!(ended.json()[1]["round_trip_ms"].is_f64());
}

#[test]
fn without_a_broker_every_question_is_exit_code_6() {
    for command in ["services", "workers", "broker", "ping"] {
        let absent = [
            command,
            "--broker",
            "tcp://127.0.0.1:1",
            "--timeout",
            "100ms",
        ];
        let ended = Ended::of(plant(&absent).output().unwrap());
        ended.failed(6, "plant: no broker at tcp://127.0.0.1:1 (");
    }
}

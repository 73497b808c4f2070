//! `plant worker`: commands, the drain, and what it tells.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;

use serde_json::json;

use crate::harness::{Broker, Ended, in_background, plant};

#[test]
fn a_command_makes_the_answer_of_the_body() {
    let broker = Broker::start();
    let mut worker = broker.worker(&["org.example.Upper", "--exec", "tr a-z A-Z", "--verbose"]);
    broker
        .run(&["request", "org.example.Upper", "hello ", "world"])
        .printed("HELLO WORLD\n");
    let event = worker.event("answered");
    assert_eq!(event["request_bytes"], 11);
    assert_eq!(event["answer_bytes"], 11);
}

#[test]
fn several_requests_are_worked_on_at_once() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meeting");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    // Each end of the pipe waits for the other: one after the other they would wait for ever.
    let path = path.display();
    let command = format!("case $(cat) in give) echo met >{path};; take) cat {path};; esac");
    let _worker = broker.worker(&["org.example.Meet", "--exec", &command, "--concurrency", "2"]);

    let giving = in_background(broker.plant(&["request", "org.example.Meet", "give", "-t", "30s"]));
    broker
        .run(&["request", "org.example.Meet", "take", "-t", "30s"])
        .printed("met\n");
    giving.join().unwrap().printed("\n");
}

#[test]
fn a_stop_finishes_the_request_that_is_worked_on() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answer");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let command = format!("cat {}", path.display());
    let mut worker = broker.worker(&["org.example.Late", "--exec", &command]);
    let request = in_background(broker.plant(&["request", "org.example.Late", "x", "-t", "30s"]));
    // Opens when the command has opened its end.
    let mut answer = OpenOptions::new().write(true).open(&path).unwrap();

    worker.terminate();
    answer.write_all(b"done").unwrap();
    drop(answer);

    request.join().unwrap().printed("done\n");
    assert_eq!(
        worker.event("stopped"),
        json!({ "event": "stopped", "answered": 1, "failed": 0, "given_up": 0 })
    );
    assert_eq!(worker.wait().code(), Some(0));
}

#[test]
fn a_worker_without_a_broker_is_exit_code_6() {
    let absent = [
        "worker",
        "x",
        "--echo",
        "--broker",
        "tcp://127.0.0.1:1",
        "-t",
        "100ms",
    ];
    let ended = Ended::of(plant(&absent).output().unwrap());
    ended.failed(6, "plant: cannot register at tcp://127.0.0.1:1 (");
}

#[test]
fn the_services_of_the_broker_itself_are_not_for_workers() {
    let broker = Broker::start();
    for service in ["mmi.service", "org.plantd.Broker"] {
        let line = format!("plant: service {service:?}: the broker answers for org.plantd.Broker");
        broker.run(&["worker", service, "--echo"]).failed(64, &line);
    }
}

//! `plant bench`: a load, and the report on it.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Broker, Ended};

const PERCENTILES: [&str; 5] = ["p50", "p90", "p99", "p99_9", "max"];
const BUSES: &str = "[{name: event, frontend: tcp://127.0.0.1:0, backend: tcp://127.0.0.1:0}]";

fn report(ended: &Ended) -> Value {
    let [report] = &ended.json()[..] else {
        panic!("one report: {ended:?}");
    };
    report.clone()
}

fn count(report: &Value, key: &str) -> u64 {
    report[key].as_u64().unwrap()
}

#[test]
fn a_rate_is_due_at_equal_distances_and_each_request_is_counted() {
    let broker = Broker::start();
    let _worker = broker.worker(&["org.example.Echo", "--echo", "--concurrency", "100"]);
    let at_a_rate = ["bench", "request", "org.example.Echo", "--rate", "200"];
    let moment = ["--duration", "250ms", "--size", "1000", "-o", "json"];
    let ended = broker.run(&[&at_a_rate[..], &moment].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = report(&ended);
    assert_eq!(count(&report, "sent") + count(&report, "not_sent"), 50);
    assert_eq!(count(&report, "answered"), count(&report, "sent"));
    assert_eq!(count(&report, "failed") + count(&report, "given_up"), 0);
    assert_eq!(report["body_bytes"], 1000);
    assert_eq!(
        (&report["rate"], &report["window"]),
        (&json!(200.0), &Value::Null)
    );
    let latencies = PERCENTILES.map(|key| report["latency_ms"][key].as_f64().unwrap());
    assert!(latencies[0] > 0.0);
    assert!(latencies.is_sorted(), "{latencies:?}");
}

#[test]
fn a_window_is_kept_full_and_the_report_is_text_for_people() {
    let broker = Broker::start();
    let _worker = broker.worker(&["org.example.Echo", "--echo", "--concurrency", "8"]);
    let window = ["--window", "8", "--duration", "100ms"];
    let ended =
        broker.run(&[&["bench", "request", "org.example.Echo", "hi"], &window[..]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let [counts, latency] = lines[..] else {
        panic!("two lines: {lines:?}");
    };
    assert!(
        counts.starts_with("org.example.Echo, 2 bytes, 8 unanswered: ")
            && counts.contains(" 0 failed in "),
        "{counts}"
    );
    assert!(
        latency.starts_with("latency from when one was due: p50 "),
        "{latency}"
    );
}

#[test]
fn a_service_that_stalls_is_waited_for_by_all_that_were_due() {
    let broker = Broker::start();
    let _worker = broker.worker(&["org.example.Slow", "--exec", "sleep 0.1"]);
    // Ten are due within 100 ms, and one at a time is answered in 100 ms.
    let stalled = ["bench", "request", "org.example.Slow", "--rate", "100"];
    let ended = broker.run(&[&stalled[..], &["--duration", "100ms", "-o", "json"]].concat());
    let report = report(&ended);
    assert_eq!(count(&report, "answered"), 10, "{}", ended.stderr);
    assert!(report["latency_ms"]["max"].as_f64().unwrap() >= 900.0);
    assert!(report["latency_ms"]["p50"].as_f64().unwrap() >= 400.0);
}

#[test]
fn failures_are_counted_by_code_and_the_first_gives_the_exit_code() {
    let broker = Broker::start();
    let _worker = broker.worker(&["org.example.Bad", "--exec", "exit 3"]);
    let failing = ["bench", "request", "org.example.Bad", "--duration", "100ms"];
    let ended = broker.run(&[&failing[..], &["-o", "json"]].concat());
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    let report = report(&ended);
    assert!(count(&report, "failed") > 0);
    assert_eq!(report["failed"], report["errors"]["worker-error"]);
    assert_eq!(report["latency_ms"], Value::Null);
    assert!(
        ended.stderr.ends_with(" requests failed\n"),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_interrupt_ends_it_with_the_report() {
    let broker = Broker::start();
    let mut worker = broker.worker(&["org.example.Echo", "--echo", "--verbose"]);
    let endless = ["bench", "request", "org.example.Echo", "--duration", "1h"];
    let mut command = broker.plant(&[&endless[..], &["-o", "json"]].concat());
    let asking = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    worker.event("answered");
    interrupt(asking.id());
    let ended = Ended::of(asking.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = report(&ended);
    assert!(count(&report, "answered") > 0);
    assert_eq!(count(&report, "answered"), count(&report, "sent"));
}

#[test]
fn a_second_interrupt_gives_up_what_is_unanswered() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("begun");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let stuck = format!("echo > '{}'; sleep 1000", fifo.display());
    let _worker = broker.worker(&["org.example.Stuck", "--exec", &stuck]);
    let stuck = ["bench", "request", "org.example.Stuck", "--timeout", "1h"];
    let mut command = broker.plant(&[&stuck[..], &["-o", "json"]].concat());
    let mut asking = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(std::fs::read_to_string(&fifo).unwrap(), "\n");
    // Signals that are pending at once are one signal: they are sent until both have been taken.
    while asking.try_wait().unwrap().is_none() {
        interrupt(asking.id());
        std::thread::yield_now();
    }
    let ended = Ended::of(asking.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(count(&report(&ended), "given_up"), 1);
}

#[test]
fn a_load_on_a_service_that_nobody_serves_is_exit_code_3() {
    let broker = Broker::start();
    broker
        .run(&["bench", "request", "nobody.serves.This"])
        .failed(3, "plant: nobody serves nobody.serves.This;");
}

#[test]
fn every_sink_of_a_bus_gets_what_is_due_and_says_how_late() {
    let broker = Broker::with_buses(BUSES);
    let at_a_rate = ["bench", "bus", "event", "--sinks", "3", "--rate", "200"];
    let moment = ["--duration", "250ms", "--size", "1000", "-o", "json"];
    let ended = broker.run(&[&at_a_rate[..], &moment].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = report(&ended);
    assert_eq!(count(&report, "published"), 50);
    assert_eq!(count(&report, "received"), 150);
    for nothing in ["not_published", "missed", "outstanding"] {
        assert_eq!(count(&report, nothing), 0, "{nothing}");
    }
    let latencies = PERCENTILES.map(|key| report["latency_ms"][key].as_f64().unwrap());
    assert!(latencies[0] > 0.0);
    assert!(latencies.is_sorted(), "{latencies:?}");
}

#[test]
fn a_window_of_messages_is_kept_on_its_way() {
    let broker = Broker::with_buses(BUSES);
    let window = ["bench", "bus", "event", "--window", "100"];
    let ended = broker.run(&[&window[..], &["--duration", "100ms"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let [counts, latency] = lines[..] else {
        panic!("two lines: {lines:?}");
    };
    assert!(
        counts.starts_with("event, 64 bytes, sinks: 1, 100 on their way: ")
            && counts.contains(" 0 missed in "),
        "{counts}"
    );
    assert!(
        latency.starts_with("latency from when one was due: p50 "),
        "{latency}"
    );
}

#[test]
fn what_a_bus_drops_is_missed_and_holds_no_window_back() {
    let outbox =
        "[{name: event, frontend: tcp://127.0.0.1:0, backend: tcp://127.0.0.1:0, outbox: 1KiB}]";
    let broker = Broker::with_buses(outbox);
    let crowd = ["bench", "bus", "event", "--window", "100", "--size", "1000"];
    let ended = broker.run(&[&crowd[..], &["--duration", "1s", "-o", "json"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = report(&ended);
    let [published, received, missed] =
        ["published", "received", "missed"].map(|key| count(&report, key));
    assert!(received > 0 && missed > 0, "{report}");
    assert!(published > 100, "{report}");
    assert_eq!(received + missed, published);
    assert_eq!(count(&report, "outstanding"), 0);
}

#[test]
fn a_load_on_a_bus_that_is_not_there_names_those_that_are() {
    let broker = Broker::with_buses(BUSES);
    let line = "plant: the broker has no bus \"events\"; it has: event";
    broker.run(&["bench", "bus", "events"]).failed(64, line);
}

#[test]
fn an_interrupt_ends_a_load_on_a_bus_with_the_report() {
    let broker = Broker::with_buses(BUSES);
    let endless = ["bench", "bus", "event", "--window", "10"];
    let mut command = broker.plant(&[&endless[..], &["--duration", "1h", "-o", "json"]].concat());
    let measuring = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    loop {
        let listing = &broker.run(&["bus", "list", "-o", "json"]).json()[0];
        if listing["buses"][0]["messages"] != 0 {
            break;
        }
    }
    interrupt(measuring.id());
    let ended = Ended::of(measuring.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = report(&ended);
    assert!(count(&report, "received") > 0);
    assert_eq!(count(&report, "received"), count(&report, "published"));
}

fn interrupt(id: u32) {
    let id = rustix::process::Pid::from_raw(id.try_into().unwrap()).unwrap();
    // A process that has ended meanwhile is what is waited for.
    let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
}

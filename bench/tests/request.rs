//! The smallest series with every peer that is here, and the shape of what it prints.

use std::process::Command;

use serde_json::Value;

/// One worker, one service, a full window: every kind of broker is measured in it, and idle workers.
const CASE: &str = "window=500 body=64 workers=1 services=1 idle=0";

/// Runs `plantd-bench request` for a moment and returns what it prints.
fn request(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_plantd-bench"))
        .args(["request", "--quick", "--seconds", "0.02"])
        .args(arguments)
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("it prints text")
}

fn list<'a>(report: &'a Value, key: &str) -> &'a [Value] {
    report[key].as_array().expect("a list")
}

#[test]
fn each_peer_has_a_row_or_is_said_to_be_missing() {
    let report: Value = serde_json::from_str(&request(&["--json", "--only", CASE])).unwrap();
    let missing = list(&report, "missing").iter();
    let missing: Vec<&str> = missing.map(|line| line.as_str().unwrap()).collect();
    let mut expected = vec![
        ("MDP/0.2", "plantd"),
        ("MDP/0.2", "libzmq MDP loop"),
        ("MDP/0.2", "plantd"),
        ("MDP/0.3", "plantd"),
        ("MDP/0.3", "libzmq forwarding"),
        ("MDP/0.3", "zeromq forwarding"),
        ("MDP/0.3", "NATS"),
        ("MDP/0.3", "NATS, fresh inboxes"),
        ("MDP/0.3", "plantd"),
    ];
    let is_missing = |broker: &str| {
        missing
            .iter()
            .any(|line| line.starts_with(&format!("{broker}: ")))
    };
    expected.retain(|(_, broker)| !is_missing(broker));
    let rows = list(&report, "rows");
    let name = |row: &Value, path: &str| row.pointer(path).unwrap().as_str().unwrap().to_owned();
    let found: Vec<_> = rows
        .iter()
        .map(|row| (name(row, "/case/dialect"), name(row, "/broker")))
        .collect();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(dialect, broker)| (dialect.to_owned(), broker.to_owned()))
        .collect();
    assert_eq!(found, expected);
    for row in rows {
        let median = &row["median"];
        for key in ["requests_per_second", "cpu_us", "busy"] {
            assert!(median[key].as_f64().unwrap() > 0.0, "{key} of {row}");
        }
        let is_first = row["broker"] == "plantd" && row["case"]["idle"] == 0;
        assert_eq!(row["plantd_over"].is_null(), is_first, "{row}");
    }
}

#[test]
fn a_figure_is_judged_when_its_case_was_measured() {
    let report: Value = serde_json::from_str(&request(&["--json", "--only", "MDP/0.2"])).unwrap();
    let figures = list(&report, "figures");
    let judged = |start: &str| {
        let mut named = figures.iter().filter(|figure| {
            let what = figure["what"].as_str().unwrap();
            what.starts_with(start)
        });
        let first = named.next().expect("the figure is listed");
        assert_eq!(first["measured"].is_null(), first["met"].is_null());
        !first["met"].is_null()
    };
    assert!(judged("MDP/0.2, window 500, 16 workers: rate"));
    assert!(judged("MDP/0.2, window 1: p50"));
    assert!(judged("MDP/0.2, 99 idle workers"));
    // Not part of a smoke run.
    assert!(!judged("MDP/0.2, window 500, 64 workers: rate"));
    assert!(!judged("MDP/0.3, window 500: CPU / NATS's"));
    assert!(!judged("memory, idle"));
}

#[test]
fn the_table_has_a_line_for_each_row_and_each_figure() {
    let text = request(&["--only", "MDP/0.2 window=1 "]);
    let mut lines = text.lines();
    let mut after = |start: &str| {
        lines
            .find(|line| line.starts_with(start))
            .expect("the table has a head");
        let rows = lines.by_ref().take_while(|line| !line.is_empty());
        rows.map(str::to_owned).collect::<Vec<_>>()
    };
    let rows = after("protocol  window  body  workers  services  idle  broker");
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.starts_with("MDP/0.2 ")));
    assert!(rows[0].contains(" plantd "));
    assert!(rows[1].contains(" libzmq MDP loop "));
    let figures = after("figure ");
    assert!(figures.len() > 10);
    for figure in figures {
        let met = ["yes", "no", "not measured"];
        assert!(met.iter().any(|met| figure.ends_with(met)), "{figure}");
    }
}

#[test]
fn memory_is_measured_of_a_thousand_connections() {
    let report: Value = serde_json::from_str(&request(&["--json", "--only", "memory"])).unwrap();
    assert!(list(&report, "rows").is_empty());
    let memory = &report["memory"];
    assert_eq!(memory["connections"], 1000);
    for key in ["idle_bytes", "connection_bytes", "worker_bytes"] {
        assert!(memory[key].as_f64().unwrap() > 0.0, "{key} of {memory}");
    }
}

//! The smallest series of buses, and the shape of what it prints.

use std::process::Command;

use serde_json::Value;

/// Runs `plantd-bench bus` for a moment and returns what it prints.
fn bus(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_plantd-bench"))
        .args(["bus", "--quick", "--seconds", "0.02"])
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
fn every_bus_delivers_everything_and_has_a_row() {
    let case = "subscribers=4 body=64 subscriptions=1";
    let report: Value = serde_json::from_str(&bus(&["--json", "--only", case])).unwrap();
    let missing = list(&report, "missing").iter();
    let missing: Vec<&str> = missing.map(|line| line.as_str().unwrap()).collect();
    let mut expected = vec!["plantd", "libzmq proxy", "NATS", "zeromq loop"];
    expected.retain(|bus| !missing.iter().any(|line| line.starts_with(bus)));
    let rows = list(&report, "rows");
    let found: Vec<_> = rows
        .iter()
        .map(|row| row["broker"].as_str().unwrap())
        .collect();
    assert_eq!(found, expected);
    for row in rows {
        for key in ["messages_per_second", "cpu_us", "busy"] {
            let value = row["median"][key].as_f64();
            assert!(value.unwrap() > 0.0, "{key} of {row}");
        }
        assert_eq!(row["plantd_over"].is_null(), row["broker"] == "plantd");
    }
    assert!(report["standstill"].is_null());
}

#[test]
fn each_of_many_subscriptions_is_served() {
    let case = "subscribers=1 body=64 subscriptions=10000";
    let text = bus(&["--only", case]);
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.trim_start().starts_with("1    64          10000  "))
        .collect();
    assert!(rows[0].contains(" plantd "), "{text}");
    assert!(rows[1].contains(" libzmq proxy "), "{text}");
    assert!(text.contains(&format!("bus, {case}: rate / libzmq proxy's")));
}

#[test]
fn a_subscriber_that_stands_still_is_measured() {
    let report: Value = serde_json::from_str(&bus(&["--json", "--only", "standstill"])).unwrap();
    assert!(list(&report, "rows").is_empty());
    for key in ["p99_without_us", "p99_beside_us", "p99_ratio"] {
        assert!(report["standstill"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    let figures = list(&report, "figures").iter();
    let mut judged = figures.filter(|figure| !figure["met"].is_null());
    let figure = judged.next().expect("one figure is judged");
    let what = figure["what"].as_str().unwrap();
    assert!(what.contains("stands still"), "{what}");
    assert!(judged.next().is_none());
}

//! The smallest series of state services, and the shape of what it prints.

use std::process::Command;

use serde_json::Value;

/// Runs `plantd-bench` for a moment and returns what it prints.
fn bench(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_plantd-bench"))
        .args(arguments)
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("it prints text")
}

fn state(only: &str) -> Value {
    let quick = ["state", "--quick", "--seconds", "0.02"];
    let text = bench(&[&quick[..], &["--json", "--only", only]].concat());
    serde_json::from_str(&text).expect("it prints JSON")
}

fn list<'a>(report: &'a Value, key: &str) -> &'a [Value] {
    report[key].as_array().expect("a list")
}

/// The services that were not said to be missing.
fn present(report: &Value) -> Vec<&'static str> {
    let missing = list(report, "missing").iter();
    let missing: Vec<&str> = missing.map(|line| line.as_str().expect("a text")).collect();
    let mut services = vec!["plantd", "plantd, direct", "NATS KV", "Redis"];
    services.retain(|service| !missing.iter().any(|line| line.starts_with(service)));
    services
}

#[test]
fn every_service_that_is_there_answers_and_has_a_row() {
    for case in ["set clients=1 window=500", "get clients=50 window=1"] {
        let report = state(case);
        let rows = list(&report, "rows");
        let services = rows.iter().map(|row| row["service"].as_str().unwrap());
        assert_eq!(services.collect::<Vec<_>>(), present(&report));
        for row in rows {
            for key in ["operations_per_second", "cpu_us", "busy"] {
                let value = row["median"][key].as_f64();
                assert!(value.unwrap() > 0.0, "{key} of {row}");
            }
            let has_latency = row["case"]["window"] == 1;
            assert_eq!(row["median"]["p99_us"].is_f64(), has_latency, "{row}");
            let service = row["service"].as_str().unwrap();
            assert_eq!(row["plantd_over"].is_null(), service == "plantd");
            assert_eq!(row["direct_over"].is_null(), service.starts_with("plantd"));
        }
        let figures = list(&report, "figures").iter();
        for figure in figures.filter(|figure| !figure["met"].is_null()) {
            let what = figure["what"].as_str().unwrap();
            assert!(what.contains(case), "{what}");
        }
    }
}

#[test]
fn services_are_measured_without_a_subscriber_too() {
    let text = bench(&[
        "state",
        "--quick",
        "--seconds",
        "0.02",
        "--unsubscribed",
        "--only",
        "set clients=1 window=1",
    ]);
    assert!(text.contains("nobody subscribes to all changes"), "{text}");
}

#[test]
fn reads_beside_a_flood_of_writes_are_measured() {
    let report = state("flood");
    assert!(list(&report, "rows").is_empty());
    let floods = list(&report, "floods");
    assert_eq!(floods.len(), present(&report).len());
    for flood in floods {
        for key in ["p50_us", "p99_us", "writes_per_second"] {
            assert!(flood[key].as_f64().unwrap() > 0.0, "{key} of {flood}");
        }
    }
}

#[test]
fn a_store_is_filled_measured_and_opened_again() {
    let few = ["--keys", "2000", "--seconds", "0.02", "--json"];
    let text = bench(&[&["state-large"], &few[..]].concat());
    let report: Value = serde_json::from_str(&text).expect("it prints JSON");
    assert_eq!(report["keys"], 2000);
    for key in ["filled_seconds", "opened_seconds", "resident_bytes"] {
        assert!(report[key].as_f64().unwrap() > 0.0, "{key} of {report}");
    }
    for key in ["set", "get", "single_get"] {
        let rate = report[key]["operations_per_second"].as_f64();
        assert!(rate.unwrap() > 0.0, "{key} of {report}");
    }
}

use jiff::Timestamp;

use super::*;
use crate::host::Host;

fn service() -> Service {
    let readings = Host::new().read().into_iter();
    let latest = readings.map(|reading| Measurement::new(reading, "here", Timestamp::UNIX_EPOCH));
    Service {
        latest: watch::channel(latest.collect()).1,
        interval: watch::Sender::new(Duration::from_secs(1)),
    }
}

fn ask(service: &Service, frames: &[&str]) -> Value {
    let reply = service.answer(&Body::from_frames(frames)).unwrap();
    assert_eq!(
        reply.properties.get("content-type"),
        Some("application/json")
    );
    let mut answer: Value = serde_json::from_str(reply.body.text().unwrap()).unwrap();
    assert_eq!(answer["success"], true);
    answer["data"].take()
}

#[test]
fn list_describes_every_metric() {
    let listed = ask(&service(), &["list"]);
    let listed = listed["metrics"].as_array().unwrap();
    assert_eq!(listed.len(), KINDS.len());
    assert_eq!(
        listed[0],
        json!({
            "name": "cpu.utilization",
            "units": "ratio",
            "description": "CPU time in use, of all CPUs; 0 to 1",
            "topic": "org.plantd.metric.host.cpu.utilization",
        })
    );
}

#[test]
fn latest_gives_what_was_published_last() {
    let service = service();
    let all = ask(&service, &["latest", ""]);
    assert_eq!(
        all["metrics"].as_array().unwrap().len(),
        service.latest.borrow().len()
    );
    let one = ask(&service, &["latest", r#"{"name":"memory.total"}"#]);
    let [one] = &one["metrics"].as_array().unwrap()[..] else {
        panic!("{one}");
    };
    assert_eq!(
        (&one["name"], &one["units"]),
        (&"memory.total".into(), &"bytes".into())
    );
}

#[test]
fn the_interval_is_told_and_set() {
    let service = service();
    assert_eq!(ask(&service, &["interval"]), json!({"seconds": 1.0}));
    let set = ask(&service, &["interval", r#"{"seconds":0.5}"#]);
    assert_eq!(set, json!({"seconds": 0.5}));
    assert_eq!(
        *service.interval.subscribe().borrow(),
        Duration::from_millis(500)
    );
    assert_eq!(ask(&service, &["interval", "{}"]), json!({"seconds": 0.5}));
}

#[test]
fn bad_input_is_told_what_would_be_right() {
    let service = service();
    for (frames, message) in [
        (
            &[][..],
            "expected an operation and, after it, a JSON object",
        ),
        (
            &["list", "{}", ""],
            "expected an operation and, after it, a JSON object",
        ),
        (
            &["lost"],
            "unknown operation lost; expected list, latest or interval",
        ),
        (&["latest", "cpu"], "expected a JSON object as arguments: "),
        (
            &["latest", r#"["cpu"]"#],
            "expected a JSON object as arguments: ",
        ),
        (
            &["latest", r#"{"nmae":"cpu"}"#],
            "unknown field `nmae`, expected `name`",
        ),
        (
            &["latest", r#"{"name":"cpu"}"#],
            r#"unknown metric "cpu"; the operation list names all"#,
        ),
        (&["list", r#"{"name":"cpu"}"#], "unknown field `name`"),
        (&["interval", r#"{"seconds":"1"}"#], "expected f64"),
        (
            &["interval", r#"{"seconds":0.1}"#],
            "seconds = 0.1: expected 0.25 to 3600",
        ),
        (
            &["interval", r#"{"seconds":-1}"#],
            "seconds = -1: expected 0.25 to 3600",
        ),
        (
            &["interval", r#"{"seconds":3601}"#],
            "seconds = 3601: expected 0.25 to 3600",
        ),
    ] {
        let error = service.answer(&Body::from_frames(frames)).unwrap_err();
        assert_eq!((&*error.code, error.retryable), ("bad-request", false));
        assert!(error.message.contains(message), "{}", error.message);
    }
    assert_eq!(ask(&service, &["interval"]), json!({"seconds": 1.0}));
}

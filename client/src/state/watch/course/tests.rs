use serde_json::json;

use super::*;

fn part(json: serde_json::Value) -> Part {
    serde_json::from_str(&json.to_string()).unwrap()
}

fn set(key: &str, version: u64) -> serde_json::Value {
    json!({"event": "set", "key": key, "version": version, "previous": 0, "timestamp": 1, "value": version})
}

fn value(key: &str, version: u64) -> serde_json::Value {
    json!({"event": "value", "key": key, "version": version, "timestamp": 1, "value": version})
}

fn refusal(code: &str, sequence: u64) -> Refusal {
    Refusal {
        code: code.to_owned(),
        message: String::new(),
        detail: super::super::super::error::Detail {
            sequence,
            ..Default::default()
        },
    }
}

/// What is told, in short: `+key version` for a change, `=key version` for a value.
fn told(course: &mut Course) -> Vec<String> {
    std::iter::from_fn(|| course.poll_item())
        .map(|item| match item {
            WatchItem::SnapshotBegin => "begin".to_owned(),
            WatchItem::SnapshotEnd => "end".to_owned(),
            WatchItem::Value(change) => format!("={} {}", change.key, change.version),
            WatchItem::Change(change) => format!("+{} {}", change.key, change.version),
            WatchItem::Gap { after, until } => format!("gap {after} {until}"),
        })
        .collect()
}

#[test]
fn a_watch_from_now_on_goes_on_after_what_it_was_told() {
    let mut course = Course::new(Begin::Now);
    assert!(!course.has_begun());
    course
        .handle_part(part(json!({"sequence": 7, "events": []})))
        .unwrap();
    assert!(course.has_begun());
    assert_eq!(course.begin(), Begin::From(7));
    let news = json!({"sequence": 9, "events": [set("a", 8), set("b", 9)]});
    course.handle_part(part(news)).unwrap();
    assert_eq!(told(&mut course), ["+a 8", "+b 9"]);
    assert_eq!(course.begin(), Begin::From(9));
}

#[test]
fn what_was_told_is_not_told_again() {
    let mut course = Course::new(Begin::From(3));
    course
        .handle_part(part(
            json!({"sequence": 5, "events": [set("a", 4), set("a", 5)]}),
        ))
        .unwrap();
    assert!(matches!(
        course.handle_failure(RequestError::ConnectionLost),
        Next::Again
    ));
    course.handle_asked();
    let overlap = json!({"sequence": 6, "events": [set("a", 5), set("a", 6)]});
    course.handle_part(part(overlap)).unwrap();
    assert_eq!(told(&mut course), ["+a 4", "+a 5", "+a 6"]);
}

#[test]
fn what_is_not_taken_is_not_counted_as_told() {
    let mut course = Course::new(Begin::From(3));
    course
        .handle_part(part(
            json!({"sequence": 5, "events": [set("a", 4), set("a", 5)]}),
        ))
        .unwrap();
    assert_eq!(course.told(), None);
    course.poll_item().unwrap();
    assert_eq!(course.told(), None);
    course.poll_item().unwrap();
    assert_eq!(course.told(), Some(5));
}

#[test]
fn a_snapshot_joins_the_changes_after_it() {
    let mut course = Course::new(Begin::Snapshot);
    let first = json!({"sequence": 9, "snapshot": true, "events": [value("a", 2)]});
    course.handle_part(part(first)).unwrap();
    assert_eq!(course.begin(), Begin::Snapshot);
    let second = json!({"sequence": 9, "snapshot": true, "events": [value("b", 9)]});
    course.handle_part(part(second)).unwrap();
    let last = json!({"sequence": 10, "events": [set("a", 10)]});
    course.handle_part(part(last)).unwrap();
    assert_eq!(told(&mut course), ["begin", "=a 2", "=b 9", "end", "+a 10"]);
    assert_eq!(course.begin(), Begin::From(10));
}

#[test]
fn a_snapshot_that_was_cut_off_begins_again() {
    let mut course = Course::new(Begin::Snapshot);
    let first = json!({"sequence": 9, "snapshot": true, "events": [value("a", 2)]});
    course.handle_part(part(first)).unwrap();
    assert!(matches!(
        course.handle_refusal(refusal("draining", 0)),
        Next::Again
    ));
    course.handle_asked();
    let whole = json!({"sequence": 11, "events": [value("b", 9)]});
    course.handle_part(part(whole)).unwrap();
    assert_eq!(told(&mut course), ["begin", "=a 2", "begin", "=b 9", "end"]);
}

#[test]
fn a_gap_is_told_and_the_watch_goes_on_after_it() {
    let mut course = Course::new(Begin::From(3));
    assert!(matches!(
        course.handle_refusal(refusal("gap", 90)),
        Next::Again
    ));
    assert_eq!(course.begin(), Begin::From(90));
    course.handle_asked();
    course
        .handle_part(part(json!({"sequence": 91, "events": [set("a", 91)]})))
        .unwrap();
    assert_eq!(told(&mut course), ["gap 3 90", "+a 91"]);
}

#[test]
fn a_gap_after_a_snapshot_is_closed_by_another() {
    let mut course = Course::new(Begin::Snapshot);
    course
        .handle_part(part(json!({"sequence": 5, "events": []})))
        .unwrap();
    assert!(matches!(
        course.handle_refusal(refusal("gap", 90)),
        Next::Again
    ));
    course.handle_asked();
    course
        .handle_part(part(json!({"sequence": 95, "events": [value("a", 91)]})))
        .unwrap();
    let expected = ["begin", "end", "gap 5 90", "begin", "=a 91", "end"];
    assert_eq!(told(&mut course), expected);
    assert_eq!(course.begin(), Begin::From(95));
}

#[test]
fn a_store_that_went_back_is_told_as_a_gap() {
    let mut course = Course::new(Begin::From(100));
    assert!(matches!(
        course.handle_refusal(refusal("gap", 40)),
        Next::Again
    ));
    course.handle_asked();
    course
        .handle_part(part(json!({"sequence": 41, "events": [set("a", 41)]})))
        .unwrap();
    assert_eq!(told(&mut course), ["gap 100 40", "+a 41"]);
}

#[test]
fn a_deleted_scope_and_what_is_refused_for_good_end_it() {
    let mut course = Course::new(Begin::Now);
    let ended = course.handle_refusal(refusal("no-scope", 0));
    assert!(matches!(ended, Next::Ended(WatchError::NoScope)));
    let Next::Ended(error) = course.handle_refusal(refusal("bad-request", 0)) else {
        panic!("it would only be refused again");
    };
    assert_eq!(error.code(), "bad-request");
}

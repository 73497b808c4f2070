//! Reports as values, with the clock handed in.

use std::time::Duration;

use jiff::Timestamp;

use super::report::{Item, Reader, Report};
use super::*;

fn item(name: &str, condition: Condition, reason: Option<&str>) -> Item {
    let updated: Timestamp = "2024-01-15T10:30:00.25Z".parse().expect("a timestamp");
    Item {
        name: name.to_owned(),
        condition,
        reason: reason.map(str::to_owned),
        updated,
    }
}

#[test]
fn the_health_of_the_protocol_byte_for_byte() {
    let up = Report(vec![item("broker_connection", Condition::Up, None)]);
    assert_eq!(
        up.plain(Reader::Remote),
        concat!(
            r#"{"version":"1","releaseId":"0.1.0","status":"UP","checks":["#,
            r#"{"name":"broker_connection","status":"UP","lastUpdated":"2024-01-15T10:30:00Z"}]}"#
        )
    );
    assert_eq!(
        Report(Vec::new()).plain(Reader::Local),
        r#"{"version":"1","releaseId":"0.1.0","status":"UP","checks":[]}"#
    );
}

#[test]
fn a_reason_is_for_local_readers() {
    let down = Report(vec![item(
        "broker_connection",
        Condition::Down,
        Some("refused"),
    )]);
    let check =
        r#"{"name":"broker_connection","status":"DOWN","lastUpdated":"2024-01-15T10:30:00Z""#;
    assert!(
        down.plain(Reader::Local)
            .ends_with(&format!(r#"{check},"reason":"refused"}}]}}"#))
    );
    assert!(
        down.plain(Reader::Remote)
            .ends_with(&format!(r#"{check}}}]}}"#))
    );
    assert!(!down.ietf(Reader::Remote).contains("refused"));
    assert!(!down.is_up());
}

#[test]
fn the_shape_of_the_ietf_draft() {
    let report = Report(vec![
        item("broker_connection", Condition::Down, Some("refused")),
        item("disk", Condition::Degraded, Some("90 % full")),
        item("store", Condition::Up, None),
    ]);
    assert_eq!(
        report.ietf(Reader::Local),
        concat!(
            r#"{"status":"fail","version":"1","releaseId":"0.1.0","checks":{"#,
            r#""broker_connection":[{"status":"fail","time":"2024-01-15T10:30:00Z","output":"refused"}],"#,
            r#""disk":[{"status":"warn","time":"2024-01-15T10:30:00Z","output":"90 % full"}],"#,
            r#""store":[{"status":"pass","time":"2024-01-15T10:30:00Z"}]}}"#
        )
    );
    let degraded = Report(vec![item("disk", Condition::Degraded, None)]);
    assert!(
        degraded.is_up()
            && degraded
                .ietf(Reader::Local)
                .starts_with(r#"{"status":"warn""#)
    );
}

#[test]
fn a_check_is_down_until_it_is_up() {
    let health = Health::new(Shutdown::new());
    assert!(health.health().is_up());

    let check = health.check("broker_connection");
    assert!(!health.health().is_up());
    check.up();
    assert!(health.health().is_up());
    health.check("broker_connection").down("refused");
    assert!(!health.health().is_up());
    assert_eq!(health.health().0.len(), 1);
}

#[test]
fn ready_from_started_to_the_first_moment_of_the_stop() {
    let shutdown = Shutdown::new();
    let health = Health::new(shutdown.clone());
    let reason = |health: &Health| health.readiness().0[0].reason.clone();

    assert_eq!(reason(&health).as_deref(), Some("starting"));
    health.started();
    assert_eq!(reason(&health), None);
    health.check("broker_connection").down("refused");
    assert!(health.readiness().is_up());
    shutdown.request();
    assert_eq!(reason(&health).as_deref(), Some("draining"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
fn alive_while_every_loop_beats_whatever_the_checks_say() {
    let health = Health::new(Shutdown::new());
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let (router, _store) = (health.pulse("router", start), health.pulse("store", start));
    health.check("broker_connection").down("refused");

    router.beat(after(9));
    assert!(health.liveness(after(9)).is_up());
    let report = health.liveness(after(10));
    assert!(!report.is_up());
    let silent: Vec<_> = report
        .0
        .iter()
        .filter_map(|item| item.reason.clone())
        .collect();
    assert_eq!(silent, ["silent for 10 s"]);
}

#[tokio::test]
async fn a_check_follows_what_is_seen_until_nobody_tells_any_more() {
    let health = Health::new(Shutdown::new());
    let (told, seen) = watch::channel(Err("refused".to_owned()));
    let following = tokio::spawn(health.check("broker_connection").follow(seen, Clone::clone));
    while health.health().is_up() {
        tokio::task::yield_now().await;
    }
    told.send(Ok(None)).unwrap();
    while !health.health().is_up() {
        tokio::task::yield_now().await;
    }
    drop(told);
    following.await.unwrap();
}

//! A daemon that listens itself: what it refuses to open, and when it opens.

use plantd_client::Client;

use crate::running::{Broker, get, set, start_state};

#[test]
fn an_endpoint_that_others_can_reach_is_refused_with_the_line_that_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_plantd-state");
    let refused = plantd_test_process::program(program, folder.path())
        .args(["--endpoint", "tcp://*:9798", "--health-port", "0"])
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("tcp://*:9798"), "{told}");
    assert!(told.contains("\n    allow_anonymous: true"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_by_listens_when_it_takes_over_and_clients_go_on() {
    let broker = Broker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("state.db");
    let anywhere = [("PLANTD_STATE_ENDPOINT", "tcp://127.0.0.1:0")];
    let mut first = start_state(&broker, &database, &anywhere);
    let endpoint = first.told("state.bound", "endpoint");
    let there = [("PLANTD_STATE_ENDPOINT", endpoint.as_str())];
    let mut second = start_state(&broker, &database, &there);
    second.line_of("state.standby");
    assert!(!second.get("/healthz").contains("listener"));
    let client = Client::connect(&endpoint).unwrap();
    for index in 0..100 {
        set(&client, "a", index).await;
    }

    first.kill();

    second.line_of("state.takeover");
    assert_eq!(second.told("state.bound", "endpoint"), endpoint);
    assert_eq!(get(&client, "a").await, 99);
    second.health_says("listener", "UP");
    assert_eq!(second.terminate(), Some(0));
    broker.stop().await;
}

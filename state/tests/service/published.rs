//! Changes on the state bus: each once it is on disk, and every loss visible as a jump.

use plantd_client::{Sink, SinkEvent};
use serde_json::{Value, json};

use crate::plant::Plant;

pub(crate) async fn next(sink: &mut Sink) -> (String, Value) {
    loop {
        match sink.next().await.unwrap() {
            SinkEvent::Message(message) => {
                let topic = String::from_utf8(message.topic.as_bytes().to_vec()).unwrap();
                let text = message.body.text().unwrap();
                return (topic, serde_json::from_str(text).unwrap());
            }
            other => drop(other),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_published_with_its_sequence() {
    let plant = Plant::start().await;
    let builder = Sink::builder().broker(plant.broker.backend());
    let mut sink = builder.subscribe("org.plantd.state.").build().unwrap();
    sink.settled().await.unwrap();
    plant.set("a", 1).await;
    plant.set("a", "x".repeat(70_000)).await;
    let operations = json!([
        {"op": "delete", "key": "a"},
        {"op": "set", "key": "b", "value": {"on": true}},
    ]);
    plant
        .done(
            "batch",
            json!({"scope": "org.example", "operations": operations}),
        )
        .await;
    plant
        .done("delete-scope", json!({"scope": "org.example"}))
        .await;

    let mut told = Vec::new();
    for _ in 0..6 {
        let (topic, payload) = next(&mut sink).await;
        assert_eq!(topic, "org.plantd.state.org.example");
        told.push(payload);
    }
    let sequences: Vec<u64> = told
        .iter()
        .map(|it| it["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6]);
    let events: Vec<&str> = told
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        [
            "create-scope",
            "set",
            "set",
            "delete",
            "set",
            "delete-scope"
        ]
    );
    assert_eq!(
        (&told[1]["key"], &told[1]["value"]),
        (&json!("a"), &json!(1))
    );
    assert_eq!(
        (&told[2]["omitted"], told[2].get("value")),
        (&json!(true), None)
    );
    assert_eq!(told[3]["more"], 1);
    assert_eq!(told[4]["value"], json!({"on": true}));
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bus_nothing_is_published_and_everything_else_works() {
    let plant = Plant::start_with(&[("BUS_ENDPOINT", "")]).await;
    assert_eq!(plant.set("a", 1).await, 2);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_of_a_scope_say_whether_its_changes_come_to_subscribers() {
    let plant = Plant::start().await;
    plant.set("a", 1).await;
    let scope = json!({"scope": "org.example"});
    let stats = plant.done("stats", scope.clone()).await;
    assert_eq!(stats["published"], false);
    let mut sink = Sink::connect(plant.broker.backend()).unwrap();
    sink.subscribe("org.plantd.state.org.example").unwrap();
    let stats = loop {
        let stats = plant.done("stats", scope.clone()).await;
        if stats["published"] == true {
            break stats;
        }
    };
    // Every change from then on comes.
    plant.set("a", 2).await;
    while next(&mut sink).await.1["sequence"] != stats["sequence"].as_u64().unwrap() + 1 {}
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bus_that_is_away_has_no_room_for_is_counted_and_kept_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("ipc://{}/nobody", folder.path().display());
    let plant = Plant::start_with(&[("BUS_ENDPOINT", &nowhere)]).await;
    let unpublished = || {
        let metrics = plant.state.daemon.metrics.encode();
        let line = metrics.lines().find_map(|line| {
            line.strip_prefix("plantd_state_unpublished_total ")?
                .parse::<u64>()
                .ok()
        });
        line.unwrap()
    };
    let value = "x".repeat(60_000);
    let mut last = plant.set("a", &*value).await;
    assert_eq!(unpublished(), 0);
    while unpublished() == 0 {
        last = plant.set("a", &*value).await;
    }
    let get = json!({"scope": "org.example", "key": "a"});
    assert_eq!(plant.done("state-get", get).await["version"], last);
    plant.stop().await;
}

//! Watches: no change missed, none told twice, and an end that says why.

use plantd_client::{Body, ReplyStream};
use serde_json::{Value, json};

use crate::plant::{Broker, Plant, State};

const SCOPE: &str = "org.example";

async fn begin(plant: &Plant, fields: Value) -> ReplyStream {
    let body = Body::from_frames([b"watch", fields.to_string().as_bytes()]);
    let request = plant.client.request("org.plantd.State", body);
    request.stream(4).await.unwrap()
}

/// The next part.
async fn next(watch: &mut ReplyStream) -> Value {
    let part = watch.next().await.unwrap().unwrap();
    serde_json::from_str(part.body.text().unwrap()).unwrap()
}

/// Parts up to one that has told everything up to a sequence; their events.
async fn events_up_to(watch: &mut ReplyStream, sequence: u64) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let part = next(watch).await;
        assert_eq!(part["success"], true, "{part}");
        events.extend(part["data"]["events"].as_array().unwrap().clone());
        if part["data"]["sequence"].as_u64().unwrap() >= sequence
            && part["data"]["snapshot"] != true
        {
            return events;
        }
    }
}

fn keys(events: &[Value]) -> Vec<String> {
    let key = |event: &Value| {
        format!(
            "{} {}",
            event["event"].as_str().unwrap(),
            event["key"].as_str().unwrap_or("-")
        )
    };
    events.iter().map(key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_a_sequence_tells_every_change_after_it_once() {
    let plant = Plant::start().await;
    plant.set("a", 1).await;
    let at = plant.set("b", 1).await;
    plant.set("a", 2).await;
    let mut watch = begin(&plant, json!({"scope": SCOPE, "from": at})).await;
    plant
        .done("delete", json!({"scope": SCOPE, "key": "b"}))
        .await;
    let last = plant.set("c", 1).await;
    let events = events_up_to(&mut watch, last).await;
    assert_eq!(keys(&events), ["set a", "delete b", "set c"]);
    let versions: Vec<u64> = events
        .iter()
        .map(|e| e["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, [at + 1, at + 2, at + 3]);
    assert_eq!(events[0]["value"], 2);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_the_changes_after_it_join_without_a_gap() {
    let plant = Plant::start().await;
    plant
        .fill((0..2_500).map(|index| format!("key/{index:05}")))
        .await;
    let fields = json!({"scope": SCOPE, "snapshot": true, "prefix": "key/"});
    let mut watch = begin(&plant, fields).await;
    let first = next(&mut watch).await;
    assert_eq!(first["data"]["snapshot"], true);
    // While the rest of the snapshot waits for its reader.
    let mut last = 0;
    for index in [0, 1_700, 2_499] {
        last = plant.set(&format!("key/{index:05}"), 1).await;
    }
    let mut known = std::collections::BTreeMap::new();
    let mut events = first["data"]["events"].as_array().unwrap().clone();
    events.extend(events_up_to(&mut watch, last).await);
    for event in events {
        let key = event["key"].as_str().unwrap().to_owned();
        let version = event["version"].as_u64().unwrap();
        let before = known.insert(key, (version, event["value"].clone()));
        assert!(before.is_none_or(|(before, _)| before < version), "{event}");
    }
    assert_eq!(known.len(), 2_500);
    for index in [0, 1_700, 2_499] {
        assert_eq!(known[&format!("key/{index:05}")].1, 1);
    }
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_only_what_it_asked_for_and_its_sequence_goes_on() {
    let plant = Plant::start().await;
    let fields = json!({"scope": SCOPE, "key": "a/1", "values": false});
    plant.done("create-scope", json!({"scope": SCOPE})).await;
    let mut one = begin(&plant, fields).await;
    let mut some = begin(&plant, json!({"scope": SCOPE, "prefix": "a/"})).await;
    next(&mut one).await;
    next(&mut some).await;
    let operations = json!([
        {"op": "set", "key": "a/1", "value": 1},
        {"op": "set", "key": "a/2", "value": 1},
        {"op": "set", "key": "b/1", "value": 1},
    ]);
    plant
        .done("batch", json!({"scope": SCOPE, "operations": operations}))
        .await;
    let events = events_up_to(&mut one, 4).await;
    assert_eq!(keys(&events), ["set a/1"]);
    assert_eq!(events[0].get("value"), None);
    assert_eq!(events[0]["more"], 2);
    let events = events_up_to(&mut some, 4).await;
    assert_eq!(keys(&events), ["set a/1", "set a/2"]);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_by_saying_why() {
    let plant = Plant::start_with(&[("LIMITS_WATCHES", "1"), ("HISTORY_COUNT", "10")]).await;
    plant.set("a", 0).await;
    let mut watch = begin(&plant, json!({"scope": SCOPE})).await;
    next(&mut watch).await;
    assert_eq!(
        plant.refused("watch", json!({"scope": SCOPE})).await,
        "busy"
    );
    plant.done("delete-scope", json!({"scope": SCOPE})).await;
    assert_eq!(keys(&events_up_to(&mut watch, 3).await), ["delete-scope -"]);
    assert_eq!(next(&mut watch).await["code"], "no-scope");
    assert!(watch.next().await.is_none());

    // Created again, it goes on from where it was, and what was before is gone.
    plant
        .fill((0..1_200).map(|index| format!("key/{index}")))
        .await;
    let reply = plant.ask("watch", json!({"scope": SCOPE, "from": 5})).await;
    assert_eq!(reply["code"], "gap", "{reply}");
    assert!(reply["data"]["sequence"].as_u64().unwrap() > 1_200);

    let mut watch = begin(&plant, json!({"scope": SCOPE})).await;
    next(&mut watch).await;
    plant.state.daemon.shutdown.request();
    assert_eq!(next(&mut watch).await["code"], "draining");
    plant.state.ended().await.unwrap();
    plant.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_slow_misses_nothing() {
    let plant = Plant::start().await;
    plant.set("a", 0).await;
    // A window of one: what is not taken stays in the history.
    let fields = json!({"scope": SCOPE, "from": 0});
    let body = Body::from_frames([b"watch".as_slice(), fields.to_string().as_bytes()]);
    let watch = plant.client.request("org.plantd.State", body);
    let mut watch = watch.stream(1).await.unwrap();
    let last = plant
        .fill((0..20_000).map(|index| format!("key/{index}")))
        .await;
    let events = events_up_to(&mut watch, last).await;
    let versions: Vec<u64> = events
        .iter()
        .map(|e| e["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, (1..=last).collect::<Vec<_>>());
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_goes_on_after_restarts_sees_each_change_once() {
    let mut plant = Plant::start().await;
    let mut at = plant.set("a", 0).await;
    let mut seen = Vec::new();
    for round in 0..3 {
        let mut watch = begin(&plant, json!({"scope": SCOPE, "from": at})).await;
        let last = plant.set("a", round).await;
        for event in events_up_to(&mut watch, last).await {
            seen.push(event["version"].as_u64().unwrap());
        }
        at = last;
        // Written while nobody watches.
        plant.set("a", "between").await;
        let database = plant.database();
        plant.state.stop().await;
        plant.broker.stop().await;
        plant.broker = Broker::start().await;
        plant.state = State::start(&plant.broker, &database, &[]);
        plant.client = plantd_client::Client::connect(plant.broker.endpoint()).unwrap();
    }
    let first = seen[0];
    let expected: Vec<u64> = (first..first + seen.len() as u64).collect();
    assert_eq!(seen, expected);
    assert_eq!(seen.len(), 5);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_given_up_is_counted_no_more() {
    let plant = Plant::start().await;
    plant.set("a", 1).await;
    let mut watch = begin(&plant, json!({"scope": SCOPE, "snapshot": true})).await;
    next(&mut watch).await;
    let metrics = || plant.state.daemon.metrics.encode();
    assert!(metrics().contains("plantd_state_watches 1\n"));
    drop(watch);
    while !metrics().contains("plantd_state_watches 0\n") {
        tokio::task::yield_now().await;
    }
}

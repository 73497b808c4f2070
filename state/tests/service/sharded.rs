//! One shard of several: what it has, what it refuses, and what it holds of others.

use plantd_daemon::config::{Settings as _, Sources, load};
use serde_json::{Value, json};

use crate::plant::{Broker, Plant, State, get};
use crate::shards::{MAP, Shards};

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_refuses_the_scopes_of_others_in_every_operation() {
    let shards = Shards::start().await;
    let scope = "org.north.1";
    shards.set(scope, 1).await;
    let before = shards.done("stats", json!({"scope": scope})).await;
    for (operation, fields) in [
        ("create-scope", json!({})),
        ("delete-scope", json!({})),
        ("state-set", json!({"key": "a", "value": 2})),
        ("state-get", json!({"key": "a"})),
        ("delete", json!({"key": "a"})),
        ("touch", json!({"key": "a", "ttl": 1})),
        ("delete-prefix", json!({"prefix": ""})),
        ("list-keys", json!({})),
        ("history", json!({"key": "a"})),
        ("watch", json!({})),
        ("health", json!({})),
        ("stats", json!({})),
    ] {
        let mut all = json!({"scope": scope});
        let fields = fields.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(fields);
        let reply = shards.ask_shard("west", operation, all).await;
        assert_eq!(reply["code"], "wrong-shard", "{operation}: {reply}");
        let data = json!({"scope": scope, "shard": "north", "service": "org.plantd.State.north"});
        assert_eq!(reply["data"], data, "{operation}");
        let error = reply["error"].as_str().unwrap();
        assert!(error.contains("ask org.plantd.State.north"), "{error}");
    }
    let operations = json!([
        {"op": "set", "scope": "org.a.1", "key": "a", "value": 1},
        {"op": "check", "scope": scope, "key": "a", "if-version": 0},
    ]);
    let batch = json!({"operations": operations});
    let reply = shards.ask_shard("west", "batch", batch).await;
    assert_eq!(reply["code"], "wrong-shard", "{reply}");
    assert_eq!(reply["data"]["index"], 1);
    let held = shards.ask_shard("west", "list-scopes", json!({})).await;
    assert_eq!(held["data"], json!({"scopes": [], "count": 0}));
    let after = shards.done("stats", json!({"scope": scope})).await;
    assert_eq!(before, after);
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_of_other_shards_in_a_store_are_told_of_and_neither_served_nor_deleted() {
    let plant = Plant::start().await;
    for scope in ["org.a.1", "org.north.1", "org.north.2", "org.z"] {
        let set = json!({"scope": scope, "key": "a", "value": scope});
        plant.done("state-set", set).await;
    }
    let database = plant.database();
    let Plant {
        broker,
        state,
        client,
        folder,
    } = plant;
    state.stop().await;

    // The same store, as one of three shards.
    let variables = [("SHARDS", MAP), ("SHARD", "north")];
    let north = State::start(&broker, &database, &variables);
    let health = north.serve_health().await;
    let ask = async |operation: &str, fields: Value| {
        let frames = [operation.as_bytes(), fields.to_string().as_bytes()].map(<[u8]>::to_vec);
        let body = plantd_client::Body::from_frames(frames);
        let reply = client
            .request("org.plantd.State.north", body)
            .await
            .unwrap();
        serde_json::from_str::<Value>(reply.body.text().unwrap()).unwrap()
    };
    let listed = ask("list-scopes", json!({"limit": 1})).await;
    let page = json!({"scopes": ["org.north.1"], "count": 1, "next": "org.north.1"});
    assert_eq!(listed["data"], page);
    let listed = ask("list-scopes", json!({"limit": 1, "after": "org.north.1"})).await;
    assert_eq!(
        listed["data"],
        json!({"scopes": ["org.north.2"], "count": 1})
    );
    assert_eq!(ask("stats", json!({})).await["data"]["outside"], 2);
    let refused = ask("state-get", json!({"scope": "org.z", "key": "a"})).await;
    assert_eq!(refused["data"]["shard"], "rest");
    let health = get(&health, "/healthz");
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    assert!(
        health.contains("2 scopes of other shards are not served: org.a.1, org.z"),
        "{health}"
    );
    north.stop().await;

    // Nothing of it is lost.
    let state = State::start(&broker, &database, &[]);
    let got = crate::plant::ask(&client, "state-get", json!({"scope": "org.z", "key": "a"})).await;
    assert_eq!(got["data"]["value"], "org.z");
    state.stop().await;
    broker.stop().await;
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_shards_has_an_empty_map_and_says_nothing_of_shards() {
    let plant = Plant::start().await;
    let map = plant.done("shards", json!({})).await;
    assert_eq!(
        map,
        json!({"version": "00000000", "shards": [], "ranges": []})
    );
    assert_eq!(plant.done("stats", json!({})).await.get("outside"), None);
    let body = plantd_client::Body::from_frames(["health", "{}"]);
    let reply = plant
        .client
        .request("org.plantd.State", body)
        .await
        .unwrap();
    assert!(reply.properties.is_empty());
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_daemon_of_an_installation_tells_the_same_map() {
    let shards = Shards::start().await;
    let map = shards.done("shards", json!({})).await;
    for name in crate::shards::NAMES {
        assert_eq!(
            shards.ask_shard(name, "shards", json!({})).await["data"],
            map
        );
    }
    let health = shards.ask_shard("west", "health", json!({})).await;
    assert_eq!(health["data"]["service"], "org.plantd.State.west");
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_daemon_is_of_the_shards_has_to_be_said_and_to_fit() {
    let broker = Broker::start().await;
    for (variables, key, expected) in [
        (
            vec![("SHARDS", MAP)],
            "shard",
            "north, west, rest, or role: router",
        ),
        (
            vec![("SHARDS", MAP), ("SHARD", "south")],
            "shard",
            "north, west, rest",
        ),
        (
            vec![("SHARDS", MAP), ("SHARD", "west"), ("ROLE", "router")],
            "shard",
            "a router is no shard",
        ),
        (vec![("SHARD", "west")], "shard", "shards has none"),
        (vec![("ROLE", "router")], "role", "no shards"),
        (
            vec![
                ("SHARDS", "[{name: a, rest: true}, {name: b, rest: true}]"),
                ("SHARD", "a"),
            ],
            "shards[1]",
            "b rest is the same as shards[0], a rest",
        ),
        (
            vec![("SHARDS", "[{name: a, prefx: x}]"), ("SHARD", "a")],
            "shards",
            "prefx",
        ),
    ] {
        let mut sources = Sources::default();
        let variables = variables.into_iter();
        let variables =
            variables.map(|(key, value)| (format!("PLANTD_STATE_{key}"), value.to_owned()));
        sources.environment.extend(variables);
        let errors = load::<plantd_state::Config>(&sources).unwrap_err();
        let error = &errors.errors[0];
        assert_eq!(error.key, key, "{errors}");
        assert!(errors.to_string().contains(expected), "{errors}");
        assert_eq!(errors.daemons, [plantd_state::Config::NAME]);
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_by_itself_of_another_shards_scope_is_not_told_on_the_bus() {
    let plant = Plant::start().await;
    for scope in ["org.north.1", "org.z"] {
        let set = json!({"scope": scope, "key": "a", "value": 1, "ttl": 1.5});
        plant.done("state-set", set).await;
    }
    let database = plant.database();
    let Plant {
        broker,
        state,
        client,
        folder,
    } = plant;
    state.stop().await;
    let builder = plantd_client::Sink::builder().broker(broker.backend());
    let mut sink = builder.subscribe("org.plantd.state.").build().unwrap();
    sink.settled().await.unwrap();
    let north = State::start(&broker, &database, &[("SHARDS", MAP), ("SHARD", "north")]);
    let keys = async || {
        let body = plantd_client::Body::from_frames(["stats", "{}"]);
        let service = "org.plantd.State.north";
        let reply = client.request(service, body).await.unwrap();
        serde_json::from_str::<Value>(reply.body.text().unwrap()).unwrap()["data"]["keys"].clone()
    };
    while keys().await != 0 {}
    let (topic, told) = crate::published::next(&mut sink).await;
    assert_eq!(
        (topic.as_str(), &told["event"]),
        ("org.plantd.state.org.north.1", &json!("expire"))
    );
    let set = plantd_client::Body::from_frames([
        "state-set",
        r#"{"scope":"org.north.1","key":"b","value":1}"#,
    ]);
    client.request("org.plantd.State.north", set).await.unwrap();
    let (topic, told) = crate::published::next(&mut sink).await;
    assert_eq!(
        (topic.as_str(), &told["key"]),
        ("org.plantd.state.org.north.1", &json!("b"))
    );
    north.stop().await;
    broker.stop().await;
    drop(folder);
}

//! Each operation, as `docs/protocol.md` has it.

use serde_json::{Value, json};

use crate::plant::{Plant, State, ask};

const SCOPE: &str = "org.example";

#[tokio::test(flavor = "multi_thread")]
async fn the_go_clients_get_the_shapes_they_know() {
    let plant = Plant::start().await;
    // `token` and `service` are what the Go client writes.
    let with = |fields: Value| {
        let mut all = json!({"token": "t", "service": SCOPE});
        all.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        all
    };
    let created = plant.done("create-scope", with(json!({}))).await;
    assert_eq!(
        created,
        json!({"scope": SCOPE, "status": "created", "sequence": 1})
    );
    let set = plant
        .done("state-set", with(json!({"key": "a", "value": "1"})))
        .await;
    assert_eq!(
        set,
        json!({"scope": SCOPE, "key": "a", "value": "1", "status": "set", "version": 2, "previous": 0})
    );
    let got = plant.done("state-get", with(json!({"key": "a"}))).await;
    assert_eq!(got["value"], "1");
    assert_eq!(got["scope"], SCOPE);
    let listed = plant.done("list-keys", with(json!({}))).await;
    assert_eq!(
        listed,
        json!({"scope": SCOPE, "keys": ["a"], "count": 1, "sequence": 2})
    );
    let listed = plant.done("list-scopes", json!({"token": "t"})).await;
    assert_eq!(listed, json!({"scopes": [SCOPE], "count": 1}));
    let health = plant.done("health", with(json!({}))).await;
    assert_eq!(
        health,
        json!({"status": "healthy", "service": "org.plantd.State", "store_available": true,
               "scope": SCOPE, "scope_exists": true})
    );
    let deleted = plant.done("delete", with(json!({"key": "a"}))).await;
    assert_eq!(
        deleted,
        json!({"scope": SCOPE, "key": "a", "status": "deleted", "version": 3, "previous": 2})
    );
    let deleted = plant.done("delete-scope", with(json!({}))).await;
    assert_eq!(deleted["status"], "deleted");
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_version_never_writes_and_the_present_one_is_told() {
    let plant = Plant::start().await;
    let first = plant.set("a", 1).await;
    let second = plant.set("a", 2).await;
    let set = |version: u64| json!({"scope": SCOPE, "key": "a", "value": 3, "if-version": version});
    let reply = plant.ask("state-set", set(first)).await;
    assert_eq!(reply["code"], "version-mismatch");
    assert_eq!(reply["data"]["version"], second);
    let data = plant.done("state-set", set(second)).await;
    assert_eq!(data["previous"], second);
    let create = json!({"scope": SCOPE, "key": "a", "value": 4, "create-only": true});
    assert_eq!(plant.refused("state-set", create.clone()).await, "exists");
    plant
        .done("delete", json!({"scope": SCOPE, "key": "a"}))
        .await;
    assert_eq!(
        plant.refused("state-set", set(second + 1)).await,
        "version-mismatch"
    );
    let data = plant.done("state-set", create).await;
    assert_eq!(data["previous"], 0);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_with_an_id_is_done_once() {
    let plant = Plant::start_with(&[("RETRY_WINDOW", "1h")]).await;
    let set = json!({"scope": SCOPE, "key": "a", "value": 1, "id": "one"});
    let first = plant.done("state-set", set.clone()).await;
    let second = plant.set("a", 2).await;
    assert_eq!(plant.done("state-set", set.clone()).await, first);
    let got = plant
        .done("state-get", json!({"scope": SCOPE, "key": "a"}))
        .await;
    assert_eq!(got["version"], second);
    let other = json!({"scope": SCOPE, "key": "a", "value": 3, "id": "one"});
    assert_eq!(plant.refused("state-set", other).await, "id-reused");

    // The answer is remembered over a restart, and is that of every kind of write.
    let operations = json!([{"op": "set", "key": "b", "value": 1}, {"op": "delete", "key": "a"}]);
    let batch = json!({"scope": SCOPE, "operations": operations, "id": "two"});
    let batched = plant.done("batch", batch.clone()).await;
    let prefix = json!({"scope": SCOPE, "prefix": "b", "id": "three"});
    let deleted = plant.done("delete-prefix", prefix.clone()).await;
    assert_eq!(deleted["deleted"], 1);
    let database = plant.database();
    plant.state.stop().await;
    let state = State::start(&plant.broker, &database, &[]);
    let again = ask(&plant.client, "batch", batch).await;
    assert_eq!(again["data"], batched);
    assert_eq!(
        ask(&plant.client, "delete-prefix", prefix).await["data"],
        deleted
    );
    state.stop().await;
    plant.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_forgotten_after_the_retry_window() {
    let plant = Plant::start_with(&[("RETRY_WINDOW", "0")]).await;
    let set = json!({"scope": SCOPE, "key": "a", "value": 1, "id": "one"});
    let first = plant.done("state-set", set.clone()).await;
    // Its window is over at once; the upkeep comes by once a second.
    while plant.done("state-set", set.clone()).await == first {
        tokio::task::yield_now().await;
    }
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_goes_when_its_time_has_passed_and_touch_gives_it_more() {
    let plant = Plant::start().await;
    for key in ["short", "touched"] {
        let fields = json!({"scope": SCOPE, "key": key, "value": 1, "ttl": 0.3});
        plant.done("state-set", fields).await;
    }
    let touch = json!({"scope": SCOPE, "key": "touched", "ttl": 3_600});
    let touched = plant.done("touch", touch).await;
    assert_eq!(touched["version"], 3);
    let got = plant
        .done("state-get", json!({"scope": SCOPE, "key": "touched"}))
        .await;
    let ttl = got["ttl"].as_f64().unwrap();
    assert!(ttl > 3_000.0 && ttl <= 3_600.0, "{ttl}");

    let get = json!({"scope": SCOPE, "key": "short"});
    while plant.ask("state-get", get.clone()).await["success"] == true {}
    let history = plant
        .done("history", json!({"scope": SCOPE, "key": "short"}))
        .await;
    assert_eq!(history["versions"][0]["event"], "expire");
    assert_eq!(history["versions"][0]["previous"], 2);
    let listed = plant.done("list-keys", json!({"scope": SCOPE})).await;
    assert_eq!(listed["keys"], json!(["touched"]));
    let forever = json!({"scope": SCOPE, "key": "touched", "ttl": null});
    plant.done("touch", forever).await;
    let got = plant
        .done("state-get", json!({"scope": SCOPE, "key": "touched"}))
        .await;
    assert_eq!(got.get("ttl"), None);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_tells_what_happened_to_a_key_also_before_it_was_deleted() {
    let plant = Plant::start_with(&[("HISTORY_COUNT", "50")]).await;
    plant.set("a", 1).await;
    plant.set("a", 2).await;
    plant
        .done("delete", json!({"scope": SCOPE, "key": "a"}))
        .await;
    plant.set("other", 0).await;
    let last = plant.set("a", 3).await;
    let history = plant
        .done("history", json!({"scope": SCOPE, "key": "a"}))
        .await;
    let told: Vec<String> = history["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| {
            format!(
                "{} {} {}",
                v["event"].as_str().unwrap(),
                v["version"],
                v["previous"]
            )
        })
        .collect();
    assert_eq!(told, ["set 6 0", "delete 4 3", "set 3 2", "set 2 0"]);
    let page = json!({"scope": SCOPE, "key": "a", "limit": 2});
    let page = plant.done("history", page).await;
    assert_eq!(page["next"], 4);
    let page = json!({"scope": SCOPE, "key": "a", "limit": 2, "before": 4});
    let page = plant.done("history", page).await;
    assert_eq!(page["count"], 2);
    assert_eq!(page.get("next"), None);
    let old = json!({"scope": SCOPE, "key": "a", "version": 2});
    assert_eq!(plant.done("state-get", old.clone()).await["value"], 1);

    // What is beyond the count is forgotten, and what is there goes on.
    plant
        .fill((0..1_200).map(|index| format!("key/{index}")))
        .await;
    assert_eq!(plant.refused("state-get", old).await, "not-found");
    let present = json!({"scope": SCOPE, "key": "a", "version": last});
    assert_eq!(plant.done("state-get", present).await["value"], 3);
    let history = plant
        .done("history", json!({"scope": SCOPE, "key": "a"}))
        .await;
    assert_eq!(history["count"], 0);
    let stats = plant.done("stats", json!({"scope": SCOPE})).await;
    assert!(stats["oldest"].as_u64().unwrap() > 100, "{stats}");
    plant.done("verify", json!({})).await;
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_is_too_old_is_forgotten() {
    let plant = Plant::start_with(&[("HISTORY_AGE", "1s")]).await;
    plant.set("a", 1).await;
    let history = json!({"scope": SCOPE, "key": "a"});
    while plant.done("history", history.clone()).await["count"] != 0 {}
    plant.done("verify", json!({})).await;
    assert_eq!(plant.done("state-get", history).await["value"], 1);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_scopes_are_listed_in_pages() {
    let plant = Plant::start().await;
    for key in ["a/1", "a/2", "a/3", "b/1", "é", "a"] {
        plant.set(key, key).await;
    }
    let list = |fields: Value| {
        let mut all = json!({"scope": SCOPE});
        all.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        plant.done("list-keys", all)
    };
    assert_eq!(
        list(json!({})).await["keys"],
        json!(["a", "a/1", "a/2", "a/3", "b/1", "é"])
    );
    let page = list(json!({"prefix": "a/", "limit": 2})).await;
    assert_eq!(page["keys"], json!(["a/1", "a/2"]));
    assert_eq!(page["next"], "a/2");
    let page = list(json!({"prefix": "a/", "limit": 2, "after": "a/2", "values": true})).await;
    assert_eq!(page["entries"][0]["key"], "a/3");
    assert_eq!(page["entries"][0]["value"], "a/3");
    assert_eq!(page["count"], 1);
    assert_eq!(page.get("next"), None);
    let deleted = plant
        .done(
            "delete-prefix",
            json!({"scope": SCOPE, "prefix": "a", "limit": 3}),
        )
        .await;
    assert_eq!(
        (&deleted["deleted"], &deleted["more"]),
        (&json!(3), &json!(true))
    );
    for scope in ["org.b", "org.c"] {
        plant.done("create-scope", json!({"scope": scope})).await;
    }
    let page = plant
        .done("list-scopes", json!({"prefix": "org.", "limit": 2}))
        .await;
    assert_eq!(
        page,
        json!({"scopes": ["org.b", "org.c"], "count": 2, "next": "org.c"})
    );
    let page = plant.done("list-scopes", json!({"after": "org.c"})).await;
    assert_eq!(page["scopes"], json!([SCOPE]));
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_back_as_they_went_in() {
    let plant = Plant::start().await;
    for value in [
        json!(null),
        json!(""),
        json!(0.1),
        json!({"b": [1, {}], "a": "\u{0}é\"\\"}),
    ] {
        plant.set("a", value.clone()).await;
        let got = plant
            .done("state-get", json!({"scope": SCOPE, "key": "a"}))
            .await;
        assert_eq!(got["value"], value);
    }
    let bytes = json!({"scope": SCOPE, "key": "a", "base64": "AP8=", "content-type": "image/png"});
    let set = plant.done("state-set", bytes).await;
    let got = plant
        .done("state-get", json!({"scope": SCOPE, "key": "a"}))
        .await;
    for data in [set, got] {
        assert_eq!(
            (&data["base64"], &data["content-type"]),
            (&json!("AP8="), &json!("image/png"))
        );
        assert_eq!(data.get("value"), None);
    }
    let quiet = json!({"scope": SCOPE, "key": "a", "value": 1, "echo": false});
    assert_eq!(plant.done("state-set", quiet).await.get("value"), None);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_done_whole_over_scopes() {
    let plant = Plant::start().await;
    plant.set("gone", 1).await;
    let version = plant.set("a", 1).await;
    let operations = json!([
        {"op": "check", "key": "a", "if-version": version},
        {"op": "set", "scope": "other", "key": "b", "value": 2},
        {"op": "delete", "key": "gone"},
        {"op": "set", "key": "c", "value": 3, "ttl": 3_600},
    ]);
    let data = plant
        .done("batch", json!({"scope": SCOPE, "operations": operations}))
        .await;
    assert_eq!(data["count"], 4);
    let versions: Vec<&Value> = data["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| &result["version"])
        .collect();
    assert_eq!(versions, [&json!(version), &json!(2), &json!(4), &json!(5)]);
    let stats = plant.done("stats", json!({})).await;
    assert_eq!((&stats["scopes"], &stats["keys"]), (&json!(2), &json!(3)));
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_the_disk_takes_is_measured_for_every_group() {
    let plant = Plant::start().await;
    for value in 1..=3 {
        plant.set("a", value).await;
    }
    let metrics = plant.state.daemon.metrics.encode();
    let mut lines = metrics.lines();
    let count = lines.find_map(|line| line.strip_prefix("plantd_state_sync_seconds_count "));
    let count: u64 = count.expect("it is shown").parse().unwrap();
    assert!(count >= 3, "{count}");
    plant.stop().await;
}

//! The router: any client reaches the shards by it.

use plantd_client::{Body, Client, RequestError};
use serde_json::{Value, json};

use crate::plant::{State, get};
use crate::shards::{MAP, NAMES, Shards};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_to_the_shard_of_its_scope_and_comes_back_as_it_is() {
    let shards = Shards::start().await;
    for (scope, shard) in [
        ("org.north.1", "north"),
        ("org.b.1", "north"),
        ("org.a.1", "west"),
        ("org.m", "west"),
        ("org.n", "rest"),
        ("com.example", "rest"),
    ] {
        let set = shards.set(scope, scope).await;
        assert_eq!((&set["version"], &set["previous"]), (&json!(2), &json!(0)));
        let get = json!({"scope": scope, "key": "a"});
        let straight = shards.ask_shard(shard, "state-get", get.clone()).await;
        assert_eq!(straight["data"]["value"], scope, "{straight}");
        // What Go clients write.
        let got = shards
            .done(
                "state-get",
                json!({"token": "t", "service": scope, "key": "a"}),
            )
            .await;
        assert_eq!(got, straight["data"]);
        let missing = json!({"scope": scope, "key": "b"});
        let straight = shards.ask_shard(shard, "state-get", missing.clone()).await;
        assert_eq!(shards.ask("state-get", missing).await, straight);
    }
    // A write that is repeated is done once.
    let set = json!({"scope": "org.a.1", "key": "b", "value": 1, "id": "one"});
    let first = shards.done("state-set", set.clone()).await;
    assert_eq!(shards.done("state-set", set.clone()).await, first);
    assert_eq!(
        shards.ask_shard("west", "state-set", set).await["data"],
        first
    );
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reply_of_a_router_says_which_map_it_has() {
    let shards = Shards::start().await;
    shards.set("org.a.1", 1).await;
    let version = shards.done("shards", json!({})).await["version"].clone();
    for (operation, fields) in [
        ("state-get", json!({"scope": "org.a.1", "key": "a"})),
        ("state-get", json!({"scope": "org.b.1", "key": "a"})),
        ("list-scopes", json!({})),
        ("no-operation", json!({})),
    ] {
        let reply = shards.reply(operation, fields).await;
        assert_eq!(reply.properties.get("shards"), version.as_str());
    }
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_refuses_what_a_store_would() {
    let shards = Shards::start().await;
    for (frames, code) in [
        (vec!["state-put", "{}"], "unknown-operation"),
        (vec!["state-get"], "bad-request"),
        (vec!["state-get", "{}", "{}"], "bad-request"),
        (vec!["state-get", "[1]"], "bad-request"),
        (vec!["state-get", "{\"key\":\"a\"}"], "bad-request"),
        (
            vec!["state-get", "{\"scope\":\"a b\",\"key\":\"a\"}"],
            "bad-request",
        ),
        (
            vec!["state-get", "{\"scope\":\"a\",\"kye\":\"a\"}"],
            "bad-request",
        ),
        (
            vec![
                "state-get",
                "{\"scope\":\"a\",\"service\":\"b\",\"key\":\"a\"}",
            ],
            "bad-request",
        ),
        (vec!["batch", "{\"operations\":[]}"], "bad-request"),
        (
            vec![
                "batch",
                "{\"operations\":[{\"op\":\"set\",\"key\":\"a\",\"value\":1}]}",
            ],
            "bad-request",
        ),
        (vec!["batch", "{\"operations\":[7]}"], "bad-request"),
        (vec!["list-scopes", "{\"limit\":0}"], "bad-request"),
        (
            vec!["verify", "{\"backup\":\"plantd-state-1\"}"],
            "bad-request",
        ),
    ] {
        for service in ["org.plantd.State", "org.plantd.State.rest"] {
            let reply = shards
                .client
                .request(service, Body::from_frames(&frames))
                .await
                .unwrap();
            let reply: Value = serde_json::from_str(reply.body.text().unwrap()).unwrap();
            // Of one shard there is a backup that could be meant.
            let is_of_shard = frames[0] == "verify" && service.ends_with("rest");
            let code = if is_of_shard { "not-found" } else { code };
            assert_eq!(reply["code"], code, "{frames:?} {reply}");
            assert_eq!(reply["success"], false);
        }
    }
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_over_shards_is_refused_and_changes_nothing() {
    let shards = Shards::start().await;
    let set = |scope: &str| json!({"op": "set", "scope": scope, "key": "a", "value": 1});
    let batch = json!({"operations": [set("org.a.1"), set("org.c"), set("org.north.1")]});
    let reply = shards.ask("batch", batch).await;
    assert_eq!(reply["code"], "cross-shard");
    let error = reply["error"].as_str().unwrap();
    assert!(error.contains("west and north"), "{error}");
    let scopes = json!([{"scope": "org.a.1", "shard": "west"}, {"scope": "org.c", "shard": "west"},
                        {"scope": "org.north.1", "shard": "north"}]);
    assert_eq!(reply["data"], json!({"scopes": scopes}));
    assert_eq!(shards.done("list-scopes", json!({})).await["count"], 0);

    // Of one shard it is done whole.
    let batch = json!({"scope": "org.c", "operations": [{"op": "set", "key": "a", "value": 1}, set("org.a.1")]});
    let done = shards.done("batch", batch).await;
    assert_eq!(done["count"], 2);
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scopes_of_all_shards_are_listed_in_order_page_by_page() {
    let shards = Shards::start().await;
    let mut all: Vec<String> = (0..25)
        .map(|n| format!("org.{}.{n:02}", ["a", "b", "north", "z"][n % 4]))
        .collect();
    all.push("com.example".to_owned());
    for scope in &all {
        shards.set(scope, 1).await;
    }
    all.sort();
    for limit in [1, 3, 25, 26, 1_000] {
        let mut listed: Vec<Value> = Vec::new();
        let mut after = Value::Null;
        loop {
            let page = json!({"limit": limit, "after": after});
            let page = shards.done("list-scopes", page).await;
            let scopes = page["scopes"].as_array().unwrap();
            assert!(scopes.len() <= limit && page["count"] == scopes.len());
            listed.extend(scopes.iter().cloned());
            match page.get("next") {
                Some(next) => after = next.clone(),
                None => break,
            }
        }
        assert_eq!(json!(listed), json!(all), "{limit}");
    }
    let page = shards
        .done("list-scopes", json!({"prefix": "org.b."}))
        .await;
    assert_eq!(page["count"], 6);
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_and_health_are_those_of_all_shards() {
    let mut shards = Shards::start().await;
    for scope in ["org.a.1", "org.c", "org.north.1"] {
        shards.set(scope, 1).await;
    }
    let stats = shards.done("stats", json!({})).await;
    assert_eq!((&stats["scopes"], &stats["keys"]), (&json!(3), &json!(3)));
    assert_eq!(
        (&stats["outside"], stats.get("backup-age")),
        (&json!(0), None)
    );
    let each = stats["shards"].as_array().unwrap();
    let each: Vec<_> = each
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["keys"].as_u64().unwrap()))
        .collect();
    assert_eq!(each, [("north", 1), ("west", 2), ("rest", 0)]);
    let of_scope = shards.done("stats", json!({"scope": "org.c"})).await;
    assert_eq!(of_scope["keys"], 1);
    let health = shards.done("health", json!({})).await;
    assert_eq!(
        (&health["status"], &health["store_available"]),
        (&json!("healthy"), &json!(true))
    );
    assert_eq!(health["service"], "org.plantd.State");

    shards.stop_shard("west").await;
    let health = shards.done("health", json!({})).await;
    assert_eq!(
        (&health["status"], &health["store_available"]),
        (&json!("degraded"), &json!(false))
    );
    let west = json!({"name": "west", "service": "org.plantd.State.west", "status": "unavailable"});
    assert_eq!(health["shards"][1], west);
    // A sum or a list without it would be wrong.
    let stats = shards.ask("stats", json!({}));
    let listed = shards.ask("list-scopes", json!({}));
    for reply in <[Value; 2]>::from(tokio::join!(stats, listed)) {
        assert_eq!(reply["code"], "unavailable", "{reply}");
        assert_eq!(reply["data"]["shard"], "west");
    }
    // The others go on.
    shards.set("org.north.1", 2).await;
    shards.start_shard("west", MAP);
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_shards_are_backed_up_and_verified_at_once() {
    let shards = Shards::start().await;
    for scope in ["org.a.1", "org.z", "org.north.1"] {
        shards.set(scope, 1).await;
    }
    let body = Body::from_frames(["backup", "{\"progress\":true}"]);
    let mut parts = shards
        .client
        .request("org.plantd.State", body)
        .stream(4)
        .await
        .unwrap();
    let last = loop {
        let part = parts.next().await.unwrap().unwrap();
        let told: Value = serde_json::from_str(part.body.text().unwrap()).unwrap();
        if part.is_final {
            break told;
        }
        assert!(
            told["data"]["done"].as_u64() <= told["data"]["total"].as_u64(),
            "{told}"
        );
    };
    let made = &last["data"];
    assert_eq!((&made["keys"], &made["scopes"]), (&json!(3), &json!(3)));
    for (index, name) in NAMES.into_iter().enumerate() {
        let each = &made["shards"][index];
        assert_eq!((&each["name"], &each["keys"]), (&json!(name), &json!(1)));
        let backup = json!({"backup": each["backup"]});
        let verified = shards.ask_shard(name, "verify", backup).await;
        assert_eq!(verified["data"]["keys"], 1, "{verified}");
    }
    let verified = shards.done("verify", json!({})).await;
    assert_eq!(
        (&verified["keys"], &verified["shards"][2]["name"]),
        (&json!(3), &json!("rest"))
    );
    assert!(shards.done("stats", json!({})).await["backup-age"].is_u64());

    // What cannot be done by all is told of each.
    let folder = shards.folder.path().join("west.db-backups");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    let reply = shards.ask("backup", json!({})).await;
    assert_eq!(reply["code"], "unavailable", "{reply}");
    let each = &reply["data"]["shards"];
    assert!(
        each[0]["backup"].is_string() && each[2]["backup"].is_string(),
        "{reply}"
    );
    assert_eq!(each[1]["code"], "unavailable");
    shards.stop().await;
}

/// The next part of a watch.
async fn next(parts: &mut plantd_client::ReplyStream) -> Value {
    let part = parts.next().await.unwrap().unwrap();
    let mut told: Value = serde_json::from_str(part.body.text().unwrap()).unwrap();
    told["final"] = part.is_final.into();
    told
}

async fn watch(client: &Client, fields: Value) -> plantd_client::ReplyStream {
    let body = Body::from_frames(["watch".as_bytes(), fields.to_string().as_bytes()]);
    client
        .request("org.plantd.State", body)
        .stream(2)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_through_the_router_and_ends_with_its_client() {
    let shards = Shards::start().await;
    shards.set("org.a.1", 1).await;
    let mut parts = watch(&shards.client, json!({"scope": "org.a.1", "from": 1})).await;
    let told = next(&mut parts).await;
    assert_eq!(told["data"]["events"][0]["value"], 1, "{told}");
    // Read slowly: what is beyond the window waits, and nothing is missing.
    for value in 2..100 {
        shards.set("org.a.1", value).await;
    }
    let mut seen = 1;
    while seen < 99 {
        let told = next(&mut parts).await;
        for event in told["data"]["events"].as_array().unwrap() {
            seen += 1;
            assert_eq!(event["value"], seen);
        }
    }
    let watches =
        async || shards.ask_shard("west", "stats", json!({})).await["data"]["watches"].clone();
    assert_eq!(watches().await, 1);
    drop(parts);
    while watches().await != 0 {}

    let mut parts = watch(&shards.client, json!({"scope": "org.a.1"})).await;
    next(&mut parts).await;
    shards
        .done("delete-scope", json!({"scope": "org.a.1"}))
        .await;
    let told = next(&mut parts).await;
    let told = if told["final"] == true {
        told
    } else {
        next(&mut parts).await
    };
    assert_eq!(
        (&told["code"], &told["final"]),
        (&json!("no-scope"), &json!(true))
    );
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_as_draining_when_its_shard_or_the_router_stops() {
    let mut shards = Shards::start().await;
    shards.set("org.a.1", 1).await;
    let mut parts = watch(&shards.client, json!({"scope": "org.a.1"})).await;
    next(&mut parts).await;
    shards.stop_shard("west").await;
    let told = next(&mut parts).await;
    assert_eq!(
        (&told["code"], &told["final"]),
        (&json!("draining"), &json!(true))
    );
    shards.start_shard("west", MAP);

    let mut parts = watch(&shards.client, json!({"scope": "org.a.1"})).await;
    next(&mut parts).await;
    shards.stop_router().await;
    let told = next(&mut parts).await;
    assert_eq!(
        (&told["code"], &told["final"]),
        (&json!("draining"), &json!(true))
    );
    shards.start_router(MAP);
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_watches_than_the_router_takes_are_refused() {
    let mut shards = Shards::start().await;
    shards.stop_router().await;
    let variables = [("SHARDS", MAP), ("ROLE", "router"), ("LIMITS_WATCHES", "1")];
    let router = State::start(&shards.broker, &shards.database("router"), &variables);
    shards.router = Some(router);
    shards.set("org.a.1", 1).await;
    let mut first = watch(&shards.client, json!({"scope": "org.a.1"})).await;
    next(&mut first).await;
    let mut second = watch(&shards.client, json!({"scope": "org.a.1"})).await;
    let told = next(&mut second).await;
    assert_eq!(told["code"], "busy", "{told}");
    drop(first);
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_away_is_waited_for_and_then_said_to_be_unavailable() {
    let mut shards = Shards::start_with(&[("QUEUE_TIMEOUT", "2s")]).await;
    shards.set("org.a.1", 1).await;
    let router = shards.router.as_ref().unwrap();
    let health = router.serve_health().await;
    while !get(&health, "/healthz").contains(r#""name":"shards","status":"UP""#) {}
    shards.stop_shard("west").await;
    let reply = shards
        .ask("state-get", json!({"scope": "org.a.1", "key": "a"}))
        .await;
    assert_eq!(reply["code"], "unavailable", "{reply}");
    assert_eq!(
        reply["data"],
        json!({"shard": "west", "service": "org.plantd.State.west"})
    );
    while !get(&health, "/healthz").contains("west does not answer") {}
    assert!(get(&health, "/healthz").starts_with("HTTP/1.1 200 "));
    let metrics = get(&health, "/metrics");
    let counted = r#"plantd_state_forwarded_total{shard="west",outcome="no-worker"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    let counted = r#"plantd_state_forwarded_total{shard="west",outcome="answered"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");

    // A deadline is passed on, and ends as the broker says it.
    let body = Body::from_frames(["state-get", "{\"scope\":\"org.a.1\",\"key\":\"a\"}"]);
    let asked = shards.client.request("org.plantd.State", body.clone());
    let ended = asked.timeout(std::time::Duration::from_millis(100)).await;
    assert_eq!(ended.unwrap_err(), RequestError::Timeout);

    // One that comes back in time is not noticed.
    let asked = tokio::spawn(
        shards
            .client
            .request("org.plantd.State", body)
            .into_future(),
    );
    shards.start_shard("west", MAP);
    let reply = asked.await.unwrap().unwrap();
    let reply: Value = serde_json::from_str(reply.body.text().unwrap()).unwrap();
    assert_eq!(reply["data"]["value"], 1);
    while !get(&health, "/healthz").contains(r#""name":"shards","status":"UP""#) {}
    shards.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_sees_a_shard_that_has_another_map() {
    let mut shards = Shards::start().await;
    let health = shards.router.as_ref().unwrap().serve_health().await;
    while !get(&health, "/healthz").contains(r#""name":"shards","status":"UP""#) {}
    shards.stop_shard("west").await;
    let other = "[{name: west, prefix: org.x}, {name: north, prefix: org.north.}, {name: rest, rest: true}]";
    shards.start_shard("west", other);
    while !get(&health, "/healthz").contains("west has another map") {}
    // What it says is passed on.
    let reply = shards
        .ask("state-get", json!({"scope": "org.a.1", "key": "a"}))
        .await;
    assert_eq!(reply["code"], "wrong-shard", "{reply}");
    shards.stop().await;
}

//! What is refused: with a code, a text that says what would be right, and nothing changed.

use plantd_client::Body;
use serde_json::{Value, json};

use crate::plant::Plant;

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_a_code_and_changes_nothing() {
    let plant = Plant::start_with(&[("LIMITS_VALUE", "1KiB"), ("LIMITS_SCOPES", "2")]).await;
    plant.set("kept", "value").await;
    plant.done("create-scope", json!({"scope": "second"})).await;
    let before = plant.done("stats", json!({"scope": "org.example"})).await;
    let long = "x".repeat(2_000);
    let cases = [
        ("nonsense", json!({}), "unknown-operation", "state-set"),
        ("state-set", json!([]), "bad-request", "expected"),
        (
            "state-set",
            json!({"key": "a", "value": 1}),
            "bad-request",
            "scope",
        ),
        (
            "state-set",
            json!({"scope": "s", "value": 1}),
            "bad-request",
            "key",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a"}),
            "bad-request",
            "value",
        ),
        (
            "state-set",
            json!({"scope": 7, "key": "a", "value": 1}),
            "bad-request",
            "string",
        ),
        (
            "state-set",
            json!({"scope": "a b", "key": "a", "value": 1}),
            "bad-request",
            "ASCII",
        ),
        (
            "state-set",
            json!({"scope": "", "key": "a", "value": 1}),
            "bad-request",
            "128",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "", "value": 1}),
            "bad-request",
            "512",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a\nb", "value": 1}),
            "bad-request",
            "control",
        ),
        (
            "state-set",
            json!({"scope": long, "key": "a", "value": 1}),
            "too-large",
            "128",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": long, "value": 1}),
            "too-large",
            "512",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a", "value": long}),
            "too-large",
            "1024",
        ),
        (
            "state-set",
            json!({"scope": "s", "service": "t", "key": "a", "value": 1}),
            "bad-request",
            "service",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a", "value": 1, "if_version": 3}),
            "bad-request",
            "if_version",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a", "value": 1, "prefix": "p"}),
            "bad-request",
            "prefix",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a", "value": 1, "ttl": -1}),
            "bad-request",
            "ttl",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a", "value": 1, "if-version": -1}),
            "bad-request",
            "u64",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a", "base64": "AA=="}),
            "bad-request",
            "content-type",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a", "base64": "?", "content-type": "a/b"}),
            "bad-request",
            "base64",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a", "base64": "", "content-type": "none"}),
            "bad-request",
            "image/png",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a", "value": 1, "base64": "", "content-type": "a/b"}),
            "bad-request",
            "either",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a", "value": 1, "create-only": true, "if-version": 3}),
            "bad-request",
            "create-only",
        ),
        (
            "state-set",
            json!({"scope": "s", "key": "a", "value": 1, "id": ""}),
            "bad-request",
            "64",
        ),
        (
            "state-set",
            json!({"scope": "third", "key": "a", "value": 1}),
            "busy",
            "limits.scopes",
        ),
        (
            "create-scope",
            json!({"scope": "third"}),
            "busy",
            "limits.scopes",
        ),
        (
            "create-scope",
            json!({"scope": "second"}),
            "scope-exists",
            "second",
        ),
        (
            "state-set",
            json!({"scope": "t", "key": "a", "value": 1, "create-scope": false}),
            "no-scope",
            "t",
        ),
        (
            "state-get",
            json!({"scope": "t", "key": "a"}),
            "no-scope",
            "t",
        ),
        (
            "state-get",
            json!({"scope": "org.example", "key": "a"}),
            "not-found",
            "a",
        ),
        (
            "state-get",
            json!({"scope": "org.example", "key": "kept", "version": 9}),
            "not-found",
            "9",
        ),
        ("delete", json!({"scope": "t", "key": "a"}), "no-scope", "t"),
        (
            "delete",
            json!({"scope": "org.example", "key": "kept", "if-version": 9}),
            "version-mismatch",
            "9",
        ),
        (
            "touch",
            json!({"scope": "org.example", "key": "a", "ttl": 1}),
            "not-found",
            "a",
        ),
        ("delete-scope", json!({"scope": "t"}), "no-scope", "t"),
        (
            "delete-prefix",
            json!({"scope": "org.example"}),
            "bad-request",
            "prefix",
        ),
        (
            "delete-prefix",
            json!({"scope": "org.example", "prefix": "", "limit": 0}),
            "bad-request",
            "10000",
        ),
        ("list-keys", json!({"scope": "t"}), "no-scope", "t"),
        (
            "list-keys",
            json!({"scope": "org.example", "limit": 10_001}),
            "bad-request",
            "10000",
        ),
        (
            "history",
            json!({"scope": "org.example", "key": "kept", "limit": 1_001}),
            "bad-request",
            "1000",
        ),
        ("watch", json!({"scope": "t"}), "no-scope", "t"),
        (
            "watch",
            json!({"scope": "org.example", "from": 9}),
            "gap",
            "2",
        ),
        (
            "watch",
            json!({"scope": "org.example", "from": 1, "snapshot": true}),
            "bad-request",
            "one",
        ),
        (
            "watch",
            json!({"scope": "org.example", "key": "a", "prefix": "a"}),
            "bad-request",
            "one",
        ),
        ("batch", json!({"operations": []}), "bad-request", "1000"),
        (
            "batch",
            json!({"operations": [{"op": "set", "key": "a", "value": 1}]}),
            "bad-request",
            "scope",
        ),
        (
            "batch",
            json!({"scope": "s", "operations": [{"op": "swap", "key": "a"}]}),
            "bad-request",
            "touch",
        ),
        (
            "batch",
            json!({"scope": "s", "operations": [{"op": "check", "key": "a"}]}),
            "bad-request",
            "if-version",
        ),
        (
            "batch",
            json!({"scope": "s", "operations": [{"op": "delete", "key": "a", "value": 1}]}),
            "bad-request",
            "value",
        ),
        ("verify", json!({"key": "a"}), "bad-request", "key"),
    ];
    for (operation, fields, code, hint) in cases {
        let reply = plant.ask(operation, fields.clone()).await;
        let shown = format!("{operation} {fields}: {reply}");
        assert_eq!(reply["success"], false, "{shown}");
        assert_eq!(reply["code"], code, "{shown}");
        assert!(reply["error"].as_str().unwrap().contains(hint), "{shown}");
    }
    let after = plant.done("stats", json!({"scope": "org.example"})).await;
    assert_eq!(after, before);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_two_frames() {
    let plant = Plant::start().await;
    for frames in [
        &["state-get"][..],
        &["state-get", "{}", "more"],
        &["state-get", "{"],
    ] {
        let request = plant
            .client
            .request("org.plantd.State", Body::from_frames(frames));
        let reply = request.await.unwrap();
        let reply: Value = serde_json::from_str(reply.body.text().unwrap()).unwrap();
        assert_eq!(reply["code"], "bad-request", "{reply}");
    }
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_one_refusal_changes_nothing_and_says_which() {
    let plant = Plant::start().await;
    let version = plant.set("a", 1).await;
    let operations = json!([
        {"op": "set", "key": "b", "value": 1},
        {"op": "delete", "key": "a", "if-version": version + 1},
    ]);
    let reply = plant
        .ask(
            "batch",
            json!({"scope": "org.example", "operations": operations}),
        )
        .await;
    assert_eq!(reply["code"], "version-mismatch", "{reply}");
    assert_eq!(reply["data"]["index"], 1);
    assert_eq!(reply["data"]["version"], version);
    assert_eq!(
        plant
            .refused("state-get", json!({"scope": "org.example", "key": "b"}))
            .await,
        "not-found"
    );
    let twice = json!([{"op": "set", "key": "a", "value": 1}, {"op": "delete", "key": "a"}]);
    let fields = json!({"scope": "org.example", "operations": twice});
    assert_eq!(plant.refused("batch", fields).await, "bad-request");
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_after_its_id_may_be_forgotten_is_refused() {
    let plant = Plant::start_with(&[("RETRY_WINDOW", "60s")]).await;
    let set = json!({"scope": "org.example", "key": "a", "value": 1, "id": "one"}).to_string();
    let mut codes = Vec::new();
    for before in ["29999", "30000", "86400000", "not a number"] {
        let body = Body::from_frames(["state-set".as_bytes(), set.as_bytes()]);
        let asked = plant.client.request("org.plantd.State", body);
        let reply = asked.property("asked-before-ms", before).await.unwrap();
        let reply: Value = serde_json::from_str(reply.body.text().unwrap()).unwrap();
        codes.push(reply["code"].as_str().unwrap_or("done").to_owned());
    }
    assert_eq!(codes, ["done", "too-late", "too-late", "done"]);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_program_holds_the_database_writes_are_refused_and_nothing_is_changed() {
    let plant = Plant::start().await;
    plant.set("a", 1).await;
    let other = rusqlite::Connection::open(plant.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let set = json!({"scope": "org.example", "key": "a", "value": 2});
    assert_eq!(plant.refused("state-set", set).await, "unavailable");
    let get = json!({"scope": "org.example", "key": "a"});
    assert_eq!(plant.done("state-get", get).await["value"], 1);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(plant.set("a", 3).await, 3);
    plant.stop().await;
}

//! Each operation, as `docs/protocol.md` has it.

use serde_json::{Value, json};

use crate::plant::Plant;

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

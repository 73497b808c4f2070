//! What is kept of a key's history when its scope's log has lost it, asked as clients ask.

use plantd_client::Client;
use serde_json::{Value, json};

use crate::plant::{Plant, State, ask};

const SCOPE: &str = "org.example";

async fn versions(client: &Client, key: &str) -> Vec<String> {
    let reply = ask(client, "history", json!({"scope": SCOPE, "key": key})).await;
    let versions = reply["data"]["versions"].as_array().unwrap();
    let told = |change: &Value| {
        let (event, version) = (change["event"].as_str().unwrap(), &change["version"]);
        format!("{event} {version} {}", change["previous"])
    };
    versions.iter().map(told).collect()
}

async fn verify(client: &Client) {
    let verified = ask(client, "verify", json!({})).await;
    assert_eq!(verified["success"], true, "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_keys_history_survives_its_busy_scope_a_restart_and_a_restore() {
    let keys = [("HISTORY_COUNT", "50"), ("HISTORY_PER_KEY", "2")];
    let mut plant = Plant::start_with(&keys).await;
    for value in 1..=3 {
        plant.set("a", value).await;
    }
    plant.set("b", 1).await;
    let delete = json!({"scope": SCOPE, "key": "b"});
    plant.done("delete", delete).await;
    for _ in 0..3 {
        plant
            .fill((0..500).map(|index| format!("busy/{}", index % 5 + 5 * (index / 5))))
            .await;
    }
    let expected = ["set 4 3", "set 3 2"];
    assert_eq!(versions(&plant.client, "a").await, expected);
    assert_eq!(
        versions(&plant.client, "b").await,
        ["delete 6 5", "set 5 0"]
    );
    let page = json!({"scope": SCOPE, "key": "a", "limit": 1});
    assert_eq!(plant.done("history", page).await["next"], 4);
    let at = |version: u64| json!({"scope": SCOPE, "key": "a", "version": version});
    assert_eq!(plant.done("state-get", at(3)).await["value"], 2);
    let refusal = plant.ask("state-get", at(2)).await;
    assert_eq!(refusal["code"], "not-found", "{refusal}");
    let stats = plant.done("stats", json!({"scope": SCOPE})).await;
    let oldest = stats["oldest"].as_u64().unwrap();
    assert!(
        oldest > 1_000 && stats["past"].as_u64().unwrap() >= 4,
        "{stats}"
    );
    assert_eq!(refusal["data"]["oldest"], oldest);
    let watch = plant.ask("watch", json!({"scope": SCOPE, "from": 3})).await;
    assert_eq!(
        watch["code"], "gap",
        "a watch tells all or says that it cannot"
    );
    verify(&plant.client).await;

    let database = plant.database();
    plant.state.stop().await;
    plant.state = State::start(&plant.broker, &database, &keys);
    assert_eq!(versions(&plant.client, "a").await, expected);
    let made = plant.done("backup", json!({})).await;
    let name = made["backup"].as_str().unwrap();
    plant.done("verify", json!({"backup": name})).await;
    plant.state.stop().await;

    let manifest = format!("{}-backups/{name}.json", database.display());
    let elsewhere = plant.folder.path().join("new/state.db");
    let from = [keys[0], keys[1], ("RESTORE_FROM", &manifest)];
    plant.state = State::start(&plant.broker, &elsewhere, &from);
    assert_eq!(versions(&plant.client, "a").await, expected);
    assert_eq!(
        versions(&plant.client, "b").await,
        ["delete 6 5", "set 5 0"]
    );
    verify(&plant.client).await;
    let again = plant.set("a", 4).await;
    let then = [format!("set {again} 4"), "set 4 3".to_owned()];
    assert_eq!(versions(&plant.client, "a").await[..2], then);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_key_is_forgotten_when_it_is_too_old() {
    let keys = [
        ("HISTORY_COUNT", "10"),
        ("HISTORY_PER_KEY", "2"),
        ("HISTORY_AGE", "3s"),
    ];
    let plant = Plant::start_with(&keys).await;
    let version = plant.set("a", 1).await;
    plant.set("a", 2).await;
    plant
        .fill((0..50).map(|index| format!("busy/{index}")))
        .await;
    let past = json!({"scope": SCOPE, "key": "a", "version": version});
    while plant.ask("state-get", past.clone()).await["success"] == true {}
    while !versions(&plant.client, "a").await.is_empty() {}
    let stats = json!({"scope": SCOPE});
    while plant.done("stats", stats.clone()).await["past"] != 0 {}
    verify(&plant.client).await;
    let present = json!({"scope": SCOPE, "key": "a"});
    assert_eq!(plant.done("state-get", present).await["value"], 2);
    plant.stop().await;
}

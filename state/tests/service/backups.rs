//! Backups: made under load, verified, restored, and never trusted when a byte is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::plant::{Plant, State, ask};

const SCOPE: &str = "org.example";

fn folder(plant: &Plant) -> PathBuf {
    plant.folder.path().join("state.db-backups")
}

async fn values(client: &plantd_client::Client) -> Vec<Value> {
    let listed = ask(
        client,
        "list-keys",
        json!({"scope": SCOPE, "values": true, "limit": 10_000}),
    );
    listed.await["data"]["entries"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_of_one_moment_and_is_restored_as_it_was() {
    let plant = Plant::start().await;
    plant.set("counter", 0).await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let client = plant.client.clone();
        writers.spawn(async move {
            // Two keys that always have the same value.
            for round in 0..500 {
                let set =
                    |key| json!({"op": "set", "key": format!("{key}/{writer}"), "value": round});
                let operations = json!([set("left"), set("right")]);
                ask(
                    &client,
                    "batch",
                    json!({"scope": SCOPE, "operations": operations}),
                )
                .await;
            }
        });
    }
    let mut names = Vec::new();
    while !writers.is_empty() {
        let made = plant.done("backup", json!({})).await;
        names.push(made["backup"].as_str().unwrap().to_owned());
        while writers.try_join_next().is_some() {}
    }
    let made = plant.done("backup", json!({})).await;
    names.push(made["backup"].as_str().unwrap().to_owned());
    let before = values(&plant.client).await;
    let folder = folder(&plant);
    let elsewhere = plant.folder.path().join("new/state.db");
    for name in &names {
        plant.done("verify", json!({"backup": name})).await;
    }
    plant.state.stop().await;

    let mut last = Vec::new();
    for name in [&names[0], names.last().unwrap()] {
        let _ = fs::remove_dir_all(elsewhere.parent().unwrap());
        let manifest = folder.join(format!("{name}.json"));
        let from = [("RESTORE_FROM", manifest.to_str().unwrap())];
        let state = State::start(&plant.broker, &elsewhere, &from);
        last = values(&plant.client).await;
        let value = |key: String| {
            last.iter()
                .find(|entry| entry["key"] == key)
                .map(|e| &e["value"])
        };
        for writer in 0..4 {
            assert_eq!(
                value(format!("left/{writer}")),
                value(format!("right/{writer}"))
            );
        }
        let verified = ask(&plant.client, "verify", json!({})).await;
        assert_eq!(verified["success"], true, "{verified}");
        // What was told after the backup is not told again as something else.
        let set = json!({"scope": SCOPE, "key": "new", "value": 1});
        let set = ask(&plant.client, "state-set", set).await;
        assert!(set["data"]["version"].as_u64().unwrap() > 1 << 34, "{set}");
        let watch = ask(&plant.client, "watch", json!({"scope": SCOPE, "from": 3})).await;
        assert_eq!(watch["code"], "gap");
        state.stop().await;

        // The same configuration goes on with what was restored; another backup is refused.
        let state = State::start(&plant.broker, &elsewhere, &from);
        assert_eq!(values(&plant.client).await.len(), last.len() + 1);
        state.stop().await;
        let other = folder.join(format!("{}.json", names[1]));
        let refused = State::start(
            &plant.broker,
            &elsewhere,
            &[("RESTORE_FROM", other.to_str().unwrap())],
        );
        let error = format!("{:#}", refused.ended().await.unwrap_err());
        assert!(error.contains("exists"), "{error}");
    }
    assert_eq!(
        last, before,
        "the last backup was made when all was written"
    );
    plant.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_at_intervals_and_the_oldest_removed() {
    let variables = [
        ("BACKUP_INTERVAL", "100ms"),
        ("BACKUP_KEEP", "2"),
        ("BACKUP_FOLDER", ""),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut variables = variables.to_vec();
    variables[2].1 = folder.path().to_str().unwrap();
    let plant = Plant::start_with(&variables).await;
    plant.set("a", 1).await;
    let names = || -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
        names.sort();
        names
    };
    while names().is_empty() {
        tokio::task::yield_now().await;
    }
    let first = names()[0].clone();
    while names().contains(&first) {
        tokio::task::yield_now().await;
    }
    assert!(names().len() <= 3, "{:?}", names());
    let stats = plant.done("stats", json!({})).await;
    assert!(stats["backup-age"].as_u64().unwrap() < 60, "{stats}");
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damaged_byte_of_a_backup_is_found() {
    let plant = Plant::start().await;
    plant.set("a", "value").await;
    let made = plant.done("backup", json!({})).await;
    let name = made["backup"].as_str().unwrap();
    assert_eq!(
        plant
            .refused("verify", json!({"backup": "plantd-state-none"}))
            .await,
        "not-found"
    );
    assert_eq!(
        plant.refused("verify", json!({"backup": "../state"})).await,
        "not-found"
    );
    for end in ["db.gz", "json"] {
        let path = folder(&plant).join(format!("{name}.{end}"));
        let whole = fs::read(&path).unwrap();
        // The last byte of the manifest is the end of its line.
        let bytes = if end == "json" {
            whole.len() - 1
        } else {
            whole.len()
        };
        for at in (0..bytes).step_by(1 + bytes / 150) {
            damage(&path, &whole, at);
            let code = plant.refused("verify", json!({"backup": name})).await;
            assert_eq!(code, "damaged", "byte {at} of {end}");
        }
        fs::write(&path, &whole).unwrap();
    }
    plant.done("verify", json!({"backup": name})).await;
    plant.stop().await;
}

fn damage(path: &Path, whole: &[u8], at: usize) {
    let mut bytes = whole.to_vec();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

//! Damage to the files: found and reported, never served, and never answered by deleting.

use std::fs;
use std::path::Path;

use plantd_daemon::Daemon;
use plantd_daemon::shutdown::Shutdown;
use serde_json::{Value, json};

use crate::plant::{Broker, Plant, State, config};

const SCOPE: &str = "org.example";

/// What a daemon on these files does: refuses to start, finds damage when it verifies, or serves
/// exactly this.
async fn is_found_or_harmless(
    broker: &Broker,
    database: &Path,
    expected: &[Value],
) -> Result<(), String> {
    let state = State::start(broker, database, &[("CHECK", "full")]);
    let client = plantd_client::Client::connect(broker.endpoint()).unwrap();
    let daemon = state.daemon.clone();
    let ended = state.ended();
    tokio::pin!(ended);
    let serving = async {
        let mut seen = Vec::new();
        for operation in ["list-keys", "history"] {
            let fields = match operation {
                "list-keys" => json!({"scope": SCOPE, "values": true}),
                _ => json!({"scope": SCOPE, "key": "key/00"}),
            };
            seen.push(crate::plant::ask(&client, operation, fields).await);
        }
        seen
    };
    tokio::select! {
        ended = &mut ended => match ended {
            Err(_) => return Ok(()),
            Ok(()) => return Err("it ended by itself".to_owned()),
        },
        seen = serving => {
            let whole = seen.iter().all(|reply| reply["success"] == true);
            if whole && seen != expected {
                return Err(format!("it served {seen:?}"));
            }
        }
    }
    daemon.shutdown.request();
    // A daemon that was told to stop may have found it as well.
    let _ = ended.await;
    Ok(())
}

/// A folder with a store, as a daemon that was killed would leave it, and what it serves.
async fn store(broker: &Broker, folder: &Path, has_wal: bool) -> Vec<Value> {
    let database = folder.join("state.db");
    let state = State::start(broker, &database, &[]);
    let client = plantd_client::Client::connect(broker.endpoint()).unwrap();
    for round in 0..3 {
        for key in 0..20 {
            let fields = json!({"scope": SCOPE, "key": format!("key/{key:02}"), "value": round});
            crate::plant::ask(&client, "state-set", fields).await;
        }
    }
    let fields = json!({"scope": SCOPE, "key": "key/01"});
    crate::plant::ask(&client, "delete", fields).await;
    let expected = vec![
        crate::plant::ask(
            &client,
            "list-keys",
            json!({"scope": SCOPE, "values": true}),
        )
        .await,
        crate::plant::ask(&client, "history", json!({"scope": SCOPE, "key": "key/00"})).await,
    ];
    if has_wal {
        // What is on disk at this moment; its end is not waited for.
        for end in ["", "-wal", "-mark"] {
            let name = format!("state.db{end}");
            fs::copy(folder.join(&name), folder.join(format!("{name}.kept"))).unwrap();
        }
    }
    state.stop().await;
    if !has_wal {
        for end in ["", "-mark"] {
            let name = format!("state.db{end}");
            fs::copy(folder.join(&name), folder.join(format!("{name}.kept"))).unwrap();
        }
    }
    expected
}

/// Puts the kept files back, with one byte of one of them another.
fn lay_out(folder: &Path, file: &str, at: usize, flip: u8) {
    for end in ["", "-wal", "-shm", "-mark"] {
        let name = format!("state.db{end}");
        let _ = fs::remove_file(folder.join(&name));
        if let Ok(mut bytes) = fs::read(folder.join(format!("{name}.kept"))) {
            if name == file {
                bytes[at] ^= flip;
            }
            fs::write(folder.join(&name), bytes).unwrap();
        }
    }
}

async fn damage_every(file: &str, has_wal: bool, steps: usize) {
    let broker = Broker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let expected = store(&broker, folder.path(), has_wal).await;
    let bytes = fs::read(folder.path().join(format!("{file}.kept")))
        .unwrap()
        .len();
    let database = folder.path().join("state.db");
    lay_out(folder.path(), file, 0, 0);
    is_found_or_harmless(&broker, &database, &expected)
        .await
        .unwrap();
    // An odd step comes by every kind of byte.
    let step = (bytes / steps) | 1;
    for (index, at) in (0..bytes).step_by(step).enumerate() {
        let flip = 1 << (index % 8);
        lay_out(folder.path(), file, at, flip);
        let outcome = is_found_or_harmless(&broker, &database, &expected).await;
        assert_eq!(outcome, Ok(()), "byte {at} of {file}, bit {flip:#x}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_byte_of_the_database_is_found_or_changes_nothing() {
    damage_every("state.db", false, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_byte_of_the_wal_is_found_or_changes_nothing() {
    damage_every("state.db-wal", true, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_were_acknowledged_and_are_gone_are_seen_and_accepted_only_when_told() {
    let broker = Broker::start().await;
    let folder = tempfile::tempdir().unwrap();
    store(&broker, folder.path(), true).await;
    lay_out(folder.path(), "", 0, 0);
    let wal = folder.path().join("state.db-wal");
    let whole = fs::read(&wal).unwrap();
    fs::write(&wal, &whole[..whole.len() / 2]).unwrap();
    let database = folder.path().join("state.db");
    let run = |variables: &[(&str, &str)]| {
        let mut all = vec![("DB", database.to_str().unwrap()), ("BUS_ENDPOINT", "")];
        all.extend(variables);
        plantd_state::run(config("STATE", &all), Daemon::new(Shutdown::new()))
    };
    let error = format!("{:#}", run(&[]).await.unwrap_err());
    assert!(error.contains("were acknowledged"), "{error}");
    let state = State::start(&broker, &database, &[("ACCEPT_LOSS", "true")]);
    let client = plantd_client::Client::connect(broker.endpoint()).unwrap();
    let verified = crate::plant::ask(&client, "verify", json!({})).await;
    assert_eq!(verified["success"], true, "{verified}");
    state.stop().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_comes_later_is_found_by_the_check_at_intervals() {
    let mut plant = Plant::start().await;
    for key in 0..200 {
        plant.set(&format!("key/{key:03}"), "x".repeat(100)).await;
    }
    let database = plant.database();
    plant.state.stop().await;
    let bytes = fs::read(&database).unwrap();
    // A row of values, and not of their history, has the scope before the key. SQLite leaves copies of it, which no
    // row is, in pages that it has divided.
    let needle = b"org.examplekey/100";
    let windows = bytes.windows(needle.len()).enumerate();
    let found = windows.filter(|(_, window)| window == needle);
    let places: Vec<usize> = found.map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    plant.state = State::start(&plant.broker, &database, &[("CHECK_INTERVAL", "100ms")]);
    let verified = plant.done("verify", json!({})).await;
    assert_eq!(verified["keys"], 200);
    let file = fs::OpenOptions::new().write(true).open(&database).unwrap();
    for at in places {
        std::os::unix::fs::FileExt::write_all_at(&file, b"org.examplekex", at as u64).unwrap();
    }
    // Reads of a moment later begin with what is on disk.
    plant.set("key/000", 1).await;
    // It may be counted more than once by then.
    while plant
        .state
        .daemon
        .metrics
        .encode()
        .contains("plantd_state_damages_total 0")
    {
        tokio::task::yield_now().await;
    }
    let get = json!({"scope": SCOPE, "key": "key/100"});
    assert_eq!(plant.refused("state-get", get).await, "damaged");
    assert_eq!(
        plant
            .refused("state-set", json!({"scope": SCOPE, "key": "a", "value": 1}))
            .await,
        "damaged"
    );
    let health = plant.done("health", json!({})).await;
    assert_eq!(health["status"], "damaged");
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_later_version_or_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start().await;
    store(&broker, folder.path(), false).await;
    let run = |database: &Path| {
        let variables = [("DB", database.to_str().unwrap()), ("BUS_ENDPOINT", "")];
        plantd_state::run(config("STATE", &variables), Daemon::new(Shutdown::new()))
    };
    let database = folder.path().join("state.db");
    let mut bytes = fs::read(&database).unwrap();
    // PRAGMA user_version, in the header of the file.
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&database, &bytes).unwrap();
    let error = format!("{:#}", run(&database).await.unwrap_err());
    assert!(error.contains("schema 99"), "{error}");
    let text = folder.path().join("text.db");
    fs::write(&text, "no database, but a file with some text in it").unwrap();
    let error = format!("{:#}", run(&text).await.unwrap_err());
    assert!(
        error.contains("damaged") || error.contains("not of plantd-state"),
        "{error}"
    );
    assert_eq!(
        fs::read_to_string(&text).unwrap(),
        "no database, but a file with some text in it"
    );
    broker.stop().await;
}

//! A disk that is full, one whose syncs fail or do not end, and one that keeps nothing but what was synced.
//!
//! The faults are real to the process: a library that is loaded before all others (`faults.c`,
//! compiled here) fails the writes or the syncs of the database and its WAL, or holds them, while a file says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use plantd_test_process::Process;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::running::{Broker, ask, get, set, start_state};

/// The compiled library.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/faults.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libfaults.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl")
            .status();
        assert!(compiled.unwrap().success());
        library
    })
}

fn start(broker: &Broker, folder: &Path) -> Process {
    let environment = [
        ("LD_PRELOAD", library().to_str().unwrap()),
        ("FAULTS", folder.to_str().unwrap()),
    ];
    start_state(broker, &folder.join("state.db"), &environment)
}

/// Gives so many keys a value, all at the same time.
fn set_all(broker: &Broker, count: usize, value: &str) -> Vec<JoinHandle<Value>> {
    let client = broker.client();
    let set_one = |number| {
        let (client, value) = (client.clone(), value.to_owned());
        tokio::spawn(async move { set(&client, &format!("key/{number}"), value).await })
    };
    (0..count).map(set_one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_keeps_reading_and_heals() {
    let broker = Broker::start().await;
    let client = broker.client();
    let folder = tempfile::tempdir().unwrap();
    let mut state = start(&broker, folder.path());
    set(&client, "a", 1).await;

    fs::write(folder.path().join("full"), "").unwrap();
    let refused = set(&client, "a", 2).await;
    assert_eq!(refused["success"], false, "{refused}");
    assert_eq!(refused["code"], "full");
    assert_eq!(get(&client, "a").await, 1);
    state.health_says("store", "DOWN");
    assert!(state.get("/livez").starts_with("HTTP/1.1 200 "));

    fs::remove_file(folder.path().join("full")).unwrap();
    // Without being asked to write.
    state.health_says("store", "UP");
    let written = set(&client, "a", 3).await;
    assert_eq!(written["data"]["version"], 3, "{written}");
    let history = ask(
        &client,
        "history",
        json!({"scope": "org.example", "key": "a"}),
    )
    .await;
    assert_eq!(history.unwrap()["data"]["count"], 2);
    assert_eq!(state.terminate(), Some(0));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_is_never_acknowledged_and_ends_the_daemon() {
    let broker = Broker::start().await;
    let client = broker.client();
    let folder = tempfile::tempdir().unwrap();
    let mut state = start(&broker, folder.path());
    set(&client, "a", 1).await;

    fs::write(folder.path().join("fail-sync"), "").unwrap();
    let fields = json!({"scope": "org.example", "key": "a", "value": 2});
    let body =
        plantd_client::Body::from_frames([b"state-set".as_slice(), fields.to_string().as_bytes()]);
    let answer = client.request("org.plantd.State", body).retry_never().await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(state.exit_code(), Some(1));
    let failed = state.line_of("daemon.failed");
    let message = failed["message"].as_str().unwrap();
    let reason = message.strip_prefix("what is written is not kept: the WAL is not synced: ");
    assert!(reason.is_some_and(|it| !it.contains("WAL")), "{failed}");

    fs::remove_file(folder.path().join("fail-sync")).unwrap();
    let mut state = start(&broker, folder.path());
    let value = get(&client, "a").await;
    assert!(value == 1 || value == 2, "{value}");
    assert_eq!(state.terminate(), Some(0));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_what_is_not_synced() {
    let broker = Broker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("state.db");
    let mut state = start(&broker, folder.path());
    let client = broker.client();
    set(&client, "a", 1).await;

    fs::write(folder.path().join("hold-sync"), "").unwrap();
    // Some of a group that is synced, some of the one after it.
    let writing = set_all(&broker, 20, "2");
    let committed = rusqlite::Connection::open(&database).unwrap();
    let written = || -> Option<String> {
        let sql = "SELECT key FROM changes WHERE key LIKE 'key/%'";
        committed.query_row(sql, [], |row| row.get(0)).ok()
    };
    let key = loop {
        match written() {
            Some(key) => break key,
            None => tokio::task::yield_now().await,
        }
    };
    let read = |operation: &'static str, fields: Value| {
        let client = broker.client();
        tokio::spawn(async move { ask(&client, operation, fields).await.unwrap() })
    };
    let scope = json!({"scope": "org.example"});
    let key = json!({"scope": "org.example", "key": key});
    let reads = [
        read("state-get", key.clone()),
        read("history", key),
        read("list-keys", scope.clone()),
        read("stats", scope),
    ];
    for _ in 0..100 {
        assert_eq!(get(&client, "a").await, 1);
    }
    assert!(writing.iter().all(|set| !set.is_finished()));
    assert!(reads.iter().all(|read| !read.is_finished()));

    fs::remove_file(folder.path().join("hold-sync")).unwrap();
    for asked in writing.into_iter().chain(reads) {
        let answer = asked.await.unwrap();
        assert_eq!(answer["success"], true, "{answer}");
    }
    assert_eq!(state.terminate(), Some(0));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_power_failure() {
    const ROUNDS: usize = 4;
    const SETS: usize = 200;
    let broker = Broker::start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keep-synced"), "").unwrap();
    let mut state = start(&broker, folder.path());
    for round in 1..=ROUNDS {
        // The WAL begins anew more than once.
        let value = format!("{round} {}", "x".repeat(20_000));
        for set in set_all(&broker, SETS, &value) {
            let answer = set.await.unwrap();
            assert_eq!(answer["success"], true, "{answer}");
        }
        let left = tempfile::tempdir().unwrap();
        // As a whole, of one moment.
        state.signal("STOP");
        for end in ["", "-wal"] {
            let synced = folder.path().join(format!("state.db{end}.synced"));
            fs::copy(synced, left.path().join(format!("state.db{end}"))).unwrap();
        }
        let mark = "state.db-mark";
        fs::copy(folder.path().join(mark), left.path().join(mark)).unwrap();
        state.signal("CONT");

        let other = Broker::start().await;
        let mut after = start_state(&other, &left.path().join("state.db"), &[]);
        let client = other.client();
        for number in 0..SETS {
            let value = get(&client, &format!("key/{number}")).await;
            let value = value.as_str().expect("it was acknowledged");
            let (found, _) = value.split_once(' ').unwrap();
            assert_eq!(found, round.to_string(), "key/{number}");
        }
        let verified = ask(&client, "verify", json!({})).await.unwrap();
        assert_eq!(verified["success"], true, "{verified}");
        assert_eq!(after.terminate(), Some(0));
        other.stop().await;
    }
    assert_eq!(state.terminate(), Some(0));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_really_full_heals_too() {
    let broker = Broker::start().await;
    let client = broker.client();
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(&disk)
        .output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        // Only root may mount; what follows is the same as with a library that says so, above.
        return;
    }
    let mounted = Mounted(disk.clone());
    let mut state = start_state(&broker, &disk.join("state.db"), &[]);
    set(&client, "a", 1).await;
    let ballast = disk.join("ballast");
    // As much as there is room for.
    let _ = fs::write(&ballast, vec![0; 2 << 20]);
    let mut refused = set(&client, "b", "x".repeat(100_000)).await;
    while refused["success"] == true {
        refused = set(&client, "b", "x".repeat(100_000)).await;
    }
    assert_eq!(refused["code"], "full", "{refused}");
    assert_eq!(get(&client, "a").await, 1);
    fs::remove_file(&ballast).unwrap();
    state.health_says("store", "UP");
    let written = set(&client, "a", 2).await;
    assert_eq!(written["success"], true, "{written}");
    assert_eq!(state.terminate(), Some(0));
    drop(mounted);
    broker.stop().await;
}

/// A disk that goes away when the test ends, however it does.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

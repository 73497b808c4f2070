//! Shards and their router as processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use plantd_client::Client;
use plantd_test_process::Process;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::running::{Broker, ask, start_configured, start_state};

/// The files that `docs/operations.md` shows, written into a folder.
fn documented_files(folder: &Path) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let text = fs::read_to_string(path).unwrap();
    let files = text.split("<!-- file: ").skip(1).map(|after| {
        let (name, after) = after.split_once(" -->\n```yaml\n").unwrap();
        let (contents, _) = after.split_once("```").unwrap();
        fs::write(folder.join(name), contents).unwrap();
        name.to_owned()
    });
    files.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_the_documents_make_two_shards_and_a_router() {
    let broker = Broker::start().await;
    let client = broker.client();
    let folder = tempfile::tempdir().unwrap();
    let files = documented_files(folder.path());
    assert_eq!(files, ["north.yml", "rest.yml", "router.yml"]);
    let start = |file: &String| start_configured(&broker, folder.path(), file);
    let daemons: Vec<_> = files.iter().map(start).collect();
    for daemon in &daemons {
        daemon.line_of("worker.started");
    }
    let set = async |scope: &str| {
        let fields = json!({"scope": scope, "key": "a", "value": 1});
        ask(&client, "state-set", fields).await.unwrap()
    };
    for scope in ["org.example.North.Plant", "org.plantd.M.x", "org.plantd.N"] {
        assert_eq!(set(scope).await["success"], true);
    }
    let stats = ask(&client, "stats", json!({})).await.unwrap();
    let count = |index: usize| &stats["data"]["shards"][index]["scopes"];
    assert_eq!((count(0), count(1)), (&json!(2), &json!(1)), "{stats}");
    daemons[2].health_says("shards", "UP");
    assert!(folder.path().join("north.db").exists() && folder.path().join("rest.db").exists());
    // A router has no store.
    assert!(!folder.path().join("plantd-state.db").exists());
    for mut daemon in daemons {
        assert_eq!(daemon.terminate(), Some(0));
    }
    broker.stop().await;
}

const MAP: &str = "[{name: north, prefix: org.example}, {name: rest, rest: true}]";
/// Those who write at the same time, and what each of them writes.
const WRITERS: usize = 4;
const WRITES: usize = 80;
/// How often somebody is killed, spread over the writes.
const KILLS: usize = 6;

/// A shard and a router, which are killed and started again.
struct Fated<'a> {
    broker: &'a Broker,
    folder: TempDir,
    running: BTreeMap<&'static str, Process>,
}

impl<'a> Fated<'a> {
    fn start(broker: &'a Broker) -> Self {
        let mut fated = Self {
            broker,
            folder: tempfile::tempdir().unwrap(),
            running: BTreeMap::new(),
        };
        for name in ["north", "router"] {
            fated.start_daemon(name);
        }
        fated
    }

    fn start_daemon(&mut self, name: &'static str) {
        let role = match name {
            "router" => ("PLANTD_STATE_ROLE", "router"),
            shard => ("PLANTD_STATE_SHARD", shard),
        };
        let database = self.folder.path().join("north.db");
        let environment = [("PLANTD_STATE_SHARDS", MAP), role];
        let daemon = start_state(self.broker, &database, &environment);
        self.running.insert(name, daemon);
    }

    /// Kills them in turn, each time when some more is written.
    async fn befall(&mut self, names: &[&'static str], mut written: watch::Receiver<usize>) {
        for kill in 1..=KILLS {
            let due = kill * WRITERS * WRITES / (KILLS + 1);
            written.wait_for(|written| *written >= due).await.unwrap();
            let name = names[kill % names.len()];
            self.running.get_mut(name).unwrap().kill();
            self.start_daemon(name);
        }
    }
}

/// Has several write keys of their own, each once.
async fn write_all<F>(write: impl Fn(String) -> F, written: &watch::Sender<usize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let writes: Vec<F> = (0..WRITES)
            .map(|number| write(format!("{writer}/{number}")))
            .collect();
        let written = written.clone();
        writers.spawn(async move {
            for write in writes {
                write.await;
                written.send_modify(|written| *written += 1);
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
}

/// Every write was done once: each is a change, and so is the making of the scope.
async fn check_once(client: &Client) {
    let stats = ask(client, "stats", json!({"scope": "org.example"})).await;
    let all = WRITERS * WRITES;
    assert_eq!(stats.unwrap()["data"]["sequence"], all + 1);
    let verified = ask(
        client,
        "list-keys",
        json!({"scope": "org.example", "limit": 10_000}),
    )
    .await;
    assert_eq!(verified.unwrap()["data"]["count"], all);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_go_straight_are_done_once_while_their_shard_is_killed() {
    let broker = Broker::start().await;
    let client = broker.client();
    let mut fated = Fated::start(&broker);
    let patience = Duration::from_secs(60);
    let state = plantd_client::State::builder(&client)
        .timeout(patience)
        .build();
    assert_eq!(state.shards().await.unwrap().iter().len(), 2);
    // Nobody goes by it any more.
    fated.running.remove("router").unwrap().kill();
    let scope = state.scope("org.example");
    let (sender, written) = watch::channel(0);
    let write = |key: String| {
        let set = scope.set(&key, &1).create_only().into_future();
        async move {
            set.await.unwrap();
        }
    };
    tokio::join!(write_all(write, &sender), fated.befall(&["north"], written));
    fated.start_daemon("router");
    check_once(&client).await;
    drop(fated);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_by_the_router_are_done_once_while_it_and_the_shard_are_killed() {
    let broker = Broker::start().await;
    let client = broker.client();
    let mut fated = Fated::start(&broker);
    let (sender, written) = watch::channel(0);
    let write = |key: String| {
        let client = client.clone();
        async move {
            // What any client does that knows of nothing but ids.
            let fields = json!({"scope": "org.example", "key": key, "value": 1,
                                "create-only": true, "id": format!("id-{key}")});
            loop {
                match ask(&client, "state-set", fields.clone()).await {
                    Ok(reply) if reply["success"] == true => return,
                    Ok(reply) => assert!(
                        ["unavailable", "draining", "busy"]
                            .contains(&reply["code"].as_str().unwrap()),
                        "{reply}"
                    ),
                    Err(_lost) => {}
                }
            }
        }
    };
    tokio::join!(
        write_all(write, &sender),
        fated.befall(&["north", "router"], written)
    );
    check_once(&client).await;
    drop(fated);
    broker.stop().await;
}

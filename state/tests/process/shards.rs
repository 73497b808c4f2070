//! Shards and their router as processes.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::running::{Broker, ask, start_configured};

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

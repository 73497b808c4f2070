//! `plant state`: what is kept by scope and key.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Broker, Ended, StateDaemon};

const SCOPE: &str = "org.example.Plant";

/// A broker with a state daemon.
struct Installation {
    broker: Broker,
    _state: StateDaemon,
    _folder: TempDir,
}

impl Installation {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::start();
        let state = broker.state(&folder.path().join("state.db"));
        Self {
            broker,
            _state: state,
            _folder: folder,
        }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.broker.run(&[&["state"], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let ended = self.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.json()
    }

    fn set(&self, key: &str, value: &str) {
        let ended = self.run(&["set", SCOPE, key, value]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn a_service_that_listens_itself_is_asked_without_its_broker() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let endpoint = format!("ipc://{}", folder.path().join("state").display());
    let keys = [("ENDPOINT", endpoint.as_str())];
    let _state = broker.state_with(&folder.path().join("state.db"), &keys);
    let at = |arguments: &[&str]| broker.run(&[arguments, &["--broker", &endpoint]].concat());
    at(&["state", "set", SCOPE, "pump/1", "true"]).printed("version 2\n");
    at(&["state", "get", SCOPE, "pump/1"]).printed("true\n");
    let services = at(&["services", "-o", "json"]);
    assert_eq!(services.code, Some(0), "{}", services.stderr);
    let services = &services.json()[0]["services"];
    assert_eq!(services[0]["name"], "org.plantd.State");
    assert_eq!(services[1], Value::Null);
    let other = at(&["request", "org.example.Nobody", "hi"]);
    assert_eq!(other.code, Some(3), "{}", other.stderr);
}

#[test]
fn a_value_is_written_read_and_deleted() {
    let plant = Installation::start();
    plant
        .run(&["set", SCOPE, "pump/1", "{\"on\": true}"])
        .printed("version 2\n");
    plant
        .run(&["get", SCOPE, "pump/1"])
        .printed("{\"on\": true}\n");
    plant
        .run(&["get", SCOPE, "pump/1", "--raw"])
        .printed("{\"on\": true}");
    let [entry] = &plant.json(&["get", SCOPE, "pump/1"])[..] else {
        panic!("one line");
    };
    assert_eq!(
        (&entry["scope"], &entry["key"], &entry["value"]),
        (&json!(SCOPE), &json!("pump/1"), &json!({"on": true}))
    );
    plant
        .run(&["set", SCOPE, "motto", "--text", "keep it running"])
        .printed("version 3\n");
    plant
        .run(&["get", SCOPE, "motto"])
        .printed("\"keep it running\"\n");
    let deleted = plant.json(&["delete", SCOPE, "motto"]);
    assert_eq!(
        deleted,
        [json!({"scope": SCOPE, "key": "motto", "status": "deleted", "version": 4, "previous": 3})]
    );
    plant
        .run(&["delete", SCOPE, "motto"])
        .printed("there was none\n");
    plant
        .run(&["get", SCOPE, "motto", "--at", "3"])
        .printed("\"keep it running\"\n");
}

#[test]
fn bytes_go_in_and_out_as_they_are() {
    let plant = Installation::start();
    let set = [
        "state",
        "set",
        SCOPE,
        "picture",
        "--content-type",
        "image/png",
        "-",
    ];
    let ended = plant.broker.run_with(&set, b"\x89PNG\xff\x00\n");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let got = plant.run(&["get", SCOPE, "picture", "--raw"]);
    assert_eq!(got.bytes, b"\x89PNG\xff\x00\n");
    let entry = &plant.json(&["get", SCOPE, "picture"])[0];
    assert_eq!(
        (&entry["content-type"], &entry["base64"]),
        (&json!("image/png"), &json!("iVBOR/8ACg=="))
    );
}

#[test]
fn the_exit_code_tells_what_is_missing_from_what_is_not_as_it_had_to_be() {
    let plant = Installation::start();
    plant
        .run(&["get", SCOPE, "a"])
        .failed(7, "plant: org.example.Plant a: there is no such");
    plant.set("a", "1");
    plant
        .run(&["set", SCOPE, "a", "2", "--create-only"])
        .failed(8, "plant: org.example.Plant a: the key has a value");
    plant
        .run(&["cas", SCOPE, "a", "2", "2"])
        .printed("version 3\n");
    let stale = plant.run(&["cas", SCOPE, "a", "2", "3", "-o", "json"]);
    stale.failed(8, "plant: org.example.Plant a: the key has version 3");
    let error = &stale.json()[0]["error"];
    assert_eq!(
        (&error["code"], &error["version"]),
        (&json!("version-mismatch"), &json!(3))
    );
    plant
        .run(&["set", "two words", "a", "1"])
        .failed(64, "plant: two words a: ");
    plant
        .run(&["set", SCOPE, "a", "hello"])
        .failed(64, "plant: the value is not JSON; --text");
    plant
        .run(&["create-scope", SCOPE])
        .failed(8, "plant: org.example.Plant: the scope exists");
    plant
        .run(&["delete-scope", "org.example.None"])
        .failed(7, "plant: org.example.None: there is no such scope");
}

#[test]
fn keys_scopes_history_and_counts_are_listed() {
    let plant = Installation::start();
    for (key, value) in [("b", "2"), ("a", "1"), ("a", "3")] {
        plant.set(key, value);
    }
    plant
        .run(&["create-scope", "org.example.Other"])
        .printed("");
    plant.run(&["list", SCOPE]).printed("a\nb\n");
    plant.run(&["list", SCOPE, "--after", "a"]).printed("b\n");
    plant.run(&["list", SCOPE, "-n", "1"]).printed("a\n");
    plant
        .run(&["list", SCOPE, "--values"])
        .printed("a\t4\t3\nb\t2\t2\n");
    plant
        .run(&["scopes"])
        .printed("org.example.Other\norg.example.Plant\n");
    plant
        .run(&["history", SCOPE, "a"])
        .printed("4\tset\ta\t3\n3\tset\ta\t1\n");
    let stats = &plant.json(&["stats", SCOPE])[0];
    assert_eq!((&stats["keys"], &stats["sequence"]), (&json!(2), &json!(4)));
    assert_eq!(plant.json(&["stats"])[0]["scopes"], 2);
    assert!(plant.run(&["stats"]).stdout.contains("\nkeys "));
    plant
        .run(&["delete-prefix", SCOPE, "a"])
        .printed("1 key deleted\n");
    plant
        .run(&["delete-scope", SCOPE])
        .printed("1 key deleted\n");
}

#[test]
fn a_value_that_is_to_go_is_touched() {
    let plant = Installation::start();
    let ended = plant.run(&["set", SCOPE, "a", "1", "--ttl", "1h"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(plant.json(&["get", SCOPE, "a"])[0]["ttl"].as_f64().unwrap() > 3000.0);
    plant.run(&["touch", SCOPE, "a"]).printed("version 2\n");
    assert_eq!(plant.json(&["get", SCOPE, "a"])[0]["ttl"], Value::Null);
}

#[test]
fn a_batch_is_done_at_once_or_not_at_all() {
    let plant = Installation::start();
    let batch = ["state", "batch"];
    let operations = br#"{"op":"set","scope":"org.a","key":"a","value":1}
        {"op":"set","scope":"org.b","key":"b","value":1}"#;
    plant
        .broker
        .run_with(&batch, operations)
        .printed("2 operations done\n");
    let refused = br#"{"op":"delete","scope":"org.a","key":"a"}
        {"op":"check","scope":"org.b","key":"b","if-version":7}"#;
    let ended = plant.broker.run_with(&batch, refused);
    ended.failed(
        8,
        "plant: batch: operation 1 of the batch: the key has version 2",
    );
    plant.run(&["get", "org.a", "a"]).printed("1\n");
    let ended = plant.broker.run_with(&batch, br#"{"op":"put"}"#);
    ended.failed(64, "plant: stdin: no operation: ");
}

#[test]
fn a_watch_tells_what_there_is_and_what_changes() {
    let plant = Installation::start();
    plant.set("a", "1");
    let watch = [
        "state",
        "watch",
        SCOPE,
        "--snapshot",
        "--count",
        "2",
        "-o",
        "json",
    ];
    let mut command = plant.broker.plant(&watch);
    let mut watching = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["event"], "snapshot-begin");
    let present = next();
    assert_eq!(
        (&present["snapshot"], &present["value"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(next()["event"], "snapshot-end");
    plant.set("a", "2");
    plant.run(&["delete", SCOPE, "a"]).printed("version 4\n");
    let (set, delete) = (next(), next());
    assert_eq!((&set["event"], &set["version"]), (&json!("set"), &json!(3)));
    assert_eq!(
        (&delete["event"], &delete["previous"]),
        (&json!("delete"), &json!(3))
    );
    assert_eq!(watching.wait().unwrap().code(), Some(0));
    plant
        .run(&["watch", SCOPE, "--from", "2", "-n", "2"])
        .printed("3\tset\ta\t2\n4\tdelete\ta\n");
}

#[test]
fn what_was_exported_is_imported_and_goes_on_where_it_stopped() {
    let plant = Installation::start();
    for number in 0..3 {
        plant.set(&format!("key/{number}"), &number.to_string());
    }
    plant
        .run(&["set", "org.other", "picture", "ab", "--content-type", "x/y"])
        .printed("version 2\n");
    let exported = plant.run(&["export"]);
    assert_eq!(exported.stdout.lines().count(), 4, "{}", exported.stderr);
    plant
        .run(&["delete-prefix", SCOPE, "key/"])
        .printed("3 keys deleted\n");
    plant
        .run(&["delete-scope", "org.other"])
        .printed("1 key deleted\n");

    let import = |more: &[&str], lines: &str| {
        let arguments = [&["state", "import"], more].concat();
        plant.broker.run_with(&arguments, lines.as_bytes())
    };
    let broken = exported.stdout.replacen("\"key/2\"", "key/2", 1);
    let ended = import(&[], &broken);
    ended.failed(64, "plant: line 3: ");
    assert!(ended.stderr.contains("--skip 2"), "{}", ended.stderr);
    import(&["--skip", "2", "--create-only"], &exported.stdout).printed("4 lines imported\n");
    let again = import(&["--create-only"], &exported.stdout);
    again.failed(8, "plant: lines 1 to 3, 0 lines are imported");

    let versionless = |text: &str| -> Vec<Value> {
        let lines = text.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line["version"].take();
            line["timestamp"].take();
            line
        });
        lines.collect()
    };
    let exported_again = plant.run(&["export"]);
    assert_eq!(
        versionless(&exported_again.stdout),
        versionless(&exported.stdout)
    );
    plant
        .run(&["export", "org.none"])
        .failed(7, "plant: org.none: there is no such scope");
}

#[test]
fn an_import_that_was_cut_off_is_done_again_from_the_beginning() {
    const LINES: usize = 3_000;
    let plant = Installation::start();
    let lines: Vec<String> = (0..LINES)
        .map(|key| {
            let entry = json!({"scope": SCOPE, "key": format!("{key:05}"), "value": {"n": key},
                "version": 1, "timestamp": 1});
            format!("{entry}\n")
        })
        .collect();
    let mut import = plant.broker.plant(&["state", "import"]);
    let mut import = import.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = import.stdin.take().unwrap();
    stdin
        .write_all(lines[..LINES / 2].concat().as_bytes())
        .unwrap();
    // It is killed when a part of it is there, and its end has not been read.
    let keys = || plant.json(&["stats", SCOPE])[0]["keys"].as_u64().unwrap();
    while plant.run(&["stats", SCOPE]).code != Some(0) || keys() == 0 {}
    import.kill().unwrap();
    import.wait().unwrap();
    drop(stdin);
    assert!(keys() < LINES as u64);

    let import = ["state", "import"];
    let again = plant.broker.run_with(&import, lines.concat().as_bytes());
    again.printed(&format!("{LINES} lines imported\n"));
    assert_eq!(keys(), LINES as u64);
    let entries = plant.json(&["export", SCOPE]);
    for (key, entry) in entries.iter().enumerate() {
        assert_eq!(
            (&entry["key"], &entry["value"]),
            (&json!(format!("{key:05}")), &json!({"n": key}))
        );
    }
    // Once more, it changes nothing but versions.
    let again = plant.broker.run_with(&import, lines.concat().as_bytes());
    again.printed(&format!("{LINES} lines imported\n"));
    assert_eq!(keys(), LINES as u64);
}

#[test]
fn the_store_is_verified() {
    let plant = Installation::start();
    plant.set("a", "1");
    plant
        .run(&["verify"])
        .printed("as they were written: 1 key and 2 changes of 1 scope\n");
    let verified = &plant.json(&["verify"])[0];
    assert_eq!(
        (&verified["keys"], &verified["scopes"]),
        (&json!(1), &json!(1))
    );
}

#[test]
fn without_a_state_service_it_is_exit_code_3() {
    let broker = Broker::start();
    let ended = broker.run(&["state", "get", SCOPE, "a", "--timeout", "100ms"]);
    ended.failed(3, "plant: nobody serves org.plantd.State;");
}

const MAP: &str = "[{name: north, prefix: org.north.}, {name: north, from: x, until: y}, {name: rest, rest: true}]";

#[test]
fn shards_are_listed_and_everything_works_over_their_router() {
    let plant = Installation::start();
    plant
        .run(&["shards"])
        .printed("org.plantd.State has every scope: there are no shards\n");
    let Installation { broker, .. } = &plant;
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str, role: (&str, &str)| {
        let database = folder.path().join(name);
        broker.state_with(
            &database,
            &[("SHARDS", MAP), role, ("SERVICE", "org.example.State")],
        )
    };
    let _running = [
        start("north", ("SHARD", "north")),
        start("rest", ("SHARD", "rest")),
        start("router", ("ROLE", "router")),
    ];
    let run = |arguments: &[&str]| {
        broker.run(&[&["state", "--service", "org.example.State"], arguments].concat())
    };
    run(&["shards"]).printed(
        "SHARD  SERVICE                  SCOPES\n\
         north  org.example.State.north  prefix org.north.\n\
         north  org.example.State.north  from x until y\n\
         rest   org.example.State.rest   the rest\n",
    );
    let map = &run(&["shards", "-o", "json"]).json()[0];
    assert_eq!(map["shards"][1]["shares"], json!([{"rest": true}]));
    assert_eq!(map["ranges"][0], json!({"from": "", "shard": "rest"}));
    for scope in ["org.north.1", "org.z"] {
        run(&["set", scope, "a", "1"]).printed("version 2\n");
        run(&["get", scope, "a"]).printed("1\n");
    }
    run(&["scopes"]).printed("org.north.1\norg.z\n");
    let stats = &run(&["stats", "-o", "json"]).json()[0];
    assert_eq!(
        (&stats["keys"], &stats["shards"][1]["keys"]),
        (&json!(2), &json!(1))
    );
    let stats = run(&["stats"]);
    assert!(stats.stdout.contains("shard north"), "{}", stats.stdout);
    let backup = run(&["backup"]);
    assert_eq!(backup.stdout.lines().count(), 2, "{}", backup.stdout);
    assert!(
        backup.stdout.starts_with("north: plantd-state-"),
        "{}",
        backup.stdout
    );

    let export = run(&["export"]);
    assert_eq!(export.stdout.lines().count(), 2, "{}", export.stdout);
    let set = |scope: &str| {
        format!("{{\"op\":\"set\",\"scope\":\"{scope}\",\"key\":\"b\",\"value\":1}}\n")
    };
    let batch = [set("org.north.1"), set("org.z")].concat();
    let arguments = ["state", "--service", "org.example.State", "batch"];
    let ended = broker.run_with(&arguments, batch.as_bytes());
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("scopes of north and rest"),
        "{}",
        ended.stderr
    );
    // An export of several shards is imported, though its lines are written in batches.
    let arguments = ["state", "--service", "org.example.State", "import"];
    let ended = broker.run_with(&arguments, export.stdout.as_bytes());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

//! Watches that go on over restarts of the broker and the daemon.

use std::collections::BTreeMap;

use plantd_client::Transport;
use plantd_client::state::{Operation, Value, Watch, WatchError, WatchItem};

use crate::installation::Installation;
use crate::over_both_transports;

over_both_transports!(
    a_watch_over_restarts_of_everything_tells_each_change_once,
    a_snapshot_and_what_follows_are_all_that_there_is,
    what_the_history_no_longer_has_is_told_as_a_gap,
    a_watch_of_a_scope_that_is_deleted_ends,
);

const SCOPE: &str = "org.example.Plant";

/// The versions of the next changes.
async fn versions(watch: &mut Watch, count: usize) -> Vec<u64> {
    let mut versions = Vec::new();
    while versions.len() < count {
        let item = watch.next().await.unwrap().unwrap();
        let WatchItem::Change(change) = item else {
            panic!("a change: {item:?}");
        };
        versions.push(change.version);
    }
    versions
}

async fn a_watch_over_restarts_of_everything_tells_each_change_once(transport: Transport) {
    let mut installation = Installation::start(transport).await;
    let scope = installation.state().scope(SCOPE);
    let mut at = scope.set("a", &0).await.unwrap().version;
    let mut watch = scope.watch().start().await.unwrap();
    for round in 0..4 {
        match round {
            0 => {}
            1 => {
                installation.stop_daemon().await;
                installation.start_daemon(&[]);
            }
            2 => {
                installation.kill_daemon().await;
                installation.start_daemon(&[]);
            }
            _ => {
                installation.stop_broker().await;
                installation.start_broker().await;
            }
        }
        for value in 0..3 {
            scope.set("a", &value).await.unwrap();
        }
        let told = versions(&mut watch, 3).await;
        assert_eq!(told, [at + 1, at + 2, at + 3], "in round {round}");
        at += 3;
        assert_eq!(watch.position(), Some(at));
    }
    let mut later = scope.watch().from(at - 2).start().await.unwrap();
    assert_eq!(versions(&mut later, 2).await, [at - 1, at]);
}

async fn a_snapshot_and_what_follows_are_all_that_there_is(transport: Transport) {
    let mut installation = Installation::start(transport).await;
    let state = installation.state();
    let scope = state.scope(SCOPE);
    for number in 0..20 {
        scope.set(&format!("key/{number}"), &number).await.unwrap();
    }
    let mut watch = scope
        .watch()
        .snapshot()
        .prefix("key/")
        .start()
        .await
        .unwrap();
    let mut known = BTreeMap::new();
    let mut is_complete = false;
    let mut apply = |item, known: &mut BTreeMap<String, Value>| match item {
        WatchItem::SnapshotBegin => known.clear(),
        WatchItem::SnapshotEnd => is_complete = true,
        WatchItem::Value(change) | WatchItem::Change(change) => {
            let key = change.key;
            match change.value {
                Some(value) => known.insert(key, value),
                None => known.remove(&key),
            };
        }
        WatchItem::Gap { .. } => panic!("nothing is missed"),
    };
    // Complete without a change to wait for.
    while known.len() < 20 || watch.position().is_none() {
        apply(watch.next().await.unwrap().unwrap(), &mut known);
    }
    installation.kill_daemon().await;
    installation.start_daemon(&[]);
    scope.delete("key/3").await.unwrap();
    scope.set("other", &1).await.unwrap();
    scope.set("key/4", &"new").await.unwrap();
    while known.get("key/4") != Some(&Value::json("new").unwrap()) {
        apply(watch.next().await.unwrap().unwrap(), &mut known);
    }
    assert!(is_complete);
    let listed = scope.list().prefix("key/").entries().all().await.unwrap();
    let listed = listed.into_iter().map(|entry| (entry.key, entry.value));
    assert!(known.into_iter().eq(listed));
}

async fn what_the_history_no_longer_has_is_told_as_a_gap(transport: Transport) {
    let mut installation = Installation::start(transport).await;
    installation.stop_daemon().await;
    installation.start_daemon(&[("HISTORY_COUNT", "10")]);
    let state = installation.state();
    let scope = state.scope(SCOPE);
    for round in 0..3 {
        let set = |key: u32| {
            let value = Value::json(&round).unwrap();
            Operation::set(SCOPE, &key.to_string(), value)
        };
        state.batch((0..500).map(set)).await.unwrap();
    }
    let mut watch = scope.watch().from(3).start().await.unwrap();
    let WatchItem::Gap { after: 3, until } = watch.next().await.unwrap().unwrap() else {
        panic!("what was between is gone");
    };
    assert!(until > 1_000, "{until}");
    let next = scope.set("a", &"next").await.unwrap().version;
    let told = versions(&mut watch, usize::try_from(next - until).unwrap()).await;
    assert_eq!(told.last(), Some(&next));
}

async fn a_watch_of_a_scope_that_is_deleted_ends(transport: Transport) {
    let installation = Installation::start(transport).await;
    let state = installation.state();
    let scope = state.scope(SCOPE);
    let missing = scope.watch().start().await.unwrap_err();
    assert!(matches!(missing, WatchError::NoScope), "{missing:?}");
    state.create_scope(SCOPE).await.unwrap();
    let mut watch = scope.watch().start().await.unwrap();
    state.delete_scope(SCOPE).await.unwrap();
    let ended = watch.next().await.unwrap().unwrap_err();
    assert!(matches!(ended, WatchError::NoScope), "{ended:?}");
    assert!(watch.next().await.is_none());
}

//! The client's `State` where there are shards: by their router first, then straight; and any other
//! client by the router.

use std::collections::BTreeMap;
use std::time::Duration;

use plantd_client::state::{Operation, StateError, Value, WatchItem, WriteError};
use plantd_client::{Client, State, Transport};
use plantd_tests::{Frames, frames};

use crate::installation::{Installation, Running};
use crate::over_both_transports;

over_both_transports!(
    a_client_goes_straight_once_a_router_has_told_it_of_the_shards,
    a_client_finds_a_scope_that_was_moved_to_another_shard,
    a_watch_over_restarts_of_shard_and_router_tells_each_change_once,
    what_is_about_all_shards_is_told_by_the_router,
    a_watch_leaves_the_router_once_the_shards_are_known,
    a_client_finds_a_shard_that_was_renamed_after_a_time_out,
    a_client_that_reaches_the_router_alone_goes_by_it,
);

pub(crate) const MAP: &str = "[{name: north, prefix: org.north.}, {name: rest, rest: true}]";
const MOVED: &str = "[{name: north, prefix: org.north.}, {name: north, prefix: org.x}, \
                     {name: rest, rest: true}]";
pub(crate) const NORTH: &str = "org.north.1";

/// Two shards and a router at a broker.
pub(crate) struct Shards {
    pub(crate) installation: Installation,
    pub(crate) running: BTreeMap<&'static str, Running>,
}

impl Shards {
    pub(crate) async fn start(transport: Transport) -> Self {
        let installation = Installation::without_daemon(transport).await;
        let running = BTreeMap::new();
        let mut shards = Self {
            installation,
            running,
        };
        shards.start_all(MAP);
        shards
    }

    fn start_all(&mut self, map: &str) {
        for name in ["north", "rest", "router"] {
            self.start_daemon(name, map);
        }
    }

    pub(crate) fn start_daemon(&mut self, name: &'static str, map: &str) {
        let role = match name {
            "router" => ("ROLE", "router"),
            shard => ("SHARD", shard),
        };
        let daemon = self.installation.daemon(name, &[("SHARDS", map), role]);
        self.running.insert(name, daemon);
    }

    pub(crate) async fn stop(&mut self, name: &str) {
        self.running.remove(name).unwrap().stop().await;
    }

    pub(crate) async fn kill(&mut self, name: &str) {
        self.running.remove(name).unwrap().kill().await;
    }

    /// Writes until the router does not see it any more.
    async fn until_straight(&self, state: &State) {
        let router = &self.running["router"];
        loop {
            let before = router.handed_on().await;
            state.scope(NORTH).set("known", &1).await.unwrap();
            if router.handed_on().await == before {
                return;
            }
        }
    }
}

async fn a_client_goes_straight_once_a_router_has_told_it_of_the_shards(transport: Transport) {
    let mut shards = Shards::start(transport).await;
    let state = shards.installation.state();
    let (north, rest) = (state.scope(NORTH), state.scope("org.z"));
    let first = north.set("a", &1).await.unwrap();
    shards.until_straight(&state).await;
    shards.stop("router").await;
    // Without it everything that is about a scope goes on.
    rest.set("a", &2).await.unwrap();
    let again = north.set("a", &3).if_version(first.version).await.unwrap();
    assert_eq!(again.previous, first.version);
    assert_eq!(north.get::<u8>("a").await.unwrap().unwrap().value, 3);
    let operations = [
        Operation::set(NORTH, "b", Value::json(&1).unwrap()),
        Operation::delete("org.north.2", "c"),
    ];
    let batch = state.batch(operations).await;
    assert!(
        matches!(batch, Err(WriteError::InBatch { .. })),
        "{batch:?}"
    );
    let mut watch = north.watch().from(again.version).start().await.unwrap();
    shards.stop("north").await;
    shards.start_daemon("north", MAP);
    let last = north.set("a", &4).await.unwrap();
    let told = watch.next().await.unwrap().unwrap();
    assert!(matches!(told, WatchItem::Change(change) if change.version == last.version));
}

async fn a_client_finds_a_scope_that_was_moved_to_another_shard(transport: Transport) {
    const MOVING: &str = "org.example.Moving";
    let mut shards = Shards::start(transport).await;
    let state = shards.installation.state();
    let scope = state.scope("org.x");
    scope.set("a", &"one").await.unwrap();
    shards.until_straight(&state).await;
    for name in ["router", "north", "rest"] {
        shards.stop(name).await;
    }
    // What is asked meanwhile was not done, and is asked where the scope will be.
    let (writer, reader) = (scope.clone(), scope.clone());
    let writing = tokio::spawn(async move { writer.set("b", &"two").await });
    let reading = tokio::spawn(async move { reader.get::<String>("a").await });

    // As `docs/operations.md` says it.
    let alone = shards.installation.daemon("rest", &[("SERVICE", MOVING)]);
    let client = shards.installation.client();
    let moving = State::builder(&client).service(MOVING).build();
    let entries = moving.scope("org.x").list().entries().all().await.unwrap();
    alone.stop().await;
    for name in ["north", "rest"] {
        shards.start_daemon(name, MOVED);
    }
    let operations = entries
        .into_iter()
        .map(|it| Operation::set("org.x", &it.key, it.value));
    let north = State::builder(&client)
        .service("org.plantd.State.north")
        .build();
    north.batch(operations).await.unwrap();
    shards.start_daemon("router", MOVED);

    let written = writing.await.unwrap().unwrap();
    assert_eq!(reading.await.unwrap().unwrap().unwrap().value, "one");
    let entry = scope.get::<String>("b").await.unwrap().unwrap();
    assert_eq!(
        (entry.value.as_str(), entry.version),
        ("two", written.version)
    );
    assert_eq!(
        north
            .scope("org.x")
            .get::<String>("b")
            .await
            .unwrap()
            .unwrap(),
        entry
    );
    let map = state.shards().await.unwrap();
    assert_eq!(map.of("org.x").unwrap().name, "north");
    // What is left behind is told of, and can be deleted.
    assert_eq!(state.stats().await.unwrap().outside, 1);
    shards.stop("rest").await;
    let alone = shards.installation.daemon("rest", &[("SERVICE", MOVING)]);
    assert_eq!(moving.delete_scope("org.x").await.unwrap(), 1);
    alone.stop().await;
    shards.start_daemon("rest", MOVED);
    assert_eq!(state.stats().await.unwrap().outside, 0);
}

async fn a_watch_over_restarts_of_shard_and_router_tells_each_change_once(transport: Transport) {
    let mut shards = Shards::start(transport).await;
    let state = shards.installation.state();
    let scope = state.scope(NORTH);
    let mut at = scope.set("a", &0).await.unwrap().version;
    // Neither has learnt of the shards: it begins by the router.
    let watcher = shards.installation.state().scope(NORTH);
    let mut watch = watcher.watch().from(at).start().await.unwrap();
    for round in 0..4 {
        match round {
            1 => {
                shards.stop("north").await;
                shards.start_daemon("north", MAP);
            }
            2 => {
                shards.kill("north").await;
                shards.start_daemon("north", MAP);
            }
            3 => {
                shards.kill("router").await;
                shards.start_daemon("router", MAP);
            }
            _ => {}
        }
        for value in 0..3 {
            at += 1;
            assert_eq!(scope.set("a", &value).await.unwrap().version, at);
        }
        for version in at - 2..=at {
            let told = watch.next().await.unwrap().unwrap();
            let WatchItem::Change(change) = told else {
                panic!("a change in round {round}: {told:?}");
            };
            assert_eq!(change.version, version, "in round {round}");
        }
    }
}

async fn a_watch_leaves_the_router_once_the_shards_are_known(transport: Transport) {
    let shards = Shards::start(transport).await;
    let state = shards.installation.state();
    let scope = state.scope(NORTH);
    scope.set("a", &0).await.unwrap();
    // Knows nothing, and so begins by the router.
    let watcher = shards.installation.state().scope(NORTH);
    let mut watch = watcher.watch().snapshot().start().await.unwrap();
    for _ in 0..3 {
        watch.next().await.unwrap().unwrap();
    }
    let health = shards.running["router"].serve_health().await;
    let health = health.address().to_string();
    let mut version = 2;
    loop {
        version = scope.set("a", &version).await.unwrap().version;
        let told = watch.next().await.unwrap().unwrap();
        assert!(
            matches!(&told, WatchItem::Change(change) if change.version == version),
            "{told:?}"
        );
        let metrics = plantd_test_process::get(&health, "/metrics");
        if metrics.contains("plantd_state_watches 0\n") {
            return;
        }
    }
}

async fn a_client_finds_a_shard_that_was_renamed_after_a_time_out(transport: Transport) {
    let mut shards = Shards::start(transport).await;
    let client = shards.installation.client();
    let builder = State::builder(&client).timeout(Duration::from_secs(2));
    let state = builder.build();
    let scope = state.scope(NORTH);
    let first = scope.set("a", &1).await.unwrap();
    shards.until_straight(&state).await;
    for name in ["router", "north", "rest"] {
        shards.stop(name).await;
    }
    let map = MAP.replace("north,", "south,");
    let _south = shards
        .installation
        .daemon("north", &[("SHARDS", &map), ("SHARD", "south")]);
    shards.start_daemon("rest", &map);
    shards.start_daemon("router", &map);
    let ended = scope.get::<u8>("a").await.unwrap_err();
    assert_eq!(ended.code(), "timeout");
    let entry = scope.get::<u8>("a").await.unwrap().unwrap();
    assert_eq!(entry.version, first.version);
}

async fn a_client_that_reaches_the_router_alone_goes_by_it(transport: Transport) {
    let mut shards = Shards::start(transport).await;
    shards.stop("router").await;
    let own = format!("{}-router", shards.installation.endpoint());
    let variables = [
        ("SHARDS", MAP),
        ("ROLE", "router"),
        ("ENDPOINT", own.as_str()),
    ];
    let router = shards.installation.daemon("router", &variables);
    let health = router.serve_health().await;
    let client = Client::builder()
        .broker(&own)
        .transport(transport)
        .connect();
    let client = client.unwrap();
    let state = State::new(&client);
    for value in 0..50 {
        state.scope(NORTH).set("a", &value).await.unwrap();
    }
    // It learns that there are shards, and that they are not there for it.
    assert_eq!(state.shards().await.unwrap().iter().len(), 2);
    for value in 0..50 {
        state.scope("org.z").set("a", &value).await.unwrap();
    }
    let metrics = plantd_test_process::get(&health.address().to_string(), "/metrics");
    let failed = "plantd_state_requests_failed_total{code=\"no-worker\"} ";
    let failed = metrics.lines().find_map(|line| line.strip_prefix(failed));
    let failed: u32 = failed.unwrap().parse().unwrap();
    assert!((1..=10).contains(&failed), "{failed}");
    router.stop().await;
}

async fn what_is_about_all_shards_is_told_by_the_router(transport: Transport) {
    let shards = Shards::start(transport).await;
    let state = shards.installation.state();
    let map = state.shards().await.unwrap();
    let services: Vec<&str> = map.iter().map(|shard| shard.service.as_str()).collect();
    assert_eq!(
        services,
        ["org.plantd.State.north", "org.plantd.State.rest"]
    );
    for scope in [NORTH, "org.a", "org.z"] {
        state.scope(scope).set("a", &1).await.unwrap();
    }
    let scopes = state.scopes("").all().await.unwrap();
    assert_eq!(scopes, ["org.a", NORTH, "org.z"]);
    let stats = state.stats().await.unwrap();
    let each = stats.shards.iter().map(|it| (it.name.as_str(), it.keys));
    assert_eq!(
        (stats.keys, each.collect()),
        (3, vec![("north", 1), ("rest", 2)])
    );
    let backup = state.backup().await.unwrap().done().await.unwrap();
    let each = backup.shards.iter().map(|it| (it.shard.as_str(), it.keys));
    assert_eq!(
        (backup.keys, each.collect()),
        (3, vec![("north", 1), ("rest", 2)])
    );
    assert_eq!(
        state.verify(None).await.unwrap().done().await.unwrap().keys,
        3
    );
    let set = |scope: &str| Operation::set(scope, "b", Value::json(&1).unwrap());
    state.batch([set("org.a"), set("org.z")]).await.unwrap();
    let crossing = state.batch([set("org.a"), set(NORTH)]).await.unwrap_err();
    assert_eq!(crossing.code(), "cross-shard");
    assert!(
        matches!(crossing, WriteError::Failed(StateError::Refused(_))),
        "{crossing:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_any_dialect_reach_the_shards_by_the_router() {
    crate::in_time(async {
        let shards = Shards::start(Transport::Plantd).await;
        let endpoint = shards.installation.endpoint();
        let asking = tokio::task::spawn_blocking(move || {
            for scope in [NORTH, "org.z"] {
                ask_in_every_dialect(&endpoint, scope);
            }
        });
        asking.await.unwrap();
        let stats = shards.installation.state().stats().await.unwrap();
        assert_eq!(
            stats.shards.iter().map(|it| it.keys).collect::<Vec<_>>(),
            [3, 3]
        );
    })
    .await;
}

fn ask_in_every_dialect(endpoint: &str, scope: &str) {
    const SERVICE: &str = "org.plantd.State";
    let context = zmq::Context::new();
    let ask = |kind, frames: Frames| {
        let socket = context.socket(kind).unwrap();
        socket.set_linger(0).unwrap();
        socket
            .set_rcvtimeo(plantd_tests::PATIENCE.as_millis() as i32)
            .unwrap();
        socket.connect(endpoint).unwrap();
        socket.send_multipart(frames.0, 0).unwrap();
        socket.recv_multipart(0).unwrap()
    };
    let set = |key: &str| {
        format!("{{\"token\":\"t\",\"service\":\"{scope}\",\"key\":\"{key}\",\"value\":\"1\"}}")
    };
    let read = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();

    // RFC 18, as any client in Python or C writes it.
    let reply = ask(
        zmq::DEALER,
        frames!["MDPC02", 1, SERVICE, "state-set", set("a")],
    );
    assert_eq!(reply[..3], frames!["MDPC02", 3, SERVICE].0);
    assert_eq!(read(&reply[3])["data"]["key"], "a");
    // The words of the Go plantd.
    let reply = ask(
        zmq::DEALER,
        frames!["", "MDPC02", "REQUEST", SERVICE, "state-set", set("b")],
    );
    assert_eq!(reply[..3], frames!["MDPC02", "FINAL", SERVICE].0);
    assert_eq!(read(&reply[3])["data"]["status"], "set");
    // RFC 7 by a REQ socket.
    let reply = ask(zmq::REQ, frames!["MDPC01", SERVICE, "state-set", set("c")]);
    assert_eq!(reply[..2], frames!["MDPC01", SERVICE].0);
    assert_eq!(read(&reply[2])["success"], true);
    // What is lost is told in these dialects too, where nothing was done.
    let reply = ask(
        zmq::DEALER,
        frames!["MDPC02", 1, SERVICE, "state-get", "{}"],
    );
    assert_eq!(read(&reply[3])["code"], "bad-request");
}

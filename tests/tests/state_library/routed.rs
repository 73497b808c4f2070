//! What a client has of several shards and routers: one service that is always there, and reads from memory.

use std::collections::BTreeSet;

use plantd_client::{Body, Transport};
use tokio::task::JoinSet;

use crate::caching::{cached, stats, until_hit, until_read};
use crate::over_both_transports;
use crate::sharded::{MAP, NORTH, Shards};

over_both_transports!(
    several_routers_take_turns_and_one_that_is_killed_loses_nothing,
    a_cache_follows_scopes_of_every_shard_over_restarts,
);

async fn several_routers_take_turns_and_one_that_is_killed_loses_nothing(transport: Transport) {
    const WRITES: u64 = 200;
    let mut shards = Shards::start(transport).await;
    let another = [("SHARDS", MAP), ("ROLE", "router")];
    let another = shards.installation.daemon("another", &another);
    // Not the library's `State`, which would go straight.
    let client = shards.installation.client();
    let write = |number: u64| {
        let client = client.clone();
        async move {
            let scope = if number.is_multiple_of(2) {
                NORTH
            } else {
                "org.z"
            };
            let json = format!(
                r#"{{"scope": "{scope}", "key": "{number}", "value": 1, "create-only": true,
                    "id": "write-{number}"}}"#
            );
            let body = Body::from_frames(["state-set".as_bytes(), json.as_bytes()]);
            let reply = client.request("org.plantd.State", body).await.unwrap();
            let reply: serde_json::Value =
                serde_json::from_str(reply.body.text().unwrap()).unwrap();
            assert_eq!(reply["success"], true, "{reply}");
            (scope, reply["data"]["version"].as_u64().unwrap())
        }
    };
    let mut written = Vec::new();
    while shards.running["router"].handed_on().await == 0 || another.handed_on().await == 0 {
        written.push(write(written.len() as u64).await);
    }
    let first = written.len() as u64;
    let mut writing: JoinSet<_> = (first..first + WRITES).map(write).collect();
    for _ in 0..WRITES / 4 {
        written.push(writing.join_next().await.unwrap().unwrap());
    }
    shards.kill("router").await;
    written.extend(writing.join_all().await);
    // Each was done, and once: the versions of a scope have no hole and no double.
    for scope in [NORTH, "org.z"] {
        let of_scope = written.iter().filter(|(of, _)| *of == scope);
        let versions: BTreeSet<u64> = of_scope.map(|(_, version)| *version).collect();
        let stats = shards
            .installation
            .state()
            .scope(scope)
            .stats()
            .await
            .unwrap();
        assert_eq!(stats.keys, versions.len() as u64);
        // The first change made the scope.
        assert_eq!(versions, (2..=stats.sequence).collect());
    }
    another.stop().await;
}

async fn a_cache_follows_scopes_of_every_shard_over_restarts(transport: Transport) {
    let mut shards = Shards::start(transport).await;
    let state = cached(&shards.installation);
    let others = shards.installation.state();
    for (shard, scope) in [("north", NORTH), ("rest", "org.z")] {
        let (scope, others) = (state.scope(scope), others.scope(scope));
        others.set("a", &1).await.unwrap();
        assert_eq!(until_hit(&state, &scope, "a").await.unwrap().value, 1);
        others.set("a", &2).await.unwrap();
        until_read(&scope, "a", Some(2)).await;
        shards.kill(shard).await;
        shards.start_daemon(shard, MAP);
        others.set("a", &3).await.unwrap();
        until_read(&scope, "a", Some(3)).await;
        assert_eq!(until_hit(&state, &scope, "a").await.unwrap().value, 3);
        others.set("a", &4).await.unwrap();
        until_read(&scope, "a", Some(4)).await;
    }
    assert_eq!(stats(&state).scopes, 2);
}

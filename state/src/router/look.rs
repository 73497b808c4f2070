//! Whether every shard is there, and has the same map.

use std::time::Duration;

use plantd_client::Body;
use plantd_daemon::health::Check;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::Router;
use super::gather::Told;
use crate::shards::Shard;

/// How often every shard is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long one may take; together less than what a lost dependency may stay unseen.
const PATIENCE: Duration = Duration::from_secs(2);

impl Router {
    /// Keeps a check at what is seen of the shards.
    pub(super) async fn keep_looking(self, check: Check) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            ticks.tick().await;
            let problems = self.look().await;
            let reason = problems.join("; ");
            if problems.is_empty() {
                check.up();
            } else if problems.len() < self.map.shards().len() {
                check.degraded(&reason);
            } else {
                check.down(&reason);
            }
            if told.as_ref() != Some(&reason) {
                if !reason.is_empty() {
                    tracing::warn!(context = "state.shards", reason, "not every shard is well");
                } else if told.is_some() {
                    tracing::info!(context = "state.shards", "every shard is well again");
                }
                told = Some(reason);
            }
        }
    }

    /// What is wrong with each shard, in the order of the map.
    async fn look(&self) -> Vec<String> {
        let mut asking = JoinSet::new();
        for (index, shard) in self.map.shards().iter().enumerate() {
            let (router, shard) = (self.clone(), shard.clone());
            asking.spawn(async move { (index, router.look_at(&shard).await) });
        }
        let mut problems = asking.join_all().await;
        problems.sort_unstable();
        problems
            .into_iter()
            .filter_map(|(_, problem)| problem)
            .collect()
    }

    async fn look_at(&self, shard: &Shard) -> Option<String> {
        let body = Body::from_frames(["shards", "{}"]);
        let asked = self
            .requests
            .request(&shard.service, body)
            .timeout(PATIENCE);
        let told = match asked.await {
            Ok(reply) => Told::read(shard, &reply.body),
            Err(error) => return Some(format!("{} does not answer: {error}", shard.name)),
        };
        match told {
            Ok(told) => {
                let version = told.data.get("version").and_then(serde_json::Value::as_str);
                let is_same = version == Some(self.map.version());
                (!is_same).then(|| format!("{} has another map", shard.name))
            }
            Err(refusal) => Some(refusal.to_string()),
        }
    }
}

//! What `/metrics` shows of a router.

use plantd_daemon::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::metrics::Asked;
use crate::shards::Shard;

type ByShard = Family<[(&'static str, String); 2], Counter>;

/// What the router counts.
#[derive(Debug, Clone)]
pub(super) struct Published {
    pub(super) asked: Asked,
    forwarded: ByShard,
}

/// A request that is handed on, and is counted once it ends, however that is.
#[derive(Debug)]
pub(super) struct Forwarding<'a> {
    forwarded: &'a ByShard,
    shard: &'a Shard,
    outcome: String,
}

impl Published {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let published = Self {
            asked: Asked::new(),
            forwarded: Family::default(),
        };
        metrics.register("state", |registry| {
            let it = published.clone();
            it.asked
                .register(registry, "Operations that were refused by the router");
            let help = "Requests that were handed on to a shard, by how they ended";
            registry.register("forwarded", help, it.forwarded);
        });
        published
    }

    pub(super) fn forwarding<'a>(&'a self, shard: &'a Shard) -> Forwarding<'a> {
        Forwarding {
            forwarded: &self.forwarded,
            shard,
            outcome: "given-up".to_owned(),
        }
    }
}

impl Forwarding<'_> {
    /// Says how it ended; without it the client gave it up.
    pub(super) fn ended(mut self, outcome: &str) {
        outcome.clone_into(&mut self.outcome);
    }
}

impl Drop for Forwarding<'_> {
    fn drop(&mut self) {
        let labels = [
            ("shard", self.shard.name.clone()),
            ("outcome", std::mem::take(&mut self.outcome)),
        ];
        self.forwarded.get_or_create(&labels).inc();
    }
}

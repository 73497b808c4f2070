//! What `/metrics` shows of a router.

use plantd_daemon::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;

use crate::refusal::Code;
use crate::shards::Shard;

type ByLabel = Family<[(&'static str, &'static str); 1], Counter>;
type ByShard = Family<[(&'static str, String); 2], Counter>;

/// What the router counts.
#[derive(Debug, Clone)]
pub(super) struct Published {
    operations: ByLabel,
    refusals: ByLabel,
    forwarded: ByShard,
    pub(super) seconds: Histogram,
    watches: Gauge,
}

/// A request that is handed on, and is counted once it ends, however that is.
#[derive(Debug)]
pub(super) struct Forwarding<'a> {
    forwarded: &'a ByShard,
    shard: &'a Shard,
    outcome: String,
}

/// A watch that is counted while it goes on.
#[derive(Debug)]
pub(super) struct Watching<'a>(&'a Gauge);

impl Published {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let published = Self {
            operations: Family::default(),
            refusals: Family::default(),
            forwarded: Family::default(),
            seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 18)),
            watches: Gauge::default(),
        };
        metrics.register("state", |registry| {
            let it = published.clone();
            let help = "Operations that were asked for";
            registry.register("operations", help, it.operations);
            let help = "Operations that were refused by the router";
            registry.register("refusals", help, it.refusals);
            let help = "Requests that were handed on to a shard, by how they ended";
            registry.register("forwarded", help, it.forwarded);
            let help = "How long operations took, from the request to the reply";
            registry.register_with_unit("operation", help, Unit::Seconds, it.seconds);
            registry.register("watches", "Watches under way", it.watches);
        });
        published
    }

    pub(super) fn asked(&self, operation: &'static str) {
        self.operations
            .get_or_create(&[("operation", operation)])
            .inc();
    }

    pub(super) fn refused(&self, code: Code) {
        self.refusals
            .get_or_create(&[("code", code.as_str())])
            .inc();
    }

    pub(super) fn forwarding<'a>(&'a self, shard: &'a Shard) -> Forwarding<'a> {
        Forwarding {
            forwarded: &self.forwarded,
            shard,
            outcome: "given-up".to_owned(),
        }
    }

    pub(super) fn watching(&self) -> Watching<'_> {
        self.watches.inc();
        Watching(&self.watches)
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

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

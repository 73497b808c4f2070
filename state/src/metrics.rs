//! What `/metrics` shows of the service.

use std::sync::Arc;
use std::time::Duration;

use plantd_daemon::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::refusal::Code;
use crate::request;

type ByLabel = Family<[(&'static str, &'static str); 1], Counter>;

/// What is counted of operations, by whoever answers them.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    operations: ByLabel,
    /// The same by name; they are looked up for each request.
    by_name: Arc<[(&'static str, Counter)]>,
    refusals: ByLabel,
    pub(crate) seconds: Histogram,
    watches: Gauge,
}

/// A watch that is counted while it goes on.
#[derive(Debug)]
pub(crate) struct Watching<'a>(&'a Gauge);

/// What the service counts.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) asked: Asked,
    commits: Counter,
    group: Histogram,
    sync_seconds: Histogram,
    pub(crate) refused_groups: Counter,
    pub(crate) unpublished: Counter,
    pub(crate) damages: Counter,
    pub(crate) file_bytes: Gauge,
    pub(crate) wal_bytes: Gauge,
    pub(crate) backups: Counter,
    pub(crate) backup_failures: Counter,
    pub(crate) backup_seconds: Gauge,
}

impl Asked {
    pub(crate) fn new() -> Self {
        let operations = ByLabel::default();
        let counted = |name| (name, operations.get_or_create_owned(&[("operation", name)]));
        let by_name = request::operations().map(counted).collect();
        Self {
            operations,
            by_name,
            refusals: Family::default(),
            seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 18)),
            watches: Gauge::default(),
        }
    }

    /// Shows it; the refusals under this help.
    pub(crate) fn register(self, registry: &mut Registry, refusals: &str) {
        let help = "Operations that were asked for";
        registry.register("operations", help, self.operations);
        registry.register("refusals", refusals, self.refusals);
        let help = "How long operations took, from the request to the reply";
        registry.register_with_unit("operation", help, Unit::Seconds, self.seconds);
        registry.register("watches", "Watches under way", self.watches);
    }

    pub(crate) fn operation(&self, name: &'static str) {
        let mut by_name = self.by_name.iter();
        if let Some((_, counter)) = by_name.find(|(known, _)| *known == name) {
            counter.inc();
        }
    }

    pub(crate) fn refused(&self, code: Code, times: u64) {
        self.refusals
            .get_or_create(&[("code", code.as_str())])
            .inc_by(times);
    }

    pub(crate) fn watching(&self) -> Watching<'_> {
        self.watches.inc();
        Watching(&self.watches)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Published {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let published = Self {
            asked: Asked::new(),
            commits: Counter::default(),
            group: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            sync_seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 18)),
            refused_groups: Counter::default(),
            unpublished: Counter::default(),
            damages: Counter::default(),
            file_bytes: Gauge::default(),
            wal_bytes: Gauge::default(),
            backups: Counter::default(),
            backup_failures: Counter::default(),
            backup_seconds: Gauge::default(),
        };
        for code in Code::ALL {
            published.asked.refused(code, 0);
        }
        metrics.register("state", |registry| {
            let it = published.clone();
            it.asked.register(registry, "Operations that were refused");
            let help = "Groups of writes that are on disk";
            registry.register("commits", help, it.commits);
            registry.register("group_writes", "Writes of a group", it.group);
            let help = "How long the disk took to sync a group";
            registry.register_with_unit("sync", help, Unit::Seconds, it.sync_seconds);
            let help = "Groups of writes that could not be committed";
            registry.register("refused_groups", help, it.refused_groups);
            let help = "Changes that could not be published on the state bus";
            registry.register("unpublished", help, it.unpublished);
            let help = "Damages that were found";
            registry.register("damages", help, it.damages);
            let help = "Size of the database file";
            registry.register_with_unit("file", help, Unit::Bytes, it.file_bytes);
            let help = "Size of the write-ahead log's file";
            registry.register_with_unit("wal", help, Unit::Bytes, it.wal_bytes);
            registry.register("backups", "Backups that were made", it.backups);
            let help = "Backups that failed";
            registry.register("backup_failures", help, it.backup_failures);
            let help = "When the last backup was made, in Unix time; 0: never";
            let unit = Unit::Seconds;
            registry.register_with_unit("backup_timestamp", help, unit, it.backup_seconds);
        });
        published
    }

    /// A group of so many writes, which the disk took so long to sync.
    pub(crate) fn committed(&self, writes: usize, synced: Duration) {
        self.commits.inc();
        self.sync_seconds.observe(synced.as_secs_f64());
        if writes > 0 {
            self.group.observe(writes as f64);
        }
    }
}

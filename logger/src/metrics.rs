//! What `/metrics` shows of the logger.

use std::time::Duration;

use plantd_daemon::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;

use crate::metric::Reason;
use crate::spool::Waiting;

type ByReason = Family<[(&'static str, &'static str); 1], Counter>;

/// Why metrics that were read are not in the table.
const DROPPED: [&str; 4] = [
    "spool_full",
    "spool_failed",
    "spool_damaged",
    "refused_by_database",
];

/// The counters of the logger. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    received: Counter,
    missed: Counter,
    gaps: Counter,
    refused: ByReason,
    stored: Counter,
    dropped: ByReason,
    batches_repeated: Counter,
    batch_duration: Histogram,
    spool_metrics: Gauge,
    spool_bytes: Gauge,
}

impl Published {
    /// Registers everything, so that each series is there from the start.
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let published = Self {
            received: Counter::default(),
            missed: Counter::default(),
            gaps: Counter::default(),
            refused: ByReason::default(),
            stored: Counter::default(),
            dropped: ByReason::default(),
            batches_repeated: Counter::default(),
            // 1 ms to 16 s.
            batch_duration: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            spool_metrics: Gauge::default(),
            spool_bytes: Gauge::default(),
        };
        for reason in Reason::ALL {
            let _ = published
                .refused
                .get_or_create(&[("reason", reason.as_str())]);
        }
        for reason in DROPPED {
            let _ = published.dropped.get_or_create(&[("reason", reason)]);
        }
        metrics.register("logger", |registry| {
            let mut counter = |name, help, counter: &Counter| {
                registry.register(name, help, counter.clone());
            };
            counter("received", "Messages read from buses", &published.received);
            counter(
                "gaps",
                "Times that messages were missing on a bus",
                &published.gaps,
            );
            counter(
                "missed",
                "Messages that were missing on a bus",
                &published.missed,
            );
            counter("stored", "Metrics in the database", &published.stored);
            counter(
                "batches_repeated",
                "Batches that were stored already when they were tried again",
                &published.batches_repeated,
            );
            let help = "Messages that are no metrics";
            registry.register("refused", help, published.refused.clone());
            let help = "Metrics that were read and are not stored";
            registry.register("dropped", help, published.dropped.clone());
            let help = "Time to store one batch";
            let duration = published.batch_duration.clone();
            registry.register_with_unit("batch_duration", help, Unit::Seconds, duration);
            let help = "Metrics that wait for the database";
            registry.register("spool_metrics", help, published.spool_metrics.clone());
            let help = "What waits for the database";
            let bytes = published.spool_bytes.clone();
            registry.register_with_unit("spool", help, Unit::Bytes, bytes);
        });
        published
    }

    pub(crate) fn received(&self) {
        self.received.inc();
    }

    /// Messages were missing; how many, where that is known.
    pub(crate) fn gap(&self, missed: u64) {
        self.gaps.inc();
        self.missed.inc_by(missed);
    }

    pub(crate) fn refused(&self, reason: Reason) {
        self.refused
            .get_or_create(&[("reason", reason.as_str())])
            .inc();
    }

    pub(crate) fn stored(&self, metrics: u64, took: Duration) {
        self.stored.inc_by(metrics);
        self.batch_duration.observe(took.as_secs_f64());
    }

    pub(crate) fn repeated(&self) {
        self.batches_repeated.inc();
    }

    pub(crate) fn dropped(&self, reason: &'static str, metrics: u64) {
        self.dropped
            .get_or_create(&[("reason", reason)])
            .inc_by(metrics);
    }

    pub(crate) fn waiting(&self, waiting: Waiting) {
        self.spool_metrics.set(waiting.metrics as i64);
        self.spool_bytes.set(waiting.bytes as i64);
    }
}

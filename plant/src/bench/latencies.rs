//! How long things took, in a fixed space.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::output::units;

/// The longest that is told apart; longer ones count as this.
const LONGEST: Duration = Duration::from_secs(3600);

/// Counts of latencies, to three digits.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

/// The latency that this share of all did not exceed, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        let longest = LONGEST.as_nanos() as u64;
        let histogram = Histogram::new_with_bounds(1, longest, 3);
        Self(histogram.expect("the bounds are in order"))
    }

    pub(super) fn add(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanoseconds);
    }

    pub(super) fn add_all(&mut self, others: &Self) {
        let added = self.0.add(&others.0);
        added.expect("all have the same bounds");
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// None where nothing was counted.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| {
            let nanoseconds = self.0.value_at_quantile(quantile);
            units::milliseconds(Duration::from_nanos(nanoseconds))
        };
        (self.count() > 0).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: at(1.0),
        })
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            p50,
            p90,
            p99,
            p99_9,
            max,
        } = *self;
        let [p50, p90, p99, p99_9, max] = [p50, p90, p99, p99_9, max]
            .map(|milliseconds| units::duration(Duration::from_secs_f64(milliseconds / 1e3)));
        write!(
            f,
            "p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}, max {max}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_what_that_share_did_not_exceed() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentiles(), None);
        for milliseconds in 1..=1000 {
            latencies.add(Duration::from_millis(milliseconds));
        }
        assert_eq!(latencies.count(), 1000);
        let text = latencies.percentiles().unwrap().to_string();
        assert_eq!(
            text,
            "p50 500 ms, p90 900 ms, p99 990 ms, p99.9 999 ms, max 1 s"
        );
    }

    #[test]
    fn what_is_longer_than_all_bounds_counts_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.add(Duration::MAX);
        assert!(latencies.percentiles().unwrap().max >= 3.6e6);
    }
}

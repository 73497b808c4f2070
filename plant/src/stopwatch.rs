//! The clock of this program: how long things took.

use std::time::{Duration, Instant};

use crate::output::units;

/// Counts from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the one clock of this program")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// What is counted of all answers.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct RoundTrips {
    count: u32,
    least: Duration,
    most: Duration,
    sum: Duration,
}

impl RoundTrips {
    pub(crate) fn add(&mut self, round_trip: Duration) {
        self.least = match self.count {
            0 => round_trip,
            _ => self.least.min(round_trip),
        };
        self.most = self.most.max(round_trip);
        self.sum += round_trip;
        self.count += 1;
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The end of a summary's line; empty where nothing was answered.
    pub(crate) fn text(&self) -> String {
        let Some(average) = self.sum.checked_div(self.count) else {
            return String::new();
        };
        let [least, average, most] = [self.least, average, self.most].map(units::duration);
        format!("; round trip min/avg/max {least} / {average} / {most}")
    }
}

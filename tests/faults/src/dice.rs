//! Chance by a seed.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What decides who is struck, when and how.
pub(crate) struct Dice(StdRng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Dice for somebody else, who throws them at times of their own.
    pub(crate) fn another(&mut self) -> Self {
        Self(StdRng::seed_from_u64(self.0.random()))
    }

    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    pub(crate) fn count(&mut self, range: RangeInclusive<usize>) -> usize {
        self.0.random_range(range)
    }

    pub(crate) fn milliseconds(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.0.random_range(range))
    }
}

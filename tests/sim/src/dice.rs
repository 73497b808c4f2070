//! The one source of chance in a run.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[derive(Debug)]
pub(crate) struct Dice(StdRng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Whether something happens that happens so often in a hundred times.
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    pub(crate) fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.random_range(range)
    }

    pub(crate) fn count(&mut self, range: RangeInclusive<usize>) -> usize {
        self.0.random_range(range)
    }

    /// A time between two numbers of milliseconds, in microseconds.
    pub(crate) fn milliseconds(&mut self, range: RangeInclusive<u64>) -> Duration {
        let (first, last) = range.into_inner();
        Duration::from_micros(self.0.random_range(first * 1000..=last * 1000))
    }

    /// A time around a mean: from nothing to twice as much.
    pub(crate) fn around(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(self.0.random_range(0.0..2.0))
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.random_range(0..choices.len())]
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes[..]);
        bytes
    }

    pub(crate) fn seed(&mut self) -> u64 {
        self.0.random()
    }
}

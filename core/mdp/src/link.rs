//! What the library's machines know of a link to a broker: when to try it again, and when its
//! silence is its end.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// The delays between attempts to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconnectDelays {
    /// The first delay, doubled after each failure; by default 100 ms.
    pub first: Duration,
    /// The longest delay; by default 5 s.
    pub longest: Duration,
}

impl Default for ReconnectDelays {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        }
    }
}

/// Exponential back-off, each delay shortened by chance by up to a half, so that many clients of
/// one broker do not come back at once.
#[derive(Debug)]
pub struct Backoff {
    delays: ReconnectDelays,
    failures: u32,
    rng: StdRng,
}

impl Backoff {
    /// Begins with the first delay; the seed is for the jitter.
    pub fn new(delays: ReconnectDelays, seed: u64) -> Self {
        Self {
            delays,
            failures: 0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// The delay until the next attempt, after one that failed.
    pub fn next_delay(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let delay = self.delays.first.saturating_mul(factor);
        self.failures = self.failures.saturating_add(1);
        delay
            .min(self.delays.longest)
            .mul_f64(self.rng.random_range(0.5..=1.0))
    }

    /// To be called after a good exchange: a connection that opens and dies is still a failure.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// How long the other side has been silent, in heartbeat intervals.
///
/// Intervals are counted, not measured: when this process was stopped for long, the late look at
/// the clock counts as one, and what came meanwhile is read before the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    interval: Duration,
    liveness: u32,
    missed: u32,
    due: Instant,
}

impl Silence {
    pub(crate) fn new(interval: Duration, liveness: u32, now: Instant) -> Self {
        Self {
            interval,
            liveness,
            missed: 0,
            due: now + interval,
        }
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.missed = 0;
        self.due = now + self.interval;
    }

    /// When the next interval ends.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Ends an interval that is due; whether it was the last one that is waited for.
    pub(crate) fn miss(&mut self, now: Instant) -> bool {
        self.missed += 1;
        self.due = now + self.interval;
        self.missed >= self.liveness
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_32_delays_double_with_jitter_up_to_the_longest_until_reset() {
        let mut backoff = Backoff::new(ReconnectDelays::default(), 7);
        for ceiling_ms in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let ceiling = Duration::from_millis(ceiling_ms);
            let delay = backoff.next_delay();
            assert!(
                (ceiling / 2..=ceiling).contains(&delay),
                "{delay:?} of {ceiling:?}"
            );
        }
        for _ in 0..100 {
            assert!(backoff.next_delay() <= Duration::from_secs(5));
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }

    #[test]
    fn two_seeds_give_two_sequences() {
        let delays = |seed| {
            let mut backoff = Backoff::new(ReconnectDelays::default(), seed);
            std::iter::from_fn(|| Some(backoff.next_delay()))
                .take(4)
                .collect::<Vec<_>>()
        };
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }
}

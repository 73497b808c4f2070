//! At most one log line in an interval for each reason.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Lets one line through in an interval for each reason, and counts the others.
///
/// Holds one entry a reason, for good: reasons are a closed set, never what a peer sent.
#[derive(Clone, Debug)]
pub struct Throttle<R> {
    interval: Duration,
    reasons: BTreeMap<R, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    opened: Instant,
    suppressed: u64,
}

impl<R: Ord> Throttle<R> {
    /// A throttle that lets one line a `interval` through for each reason.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            reasons: BTreeMap::new(),
        }
    }

    /// A throttle of one line a second.
    pub fn per_second() -> Self {
        Self::new(Duration::from_secs(1))
    }

    /// Whether a line for `reason` may be written: `Some` with the number of those suppressed since
    /// the last one, else `None`.
    pub fn allow(&mut self, reason: R, now: Instant) -> Option<u64> {
        let interval = self.interval;
        let mut suppressed = Some(0);
        self.reasons
            .entry(reason)
            .and_modify(|window| {
                if now.saturating_duration_since(window.opened) < interval {
                    window.suppressed += 1;
                    suppressed = None;
                } else {
                    suppressed = Some(window.suppressed);
                    *window = Window {
                        opened: now,
                        suppressed: 0,
                    };
                }
            })
            .or_insert(Window {
                opened: now,
                suppressed: 0,
            });
        suppressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
    fn one_line_a_second_for_each_reason_and_the_rest_counted() {
        let mut throttle = Throttle::per_second();
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);

        assert_eq!(throttle.allow("garbage", after(0)), Some(0));
        assert_eq!(throttle.allow("garbage", after(1)), None);
        assert_eq!(throttle.allow("garbage", after(999)), None);
        assert_eq!(throttle.allow("deadline", after(999)), Some(0));
        assert_eq!(throttle.allow("garbage", after(1_000)), Some(2));
        assert_eq!(throttle.allow("garbage", after(1_001)), None);
        assert_eq!(throttle.allow("garbage", after(5_000)), Some(1));
        assert_eq!(throttle.allow("garbage", after(9_000)), Some(0));
    }
}

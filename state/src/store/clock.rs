//! The store's two clocks, which never go back.
//!
//! *Stamps* are what users see: the machine's wall clock, and at least one nanosecond after the
//! stamp before. *The clock* is what a `ttl` is counted by: it goes on as the monotonic clock does,
//! whatever is done to the wall clock, and over a restart by how far the wall clock went on. So a
//! wall clock that is set back makes values stay longer at worst, and one that is set forward
//! changes nothing while the daemon runs.

use std::time::{Duration, Instant, SystemTime};

/// What of the clocks is kept over a restart. Nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The last stamp.
    pub(crate) stamp: i64,
    /// What the clock showed.
    pub(crate) clock: i64,
    /// What the wall clock showed at that moment.
    pub(crate) wall: i64,
}

/// The two clocks while a daemon runs.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    stamp: i64,
    base: i64,
    began: Instant,
}

impl Clock {
    /// Goes on from what was kept, if anything was.
    pub(crate) fn start(kept: Option<Kept>, now: Instant, wall: SystemTime) -> Self {
        let wall = nanoseconds(wall);
        let (stamp, base) = match kept {
            Some(kept) => (kept.stamp, kept.clock + (wall - kept.wall).max(0)),
            None => (0, wall),
        };
        Self {
            stamp,
            base,
            began: now,
        }
    }

    /// What a `ttl` is counted by.
    pub(crate) fn clock(&self, now: Instant) -> i64 {
        self.base + signed(now.saturating_duration_since(self.began))
    }

    /// The next stamp.
    pub(crate) fn stamp(&mut self, wall: SystemTime) -> i64 {
        self.stamp = nanoseconds(wall).max(self.stamp + 1);
        self.stamp
    }

    /// What the next stamp would be at least, without taking one.
    pub(crate) fn last_stamp(&self, wall: SystemTime) -> i64 {
        nanoseconds(wall).max(self.stamp)
    }

    /// What is to be kept.
    pub(crate) fn kept(&self, now: Instant, wall: SystemTime) -> Kept {
        Kept {
            stamp: self.stamp,
            clock: self.clock(now),
            wall: nanoseconds(wall),
        }
    }
}

/// A time span as a clock counts it.
pub(crate) fn signed(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX / 4)
}

fn nanoseconds(wall: SystemTime) -> i64 {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn wall(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[expect(clippy::disallowed_methods, reason = "the origin of the test's time")]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_wall_clock_that_is_set_does_not_move_the_clock() {
        let began = origin();
        let mut clock = Clock::start(None, began, wall(1_000));
        let later = began + Duration::from_secs(5);
        assert_eq!(clock.clock(later), 1_005 * SECOND);
        assert_eq!(clock.stamp(wall(2_000)), 2_000 * SECOND);
        assert_eq!(clock.stamp(wall(500)), 2_000 * SECOND + 1);
        assert_eq!(clock.clock(later), 1_005 * SECOND);
    }

    #[test]
    fn over_a_restart_time_passes_as_the_wall_clock_says_and_never_back() {
        let kept = Kept {
            stamp: 7_000 * SECOND,
            clock: 1_005 * SECOND,
            wall: 2_000 * SECOND,
        };
        let now = origin();
        let ahead = Clock::start(Some(kept), now, wall(2_010));
        assert_eq!(ahead.clock(now), 1_015 * SECOND);
        let mut back = Clock::start(Some(kept), now, wall(10));
        assert_eq!(back.clock(now), 1_005 * SECOND);
        assert_eq!(back.stamp(wall(10)), 7_000 * SECOND + 1);
    }
}

//! For how many writes a group waits.
//!
//! Clients of which each waits for its answer come as a crowd, and two groups take turns: while one is synced the other is
//! decided. Left alone the first few of a crowd find the disk free and go at once, all others go together after
//! them, and come back together: as many syncs for the few as for the many. So a group waits until it has nearly half of
//! those who have written lately, for no longer than a sync takes. Not for all of half: the other half is in the group that
//! is being synced, and one who is late would have everybody wait.

use std::time::{Duration, Instant};

/// A group does not wait for fewer.
const FEWEST: usize = 4;
/// A group waits no longer than this, however slow the disk is.
const PATIENCE: Duration = Duration::from_millis(1);

/// Those who write at present.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// The sizes of the last two groups.
    sizes: [usize; 2],
}

/// How long the present group waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    wanted: usize,
    longest: Duration,
    until: Option<Instant>,
}

impl Crowd {
    /// Notes that a group of so many was committed; one of none is upkeep's.
    pub(super) fn committed(&mut self, size: usize) {
        if size > 0 {
            let [_, last] = self.sizes;
            self.sizes = [last, size];
        }
    }

    /// How long a group waits that begins now, on a disk that syncs in this time.
    pub(super) fn patience(&self, sync: Duration) -> Patience {
        let half = self.sizes.iter().sum::<usize>() / 2;
        let wanted = half - half / 8;
        Patience {
            wanted: if wanted < FEWEST { 0 } else { wanted },
            longest: sync.min(PATIENCE),
            until: None,
        }
    }
}

impl Patience {
    /// How long a group of so many waits for the next one; `None`: no longer.
    pub(super) fn left(&mut self, size: usize, now: impl FnOnce() -> Instant) -> Option<Duration> {
        if size == 0 || size >= self.wanted {
            return None;
        }
        let now = now();
        let until = *self.until.get_or_insert_with(|| now + self.longest);
        until.checked_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(250);

    #[expect(clippy::disallowed_methods, reason = "some moment")]
    fn some_moment() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_group_waits_for_nearly_half_of_a_crowd_and_no_longer_than_for_a_sync() {
        let began = some_moment();
        let at = |micros| move || began + Duration::from_micros(micros);
        let mut crowd = Crowd::default();
        assert_eq!(
            crowd.patience(SYNC).left(1, at(0)),
            None,
            "nobody was there"
        );
        crowd.committed(46);
        crowd.committed(4);
        let mut patience = crowd.patience(SYNC);
        assert_eq!(patience.left(4, at(0)), Some(SYNC));
        assert_eq!(patience.left(21, at(100)), Some(Duration::from_micros(150)));
        assert_eq!(patience.left(22, at(110)), None, "nearly half are there");
        assert_eq!(patience.left(21, at(251)), None, "a sync takes no longer");
        let slow = crowd.patience(Duration::from_secs(1)).left(4, at(0));
        assert_eq!(slow, Some(PATIENCE));
        // Upkeep alone waits for nobody.
        assert_eq!(crowd.patience(SYNC).left(0, at(0)), None);
        crowd.committed(0);
        assert_eq!(crowd.patience(SYNC).left(21, at(0)), Some(SYNC));
        // Those who have gone are waited for twice.
        crowd.committed(1);
        crowd.committed(1);
        assert_eq!(crowd.patience(SYNC).left(1, at(0)), None);
    }
}

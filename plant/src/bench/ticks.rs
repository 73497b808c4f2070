//! When the next one is due, to some ten microseconds: the runtime's timers know milliseconds only.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

use crate::failure::Failure;
use crate::stopwatch::Stopwatch;

/// The least time between two ticks: what is due within it is due together.
const LEAST: Duration = Duration::from_micros(50);

/// A thread that tells when something is due, until this is dropped.
#[derive(Debug)]
pub(super) struct Ticks {
    due: Arc<Notify>,
    _end: mpsc::Sender<()>,
}

impl Ticks {
    /// Ticks `rate` times a second by a stopwatch.
    pub(super) fn start(stopwatch: Stopwatch, rate: f64) -> Result<Self, Failure> {
        let due = Arc::new(Notify::new());
        let (end, ended) = mpsc::channel();
        let notify = due.clone();
        let ticking = thread::Builder::new().name("ticks".to_owned());
        let ticking = ticking.spawn(move || tick(stopwatch, rate, &notify, &ended));
        ticking.map_err(|error| Failure::System {
            what: "start a thread".to_owned(),
            error,
        })?;
        Ok(Self { due, _end: end })
    }

    /// Waits until something has become due since this was last awaited.
    pub(super) async fn next(&self) {
        self.due.notified().await;
    }
}

/// The time from the start at which number `index` of `rate` a second is due.
pub(super) fn due(index: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(index as f64 / rate)
}

/// How many of `rate` a second have become due, the first one at 0.
pub(super) fn count_due(rate: f64, elapsed: Duration) -> u64 {
    (elapsed.as_secs_f64() * rate) as u64 + 1
}

fn tick(stopwatch: Stopwatch, rate: f64, notify: &Notify, ended: &Receiver<()>) {
    loop {
        let now = stopwatch.elapsed();
        let next = due(count_due(rate, now), rate);
        let pause = next.saturating_sub(now).max(LEAST);
        match ended.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => notify.notify_one(),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_keeps_equal_distances() {
        assert_eq!(due(0, 10.0), Duration::ZERO);
        assert_eq!(due(5, 10.0), Duration::from_millis(500));
        assert_eq!(count_due(10.0, Duration::ZERO), 1);
        assert_eq!(count_due(10.0, Duration::from_millis(550)), 6);
    }

    #[tokio::test]
    async fn ticks_come_until_they_are_not_wanted() {
        let ticks = Ticks::start(Stopwatch::start(), 1000.0).unwrap();
        for _ in 0..3 {
            ticks.next().await;
        }
        let due = Arc::downgrade(&ticks.due);
        drop(ticks);
        while due.strong_count() > 0 {
            thread::yield_now();
        }
    }
}

//! Health: named checks, the pulse of event loops, and the phase between start and stop.
//!
//! Three questions, three answers. *Health* is about dependencies: down when a check is down.
//! *Liveness* is about this process alone: down when an event loop has not beaten for ten seconds.
//! *Readiness* is about its life: up from [`Health::started`] to the first moment of the stop.

mod report;
mod server;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::shutdown::Shutdown;
use report::{Item, Report};

pub use server::{BindError, HealthServer};

/// An event loop that was silent for this long is not alive.
const PULSE_LIMIT: Duration = Duration::from_secs(10);

/// How well a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    Up,
    /// Works, and somebody should know why less well.
    Degraded,
    Down,
}

/// The health of one daemon. Clones are the same.
#[derive(Clone, Debug)]
pub struct Health {
    shared: Arc<HealthState>,
    shutdown: Shutdown,
}

#[derive(Debug)]
struct HealthState {
    checks: Mutex<Vec<Item>>,
    pulses: Mutex<Vec<(String, Pulse)>>,
    started: AtomicBool,
}

impl Health {
    /// A daemon that has not started and that is unready once `shutdown` is requested.
    pub fn new(shutdown: Shutdown) -> Self {
        let shared = HealthState {
            checks: Mutex::default(),
            pulses: Mutex::default(),
            started: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            shutdown,
        }
    }

    /// Says that the daemon serves from this moment on: `/readyz` turns 200.
    pub fn started(&self) {
        self.shared.started.store(true, Ordering::Release);
    }

    /// Adds a check, down until it is first said to be up. The same name is the same check.
    pub fn check(&self, name: &str) -> Check {
        let mut checks = self.checks();
        let index = checks
            .iter()
            .position(|check| check.name == name)
            .unwrap_or_else(|| {
                checks.push(Item {
                    name: name.to_owned(),
                    condition: Condition::Down,
                    reason: Some("not checked yet".to_owned()),
                    updated: Timestamp::now(),
                });
                checks.len() - 1
            });
        drop(checks);
        Check {
            shared: self.shared.clone(),
            index,
        }
    }

    /// Adds an event loop that has to beat, at best every second. It is alive when added.
    pub fn pulse(&self, name: &str, now: Instant) -> Pulse {
        let pulse = Pulse {
            epoch: now,
            last_beat_ms: Arc::new(AtomicU64::new(0)),
        };
        let mut pulses = self
            .shared
            .pulses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        pulses.push((name.to_owned(), pulse.clone()));
        pulse
    }

    fn checks(&self) -> MutexGuard<'_, Vec<Item>> {
        self.shared.lock_checks()
    }

    fn health(&self) -> Report {
        Report(self.checks().clone())
    }

    fn readiness(&self) -> Report {
        let reason = if self.shutdown.is_requested() {
            Some("draining")
        } else if self.shared.started.load(Ordering::Acquire) {
            None
        } else {
            Some("starting")
        };
        Report(vec![Item {
            name: "serving".to_owned(),
            condition: if reason.is_none() {
                Condition::Up
            } else {
                Condition::Down
            },
            reason: reason.map(str::to_owned),
            updated: Timestamp::now(),
        }])
    }

    fn liveness(&self, now: Instant) -> Report {
        let pulses = self
            .shared
            .pulses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let item = |(name, pulse): &(String, Pulse)| {
            let silence = pulse.silence(now);
            let alive = silence < PULSE_LIMIT;
            Item {
                name: name.clone(),
                condition: if alive {
                    Condition::Up
                } else {
                    Condition::Down
                },
                reason: (!alive).then(|| format!("silent for {} s", silence.as_secs())),
                updated: Timestamp::now(),
            }
        };
        Report(pulses.iter().map(item).collect())
    }
}

impl HealthState {
    /// Checks are replaced whole, so what a panic left behind is as good as any.
    fn lock_checks(&self) -> MutexGuard<'_, Vec<Item>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle of one check. Clones are the same check; reporting is cheap.
#[derive(Clone, Debug)]
pub struct Check {
    shared: Arc<HealthState>,
    index: usize,
}

impl Check {
    /// The dependency is there.
    pub fn up(&self) {
        self.set(Condition::Up, None);
    }

    /// The dependency is there, less well than it should be. Health stays up.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.set(Condition::Degraded, Some(reason.into()));
    }

    /// The dependency is lost. The reason is shown to loopback peers only.
    pub fn down(&self, reason: impl Into<String>) {
        self.set(Condition::Down, Some(reason.into()));
    }

    /// Keeps the check at what is seen, until whoever tells it is gone. `judge` gives `Ok(None)` for
    /// up, `Ok` with the reason for degraded, and `Err` with the reason for down.
    pub async fn follow<T>(
        self,
        mut seen: watch::Receiver<T>,
        judge: impl Fn(&T) -> Result<Option<String>, String>,
    ) {
        loop {
            let judgement = judge(&seen.borrow_and_update());
            match judgement {
                Ok(None) => self.up(),
                Ok(Some(reason)) => self.degraded(reason),
                Err(reason) => self.down(reason),
            }
            if seen.changed().await.is_err() {
                return;
            }
        }
    }

    fn set(&self, condition: Condition, reason: Option<String>) {
        let mut checks = self.shared.lock_checks();
        if let Some(check) = checks.get_mut(self.index) {
            check.condition = condition;
            check.reason = reason;
            check.updated = Timestamp::now();
        }
    }
}

/// The sign of life of one event loop: one atomic store a beat.
#[derive(Clone, Debug)]
pub struct Pulse {
    epoch: Instant,
    last_beat_ms: Arc<AtomicU64>,
}

impl Pulse {
    /// Says that the loop goes round.
    pub fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.epoch).as_millis();
        self.last_beat_ms.store(since as u64, Ordering::Relaxed);
    }

    fn silence(&self, now: Instant) -> Duration {
        let last = self.epoch + Duration::from_millis(self.last_beat_ms.load(Ordering::Relaxed));
        now.saturating_duration_since(last)
    }
}

#[cfg(test)]
mod tests;

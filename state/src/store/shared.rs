//! What the writer shows to everybody else: how far each scope is, and whether it can write.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use plantd_daemon::health::{Check, Pulse};
use tokio::sync::watch;

use super::Fault;
use super::clock::Clock;
use crate::metrics::Published;
use crate::names::Scope;

/// How a store stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It reads and writes.
    Writes,
    /// It reads.
    Refuses(String),
    /// Something in it is not what was written.
    Damaged(String),
}

/// What the writer and the readers share. Nothing here is waited for.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) metrics: Published,
    check: Check,
    pulse: Pulse,
    condition: Mutex<Condition>,
    /// How far the scopes are that somebody watches.
    heads: Mutex<HashMap<Scope, watch::Sender<u64>>>,
    is_closing: AtomicBool,
    /// Of the writer, once it has begun.
    clock: OnceLock<Clock>,
}

impl Shared {
    pub(crate) fn new(metrics: Published, check: Check, pulse: Pulse) -> Self {
        Self {
            metrics,
            check,
            pulse,
            condition: Mutex::new(Condition::Writes),
            heads: Mutex::default(),
            is_closing: AtomicBool::new(false),
            clock: OnceLock::new(),
        }
    }

    pub(super) fn began(&self, clock: Clock) {
        // A writer begins once.
        let _ = self.clock.set(clock);
    }

    /// Tells the writer to finish what waits and end.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// How long a value stays from now on.
    pub(crate) fn time_left(&self, expires: i64, now: Instant) -> Duration {
        let clock = self.clock.get().map_or(expires, |clock| clock.clock(now));
        Duration::from_nanos(u64::try_from(expires - clock).unwrap_or(0))
    }

    pub(crate) fn condition(&self) -> Condition {
        lock(&self.condition).clone()
    }

    pub(super) fn is_refusing(&self) -> bool {
        matches!(*lock(&self.condition), Condition::Refuses(_))
    }

    /// Follows how far a scope is. What is committed from here on is told.
    pub(crate) fn follow(&self, scope: &Scope) -> watch::Receiver<u64> {
        let mut heads = lock(&self.heads);
        heads.retain(|_, head| head.receiver_count() > 0);
        let head = heads
            .entry(scope.clone())
            .or_insert_with(|| watch::Sender::new(0));
        head.subscribe()
    }

    /// Something is not what was written: seen until the daemon ends.
    pub(crate) fn show_damage(&self, place: &str) {
        let mut condition = lock(&self.condition);
        if !matches!(*condition, Condition::Damaged(_)) {
            tracing::error!(context = "state.damaged", place, "the store is damaged");
            *condition = Condition::Damaged(place.to_owned());
            self.metrics.damages.inc();
            self.check.down(format!("damaged: {place}"));
        }
    }

    /// Single rows are not what was written. They are refused, everything else is served.
    pub(super) fn show_damaged_rows(&self, count: u64, first: &str) {
        tracing::error!(
            context = "state.damaged",
            count,
            first,
            "rows of the store are damaged"
        );
        self.metrics.damages.inc_by(count);
        let condition = lock(&self.condition);
        if *condition == Condition::Writes {
            self.check
                .degraded(format!("{count} damaged rows: {first}"));
        }
    }

    pub(super) fn beat(&self, now: Instant) {
        self.pulse.beat(now);
    }

    /// A group could not be committed, and the next one may be.
    pub(super) fn show_refusing(&self, fault: &Fault) {
        let mut condition = lock(&self.condition);
        match &*condition {
            Condition::Writes => {
                tracing::error!(context = "state.refusing", %fault, "writes are refused");
            }
            Condition::Refuses(_) => {}
            Condition::Damaged(_) => return,
        }
        self.check.down(fault.to_string());
        *condition = Condition::Refuses(fault.to_string());
        self.metrics.refused_groups.inc();
    }

    pub(super) fn show_commit<'a>(&self, touched: impl Iterator<Item = (&'a Scope, u64)>) {
        let mut condition = lock(&self.condition);
        match &*condition {
            Condition::Writes => {}
            Condition::Refuses(_) => {
                tracing::info!(context = "state.writing", "writes succeed again");
                *condition = Condition::Writes;
                self.check.up();
            }
            Condition::Damaged(_) => {}
        }
        drop(condition);
        let heads = lock(&self.heads);
        if heads.is_empty() {
            return;
        }
        for (scope, sequence) in touched {
            if let Some(head) = heads.get(scope) {
                head.send_replace(sequence);
            }
        }
    }
}

/// What is behind these locks is replaced whole, so that what a panic left is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What a worker that listens itself allows, and what it tells of it.

use std::collections::BTreeMap;

use plantd_mdp::{
    Rejection,
    broker::{CloseReason as Expulsion, Limits, Tally},
};
use plantd_zmtp::{CloseReason, Endpoint, Refused, Violation};

/// The reason of commands that are skipped after the handshake.
pub(super) const IGNORED_COMMAND: &str = "ignored_command";

/// What the clients of a worker that listens may take together. What one of them may take is as at a
/// broker by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections; by default 10,000. The process's limit of descriptors is another.
    pub connections: usize,
    /// Connections from one address other than this machine's; by default 1,000.
    pub connections_per_address: usize,
    /// Requests and what waits to be written, in bytes; by default 256 MiB.
    pub memory_bytes: usize,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 1000,
            memory_bytes: 256 * 1024 * 1024,
        }
    }
}

impl ListenerLimits {
    pub(super) fn to_machine(self) -> Limits {
        Limits {
            memory_bytes: self.memory_bytes,
            ..Limits::default()
        }
    }
}

/// How a worker's own listeners are, what they have done and what they hold; for health checks and
/// metrics.
///
/// Whoever waits for a change is woken when [`is_serving`](Self::is_serving) or
/// [`last_error`](Self::last_error) changes. What is read is as of the worker's last turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerStatus {
    /// Where clients connect, as it was bound; empty for a worker that does not listen.
    pub endpoints: Vec<Endpoint>,
    /// Whether requests are taken: from the begin of [`serve`](crate::Worker::serve) to its shutdown.
    pub is_serving: bool,
    /// Why connections cannot be accepted, mostly since there are no descriptors; until one is.
    pub last_error: Option<String>,
    /// How many connections there are, handshakes under way included.
    pub connections: usize,
    /// What was done, and what is held.
    pub tally: Tally,
    pub(super) rejected: BTreeMap<&'static str, u64>,
    pub(super) closed: BTreeMap<&'static str, u64>,
}

impl ListenerStatus {
    pub(super) fn new(endpoints: Vec<Endpoint>) -> Self {
        let refused = Refused::ALL.map(Refused::as_str);
        let expelled = [Expulsion::DuplicateId, Expulsion::OutboxFull].map(Expulsion::as_str);
        let others = [CloseReason::Stalled.reason(), IGNORED_COMMAND];
        let reasons = Violation::REASONS.into_iter().chain(refused);
        let reasons = reasons.chain(expelled).chain(others);
        let ends = CloseReason::REASONS.into_iter().chain(Violation::REASONS);
        Self {
            endpoints,
            is_serving: false,
            last_error: None,
            connections: 0,
            tally: Tally::default(),
            rejected: reasons.map(|reason| (reason, 0)).collect(),
            closed: ends.map(|reason| (reason, 0)).collect(),
        }
    }

    /// Messages and connections that were refused or dropped, by reason; every reason there is.
    pub fn rejected(&self) -> BTreeMap<&'static str, u64> {
        let mut rejected = self.rejected.clone();
        for reason in Rejection::ALL {
            *rejected.entry(reason.as_str()).or_default() += self.tally.rejected(reason);
        }
        rejected
    }

    /// Connections that ended, by reason; every reason there is.
    pub fn closed(&self) -> &BTreeMap<&'static str, u64> {
        &self.closed
    }

    /// Says what a health check has to tell: nothing while requests are taken, or why less well than
    /// they should be.
    ///
    /// # Errors
    /// That no requests are taken.
    pub fn health(&self) -> Result<Option<String>, String> {
        if self.is_serving {
            Ok(self.last_error.clone())
        } else {
            Err("no requests are taken".to_owned())
        }
    }
}

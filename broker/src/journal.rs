//! What the router tells the log: a peer's state, and refusals at most once a second a reason.

use std::time::Instant;

use plantd_daemon::logs::Throttle;
use plantd_mdp::broker::{Departure, Event};
use plantd_zmtp::CannotAccept;

/// Writes the log lines of the data plane.
#[derive(Debug)]
pub(crate) struct Journal {
    refusals: Throttle<&'static str>,
    failures: Throttle<u8>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            refusals: Throttle::per_second(),
            failures: Throttle::per_second(),
        }
    }

    /// Tells of something that happened in the state machine; `name` is the peer's.
    pub(crate) fn event(&mut self, event: &Event, name: &str, now: Instant) {
        match event {
            Event::WorkerJoined {
                service, dialect, ..
            } => tracing::info!(
                context = "worker.registration",
                worker_id = name,
                service_name = %service,
                protocol = %dialect,
                "worker registered"
            ),
            Event::WorkerLeft {
                service,
                departure,
                unanswered,
                ..
            } => match departure {
                Departure::Left | Departure::Draining | Departure::Closed => tracing::info!(
                    context = "worker.departure",
                    worker_id = name,
                    service_name = %service,
                    reason = %departure,
                    unanswered,
                    "worker left"
                ),
                Departure::Expired | Departure::Dismissed => tracing::warn!(
                    context = "worker.departure",
                    worker_id = name,
                    service_name = %service,
                    reason = %departure,
                    unanswered,
                    "worker removed"
                ),
            },
            Event::RequestDied {
                request,
                service,
                attempts,
            } => tracing::warn!(
                context = "request.dead",
                request_id = request,
                service_name = %service,
                attempts,
                "every worker that had the request was lost"
            ),
            Event::Rejected { reason, .. } => {
                self.refused("message.rejected", reason.as_str(), name, now);
            }
        }
    }

    /// Tells of a connection that could not be accepted.
    pub(crate) fn cannot_accept(&mut self, error: &CannotAccept, now: Instant) {
        if let Some(suppressed) = self.failures.allow(error.source.kind() as u8, now) {
            tracing::error!(
                context = "listener.accept",
                endpoint = %error.endpoint,
                suppressed,
                "{error}"
            );
        }
    }

    /// Tells of a message or connection that was refused.
    pub(crate) fn refused(
        &mut self,
        context: &'static str,
        reason: &'static str,
        name: &str,
        now: Instant,
    ) {
        if let Some(suppressed) = self.refusals.allow(reason, now) {
            tracing::warn!(context, peer = name, reason, suppressed, "refused");
        }
    }
}

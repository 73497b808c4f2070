//! What the router publishes for `/metrics`: plain stores into atomics, once a turn.

use std::sync::atomic::Ordering;

use plantd_daemon::metrics::Metrics;
use plantd_mdp::broker::{CloseReason as Expulsion, Tally};
use plantd_mdp::{ErrorCode, Rejection};
use plantd_zmtp::{CloseReason, Refused, Violation};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::bus;

/// The reason of commands that are skipped after the handshake.
const IGNORED_COMMAND: &str = "ignored_command";

type ByLabel = Family<[(&'static str, &'static str); 1], Counter>;

/// What the router and the buses publish of connections. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    rejected: ByLabel,
    closed: ByLabel,
    open: Gauge,
}

/// The router's side of the metrics.
#[derive(Debug)]
pub(crate) struct Published {
    requests: Counter,
    replies: Counter,
    partials: Counter,
    dispatches: Counter,
    redispatches: Counter,
    dead: Counter,
    management: Counter,
    failed: [Counter; ErrorCode::ALL.len()],
    rejected: [Counter; Rejection::ALL.len()],
    connections: Connections,
    workers: Gauge,
    services: Gauge,
    queued: Gauge,
    unanswered: Gauge,
    held_bytes: Gauge,
    backlog_bytes: Gauge,
}

impl Published {
    /// Registers everything, so that each series is there from the start.
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let rejected = ByLabel::default();
        let failed = ByLabel::default();
        let published = Self {
            requests: Counter::default(),
            replies: Counter::default(),
            partials: Counter::default(),
            dispatches: Counter::default(),
            redispatches: Counter::default(),
            dead: Counter::default(),
            management: Counter::default(),
            failed: ErrorCode::ALL.map(|code| series(&failed, "code", code.as_str())),
            rejected: Rejection::ALL.map(|reason| series(&rejected, "reason", reason.as_str())),
            connections: Connections {
                rejected: rejected.clone(),
                ..Connections::default()
            },
            workers: Gauge::default(),
            services: Gauge::default(),
            queued: Gauge::default(),
            unanswered: Gauge::default(),
            held_bytes: Gauge::default(),
            backlog_bytes: Gauge::default(),
        };
        let refused = Refused::ALL.map(Refused::as_str);
        let expelled = [Expulsion::DuplicateId, Expulsion::OutboxFull].map(Expulsion::as_str);
        let expelled_from_buses = bus::machine::Expulsion::ALL.map(bus::machine::Expulsion::as_str);
        let others = [CloseReason::Stalled.reason(), IGNORED_COMMAND];
        let reasons = Violation::REASONS.iter().chain(&refused);
        for reason in reasons
            .chain(&expelled)
            .chain(&expelled_from_buses)
            .chain(&others)
        {
            series(&rejected, "reason", reason);
        }
        for reason in CloseReason::REASONS.iter().chain(&Violation::REASONS) {
            series(&published.connections.closed, "reason", reason);
        }
        metrics.register("broker", |registry| published.enter(registry, failed));
        published
    }

    fn enter(&self, registry: &mut Registry, failed: ByLabel) {
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("requests", "Requests accepted", &self.requests);
        counter("replies", "Final answers sent to clients", &self.replies);
        counter(
            "partials",
            "Partial answers sent to clients",
            &self.partials,
        );
        counter(
            "dispatches",
            "Requests given to a worker, every attempt",
            &self.dispatches,
        );
        counter(
            "redispatches",
            "Requests taken back from a worker",
            &self.redispatches,
        );
        counter(
            "requests_dead",
            "Requests that used up their attempts",
            &self.dead,
        );
        counter(
            "management",
            "Requests that the broker answered itself",
            &self.management,
        );
        let mut family = |name: &str, help: &str, family: ByLabel| {
            registry.register(name, help, family);
        };
        family(
            "requests_failed",
            "Requests that ended without an answer",
            failed,
        );
        family(
            "rejected",
            "Messages and connections refused or dropped",
            self.connections.rejected.clone(),
        );
        family(
            "connections_closed",
            "Connections that ended",
            self.connections.closed.clone(),
        );
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(name, help, gauge.clone());
        };
        gauge(
            "connections",
            "Connections, handshakes under way included",
            &self.connections.open,
        );
        gauge("workers", "Workers registered", &self.workers);
        gauge(
            "services",
            "Services with a worker or a queue",
            &self.services,
        );
        gauge(
            "requests_queued",
            "Requests that wait for a worker",
            &self.queued,
        );
        gauge(
            "requests_unanswered",
            "Requests whose clients wait",
            &self.unanswered,
        );
        let mut bytes = |name: &str, help: &str, gauge: &Gauge| {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        };
        bytes(
            "requests_held",
            "Memory of unanswered requests",
            &self.held_bytes,
        );
        bytes(
            "outboxes",
            "Memory of what waits to be written",
            &self.backlog_bytes,
        );
    }

    /// Publishes what the router counted.
    pub(crate) fn store(&self, tally: &Tally) {
        let count = |counter: &Counter, value: u64| counter.inner().store(value, Ordering::Relaxed);
        count(&self.requests, tally.requests);
        count(&self.replies, tally.replies);
        count(&self.partials, tally.partials);
        count(&self.dispatches, tally.dispatches);
        count(&self.redispatches, tally.redispatches);
        count(&self.dead, tally.dead);
        count(&self.management, tally.management);
        for (code, counter) in ErrorCode::ALL.into_iter().zip(&self.failed) {
            count(counter, tally.failed(code));
        }
        let gauge = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        gauge(&self.workers, tally.workers);
        gauge(&self.services, tally.services);
        gauge(&self.queued, tally.queued);
        gauge(&self.unanswered, tally.unanswered);
        gauge(&self.held_bytes, tally.held_bytes);
        gauge(&self.backlog_bytes, tally.backlog_bytes);
    }

    /// Counts a message that was refused or dropped.
    pub(crate) fn rejected(&self, reason: Rejection) {
        self.rejected[reason as usize].inc();
    }

    /// What is published of connections.
    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }
}

impl Connections {
    /// Publishes how many there are.
    pub(crate) fn store(&self, open: usize) {
        self.open.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// Counts a connection that was refused or ended by a rule.
    pub(crate) fn rejected(&self, reason: &'static str) {
        series(&self.rejected, "reason", reason).inc();
    }

    /// Counts what means nothing to this side's socket and was skipped.
    pub(crate) fn ignored(&self, commands: u32) {
        series(&self.rejected, "reason", IGNORED_COMMAND).inc_by(commands.into());
    }

    /// Counts a connection that ended; whether it was ended by a rule.
    pub(crate) fn closed(&self, reason: &CloseReason) -> bool {
        series(&self.closed, "reason", reason.reason()).inc();
        match reason {
            CloseReason::Violation(_) | CloseReason::Stalled => {
                self.rejected(reason.reason());
                true
            }
            CloseReason::PeerClosed
            | CloseReason::Io(_)
            | CloseReason::Requested
            | CloseReason::LingerExpired
            | CloseReason::Abandoned => false,
        }
    }
}

fn series(family: &ByLabel, label: &'static str, value: &'static str) -> Counter {
    family.get_or_create(&[(label, value)]).clone()
}

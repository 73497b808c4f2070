//! The loop that carries all buses.
//!
//! A turn takes what connections have read, hands it to the bus they belong to, and gives each
//! subscriber all that it is owed in one batch. It awaits no peer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plantd_daemon::health::Pulse;
use plantd_zmtp::{Accepted, Arrival, CloseReason, Notice, Peer, SessionConfig};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use super::machine::{Bus, Expulsion, Output, PeerId, Side};
use super::metrics::Published;
use super::report::Reporter;
use crate::journal::Journal;
use crate::shared::Shared;

/// What connections may have told before the loop looks: each notice is one turn of reading.
pub(super) const NOTICES: usize = 64;
/// Accepted connections that may wait for the loop.
pub(super) const ARRIVALS: usize = 64;
/// The time between two reports, and the longest between two turns.
const TICK: Duration = Duration::from_secs(1);

/// A listener, as the loop sees it.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) bus: usize,
    pub(super) side: Side,
    pub(super) session: Arc<SessionConfig>,
}

/// The channels that lead to the loop.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) arrivals: mpsc::Receiver<Arrival>,
    pub(super) draining: oneshot::Receiver<()>,
}

/// What the loop keeps with each connection.
#[derive(Debug)]
struct Place {
    bus: usize,
    side: Side,
    /// What its outbox held when it was last looked at.
    backlog_bytes: usize,
}

/// The owner of all buses.
pub(super) struct Fanout {
    buses: Vec<Bus>,
    doors: Vec<Door>,
    peers: Accepted<PeerId, Place>,
    shared: Shared,
    /// What waits in the outboxes of each bus.
    backlog_bytes: Vec<usize>,
    journal: Journal,
    published: Vec<Published>,
    reporter: Reporter,
    reports: watch::Sender<Arc<str>>,
    pulse: Pulse,
    is_draining: bool,
}

impl Fanout {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, by who starts the thread"
    )]
    pub(super) fn new(
        buses: Vec<Bus>,
        doors: Vec<Door>,
        shared: Shared,
        notices: mpsc::Sender<Notice<PeerId>>,
        published: Vec<Published>,
        reporter: Reporter,
        reports: watch::Sender<Arc<str>>,
        pulse: Pulse,
    ) -> Self {
        Self {
            backlog_bytes: vec![0; buses.len()],
            buses,
            doors,
            peers: Accepted::new(shared.admission.clone(), notices),
            shared,
            journal: Journal::new(),
            published,
            reporter,
            reports,
            pulse,
            is_draining: false,
        }
    }

    /// Carries the buses until they are drained and every connection has ended.
    pub(super) async fn run(
        mut self,
        mut inputs: Inputs,
        mut notices: mpsc::Receiver<Notice<PeerId>>,
    ) {
        let mut taken = Vec::with_capacity(NOTICES);
        let mut report_at = clock();
        let mut alarm = std::pin::pin!(sleep_until(report_at.into()));
        while !self.is_draining || !self.peers.is_empty() {
            let mut arrival = None;
            let mut drain = false;
            tokio::select! {
                _ = notices.recv_many(&mut taken, NOTICES) => {}
                Some(new) = inputs.arrivals.recv() => arrival = Some(new),
                // An owner that is gone wants the same as one that asks.
                _ = &mut inputs.draining, if !self.is_draining => drain = true,
                () = &mut alarm => {}
            }
            let now = clock();
            self.settle_backlogs();
            if let Some(arrival) = arrival {
                self.admit(arrival, now);
            }
            for notice in taken.drain(..) {
                self.take(notice, now);
            }
            if drain {
                // What was read before the wish is still handed on.
                while let Ok(notice) = notices.try_recv() {
                    self.take(notice, now);
                }
            }
            for bus in &mut self.buses {
                bus.handle_timeout(now);
            }
            self.carry_out(now);
            if drain {
                self.begin_closing();
            }
            self.pulse.beat(now);
            if now >= report_at {
                report_at = now + TICK;
                self.reports
                    .send_replace(self.reporter.report(&self.buses, now));
            }
            let due = self.buses.iter().filter_map(Bus::poll_timeout).min();
            let wake_at = due.map_or(report_at, |due| due.min(report_at));
            if alarm.deadline().into_std() != wake_at {
                alarm.as_mut().reset(wake_at.into());
            }
        }
    }

    /// Tells the buses what is left of what was sent before, and whether memory is short.
    fn settle_backlogs(&mut self) {
        let (buses, sums) = (&mut self.buses, &mut self.backlog_bytes);
        self.peers.settle(|peer, link, backlog_bytes| {
            let place = &mut link.kept;
            sums[place.bus] = sums[place.bus] - place.backlog_bytes + backlog_bytes;
            place.backlog_bytes = backlog_bytes;
            buses[place.bus].handle_backlog(peer, backlog_bytes);
        });
        let held = self.buses.iter().map(|bus| bus.tally().held_bytes);
        let held_bytes = held.sum::<usize>() + self.backlog_bytes.iter().sum::<usize>();
        let is_short = self.shared.memory.exchange_buses(held_bytes);
        for bus in &mut self.buses {
            bus.handle_memory(is_short);
        }
    }

    fn admit(&mut self, arrival: Arrival, now: Instant) {
        let accepted = match arrival.accepted {
            Ok(accepted) => accepted,
            Err(error) => return self.journal.cannot_accept(&error, now),
        };
        let Door { bus, side, session } = &self.doors[arrival.door];
        let place = Place {
            bus: *bus,
            side: *side,
            backlog_bytes: 0,
        };
        if let Err(turned) = self.peers.admit(accepted, session.clone(), place) {
            let reason = turned.reason.as_str();
            self.shared.connections.rejected(reason);
            let (context, name) = ("connection.refused", turned.remote.to_string());
            self.journal.refused(context, reason, &name, now);
        }
    }

    fn take(&mut self, notice: Notice<PeerId>, now: Instant) {
        match notice {
            Notice::Opened { key, peer } => self.open(key, &peer),
            Notice::Runs { key, runs } => {
                if let Some(link) = self.peers.get(key) {
                    for run in &runs {
                        self.buses[link.kept.bus].handle_run(key, run, now);
                    }
                }
            }
            Notice::Subscriptions { key, changes } => {
                if let Some(link) = self.peers.get(key) {
                    for change in &changes {
                        self.buses[link.kept.bus].handle_subscription(key, change, now);
                    }
                }
            }
            // What a subscriber sends upstream that is no subscription has no reader.
            Notice::Messages { messages, .. } => {
                let messages = u32::try_from(messages.len()).unwrap_or(u32::MAX);
                self.shared.connections.ignored(messages);
            }
            Notice::Ignored { commands, .. } => self.shared.connections.ignored(commands),
            // The next turn begins with reading how much is left, and nothing is marked.
            Notice::Drained { .. } | Notice::Marked { .. } => {}
            Notice::Closed { key, reason } => self.close(key, &reason, now),
        }
    }

    fn open(&mut self, key: PeerId, peer: &Peer) {
        let Some(link) = self.peers.open(key, peer) else {
            return;
        };
        let Place { bus, side, .. } = link.kept;
        let bus = &mut self.buses[bus];
        tracing::debug!(
            context = "bus.opened",
            bus = bus.config().name,
            side = side.as_str(),
            peer = link.name,
            version = ?peer.version,
            socket_type = %peer.socket_type,
            "connected"
        );
        bus.handle_opened(key, side, link.name.clone());
    }

    fn close(&mut self, key: PeerId, reason: &CloseReason, now: Instant) {
        let Some(link) = self.peers.close(key) else {
            return;
        };
        self.backlog_bytes[link.kept.bus] -= link.kept.backlog_bytes;
        let bus = &mut self.buses[link.kept.bus];
        if link.is_open() {
            bus.handle_closed(key);
        }
        if self.shared.connections.closed(reason) {
            let (context, label) = ("connection.closed", reason.reason());
            self.journal.refused(context, label, &link.name, now);
        }
        tracing::debug!(
            context = "bus.closed",
            bus = bus.config().name,
            side = link.kept.side.as_str(),
            peer = link.name,
            reason = %reason,
            "disconnected"
        );
    }

    /// Does what the buses want, and hands every subscriber what it is owed.
    fn carry_out(&mut self, now: Instant) {
        for index in 0..self.buses.len() {
            while let Some((peer, batch)) = self.buses[index].poll_delivery() {
                self.peers.send(peer, |outbox| outbox.send(batch));
            }
            while let Some(output) = self.buses[index].poll_output() {
                match output {
                    Output::Ask(peer, changes) => self
                        .peers
                        .send(peer, |outbox| outbox.change_subscriptions(changes)),
                    Output::Close(peer, reason) => self.end(peer, reason, now),
                }
            }
            self.published[index].store(&self.buses[index].tally(), self.backlog_bytes[index]);
        }
        let connections = self.shared.admission.connections();
        self.shared.connections.store(connections);
    }

    fn end(&mut self, peer: PeerId, reason: Expulsion, now: Instant) {
        self.peers.end(peer);
        if let Some(link) = self.peers.get(peer) {
            self.shared.connections.rejected(reason.as_str());
            self.journal
                .refused("connection.closed", reason.as_str(), &link.name, now);
        }
    }

    /// Lets every connection write what it was given, and end.
    fn begin_closing(&mut self) {
        self.is_draining = true;
        self.peers.end_all();
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock of this loop")]
fn clock() -> Instant {
    Instant::now()
}

//! The loop that carries all buses.
//!
//! A turn takes what connections have read, hands it to the bus they belong to, and gives each
//! subscriber all that it is owed in one batch. It awaits no peer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plantd_daemon::health::Pulse;
use plantd_zmtp::{CloseReason, Connection, Notice, Outbox, Peer, RemoteAddress, SessionConfig};
use slotmap::SlotMap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use super::machine::{Bus, Expulsion, Output, PeerId, Side};
use super::metrics::Published;
use super::report::Reporter;
use crate::admission::Refused;
use crate::journal::Journal;
use crate::listeners::Arrival;
use crate::shared::Shared;

/// What connections may have told before the loop looks: each notice is one turn of reading.
pub(super) const NOTICES: usize = 64;
/// Accepted connections that may wait for the loop.
pub(super) const ARRIVALS: usize = 64;
/// How long what is queued for a peer may take to be written once its connection is to end.
const LINGER: Duration = Duration::from_secs(2);
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

/// A connection, as the loop sees it.
#[derive(Debug)]
struct Link {
    bus: usize,
    side: Side,
    remote: RemoteAddress,
    name: String,
    outbox: Outbox,
    /// Whether the handshake is done, so that the bus knows the peer.
    opened: bool,
    /// Whether its outbox may not be empty, so that the loop looks at it each turn.
    is_unsettled: bool,
    /// What its outbox held when it was last looked at.
    backlog_bytes: usize,
}

/// The owner of all buses.
pub(super) struct Fanout {
    buses: Vec<Bus>,
    doors: Vec<Door>,
    links: SlotMap<PeerId, Link>,
    shared: Shared,
    notices: mpsc::Sender<Notice<PeerId>>,
    unsettled: Vec<PeerId>,
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
            links: SlotMap::with_key(),
            shared,
            notices,
            unsettled: Vec::new(),
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
        while !self.is_draining || !self.links.is_empty() {
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
        for peer in std::mem::take(&mut self.unsettled) {
            let Some(link) = self.links.get_mut(peer) else {
                continue;
            };
            let backlog_bytes = link.outbox.backlog_bytes();
            link.is_unsettled = backlog_bytes > 0;
            if link.is_unsettled {
                self.unsettled.push(peer);
            }
            let sum = &mut self.backlog_bytes[link.bus];
            *sum = *sum - link.backlog_bytes + backlog_bytes;
            link.backlog_bytes = backlog_bytes;
            self.buses[link.bus].handle_backlog(peer, backlog_bytes);
        }
        let held = self.buses.iter().map(|bus| bus.tally().held_bytes);
        let held_bytes = held.sum::<usize>() + self.backlog_bytes.iter().sum::<usize>();
        let is_short = self.shared.memory.exchange_buses(held_bytes);
        for bus in &mut self.buses {
            bus.handle_memory(is_short);
        }
    }

    fn admit(&mut self, arrival: Arrival, now: Instant) {
        let Arrival {
            door,
            stream,
            remote,
        } = arrival;
        let admitted = match self.is_draining {
            false => self.shared.admission.admit(remote),
            true => Err(Refused::Draining),
        };
        if let Err(refused) = admitted {
            self.shared.connections.rejected(refused.as_str());
            let (context, name) = ("connection.refused", remote.to_string());
            self.journal.refused(context, refused.as_str(), &name, now);
            return;
        }
        let Door { bus, side, session } = &self.doors[door];
        let (connection, outbox) = Connection::new(stream, session.clone());
        let peer = self.links.insert(Link {
            bus: *bus,
            side: *side,
            remote,
            name: remote.to_string(),
            outbox,
            opened: false,
            is_unsettled: false,
            backlog_bytes: 0,
        });
        tokio::spawn(connection.run(peer, self.notices.clone()));
    }

    fn take(&mut self, notice: Notice<PeerId>, now: Instant) {
        match notice {
            Notice::Opened { key, peer } => self.open(key, &peer),
            Notice::Runs { key, runs } => {
                if let Some(link) = self.links.get(key) {
                    for run in &runs {
                        self.buses[link.bus].handle_run(key, run, now);
                    }
                }
            }
            Notice::Subscriptions { key, changes } => {
                if let Some(link) = self.links.get(key) {
                    for change in &changes {
                        self.buses[link.bus].handle_subscription(key, change, now);
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
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.opened = true;
        if !peer.identity.is_empty() {
            link.name = format!("{} ({})", link.remote, peer.identity);
        }
        let bus = &mut self.buses[link.bus];
        tracing::debug!(
            context = "bus.opened",
            bus = bus.config().name,
            side = link.side.as_str(),
            peer = link.name,
            version = ?peer.version,
            socket_type = %peer.socket_type,
            "connected"
        );
        bus.handle_opened(key, link.side, link.name.clone());
    }

    fn close(&mut self, key: PeerId, reason: &CloseReason, now: Instant) {
        let Some(link) = self.links.remove(key) else {
            return;
        };
        self.backlog_bytes[link.bus] -= link.backlog_bytes;
        let bus = &mut self.buses[link.bus];
        if link.opened {
            bus.handle_closed(key);
        }
        self.shared.admission.release(link.remote);
        if self.shared.connections.closed(reason) {
            let (context, label) = ("connection.closed", reason.reason());
            self.journal.refused(context, label, &link.name, now);
        }
        tracing::debug!(
            context = "bus.closed",
            bus = bus.config().name,
            side = link.side.as_str(),
            peer = link.name,
            reason = %reason,
            "disconnected"
        );
    }

    /// Does what the buses want, and hands every subscriber what it is owed.
    fn carry_out(&mut self, now: Instant) {
        for index in 0..self.buses.len() {
            while let Some((peer, batch)) = self.buses[index].poll_delivery() {
                if let Some(link) = self.links.get_mut(peer) {
                    link.outbox.send(batch);
                    self.unsettle(peer);
                }
            }
            while let Some(output) = self.buses[index].poll_output() {
                match output {
                    Output::Ask(peer, changes) => {
                        if let Some(link) = self.links.get(peer) {
                            link.outbox.change_subscriptions(changes);
                            self.unsettle(peer);
                        }
                    }
                    Output::Close(peer, reason) => self.end(peer, reason, now),
                }
            }
            self.published[index].store(&self.buses[index].tally(), self.backlog_bytes[index]);
        }
        let connections = self.shared.admission.connections();
        self.shared.connections.store(connections);
    }

    fn unsettle(&mut self, peer: PeerId) {
        if let Some(link) = self.links.get_mut(peer)
            && !link.is_unsettled
        {
            link.is_unsettled = true;
            self.unsettled.push(peer);
        }
    }

    fn end(&mut self, peer: PeerId, reason: Expulsion, now: Instant) {
        if let Some(link) = self.links.get_mut(peer) {
            link.outbox.close(LINGER);
            self.shared.connections.rejected(reason.as_str());
            let name = link.name.clone();
            self.journal
                .refused("connection.closed", reason.as_str(), &name, now);
        }
    }

    /// Lets every connection write what it was given, and end.
    fn begin_closing(&mut self) {
        self.is_draining = true;
        for link in self.links.values_mut() {
            link.outbox.close(LINGER);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock of this loop")]
fn clock() -> Instant {
    Instant::now()
}

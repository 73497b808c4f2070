//! The one owner of routing state (D3).
//!
//! A turn takes what is ready, hands it to the state machine, carries out its effects into a batch
//! for each peer, and sends each batch once. How much waits in the outboxes is read at the
//! beginning of a turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plantd_daemon::health::Pulse;
use plantd_mdp::Broker;
use plantd_mdp::broker::{CloseReason as Expulsion, Event, Origin, Output, PeerId};
use plantd_zmtp::{Accepted, Arrival, CloseReason, Link, Notice, Peer, SessionConfig, SocketType};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use crate::journal::Journal;
use crate::metrics::Published;
use crate::shared::Shared;

/// What connections may have told before the router looks: each notice is one turn of reading.
pub(crate) const NOTICES: usize = 64;
/// Accepted connections that may wait for the router.
pub(crate) const ARRIVALS: usize = 64;
/// The longest time between two turns, for the pulse.
const TICK: Duration = Duration::from_secs(1);

/// A wish of another thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Finish what is under way, take nothing new, and end.
    Drain,
    /// End what is left.
    DrainDeadline,
}

/// The channels that lead to the router.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    pub(crate) controls: mpsc::UnboundedReceiver<Control>,
    /// What the buses tell of themselves, if there are any.
    pub(crate) bus_reports: Option<watch::Receiver<Arc<str>>>,
}

/// The router.
#[derive(Debug)]
pub(crate) struct Router {
    broker: Broker,
    session: Arc<SessionConfig>,
    peers: Accepted<PeerId>,
    shared: Shared,
    journal: Journal,
    published: Published,
    pulse: Pulse,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Serving,
    Draining,
    /// Every request has ended; connections are written out.
    Closing,
}

impl Router {
    pub(crate) fn new(
        broker: Broker,
        session: SessionConfig,
        shared: Shared,
        notices: mpsc::Sender<Notice<PeerId>>,
        published: Published,
        pulse: Pulse,
    ) -> Self {
        Self {
            broker,
            session: Arc::new(session),
            peers: Accepted::new(shared.admission.clone(), notices),
            shared,
            journal: Journal::new(),
            published,
            pulse,
            state: State::Serving,
        }
    }

    /// Routes until it is drained and every connection has ended.
    pub(crate) async fn run(
        mut self,
        mut inputs: Inputs,
        mut notices: mpsc::Receiver<Notice<PeerId>>,
    ) {
        let mut taken = Vec::with_capacity(NOTICES);
        let mut wake_at = clock();
        let mut alarm = std::pin::pin!(sleep_until(wake_at.into()));
        while self.state != State::Closing || !self.peers.is_empty() {
            let mut arrival = None;
            let mut control = None;
            tokio::select! {
                _ = notices.recv_many(&mut taken, NOTICES) => {}
                Some(new) = inputs.arrivals.recv() => arrival = Some(new),
                Some(wish) = inputs.controls.recv() => control = Some(wish),
                () = &mut alarm => {}
            }
            let now = clock();
            self.settle_backlogs(now);
            self.hear_of_buses(&mut inputs);
            if let Some(arrival) = arrival {
                self.admit(arrival, now);
            }
            for notice in taken.drain(..) {
                self.take(notice, now);
            }
            if let Some(control) = control {
                self.obey(control, now);
            }
            if self.broker.poll_timeout().is_some_and(|due| due <= now) {
                self.broker.handle_timeout(now);
            }
            self.carry_out(now);
            self.peers.flush();
            self.published.store(self.broker.tally());
            let connections = self.shared.admission.connections();
            self.shared.connections.store(connections);
            self.pulse.beat(now);
            // An alarm that is early costs less than one that is moved at every turn.
            let due = self.broker.poll_timeout().unwrap_or(now + TICK);
            let due = due.min(now + TICK);
            if due < wake_at || wake_at <= now {
                wake_at = due;
                alarm.as_mut().reset(wake_at.into());
            }
        }
    }

    /// Tells the state machine what is left of what was sent before.
    fn settle_backlogs(&mut self, now: Instant) {
        let broker = &mut self.broker;
        self.peers.settle(|peer, _, backlog_bytes| {
            broker.handle_backlog(peer, backlog_bytes, now);
        });
    }

    /// Tells the state machine what the buses hold, and what they have to tell of themselves.
    fn hear_of_buses(&mut self, inputs: &mut Inputs) {
        let tally = self.broker.tally();
        let held_bytes = tally.held_bytes + tally.backlog_bytes;
        let elsewhere = self.shared.memory.exchange_requests(held_bytes);
        self.broker.handle_memory_elsewhere(elsewhere);
        if let Some(reports) = &mut inputs.bus_reports
            && reports.has_changed().unwrap_or(false)
        {
            let report = reports.borrow_and_update().clone();
            self.broker.handle_buses(report);
        }
    }

    fn admit(&mut self, arrival: Arrival, now: Instant) {
        let accepted = match arrival.accepted {
            Ok(accepted) => accepted,
            Err(error) => return self.journal.cannot_accept(&error, now),
        };
        if let Err(turned) = self.peers.admit(accepted, self.session.clone(), ()) {
            let reason = turned.reason.as_str();
            self.shared.connections.rejected(reason);
            let (context, name) = ("connection.refused", turned.remote.to_string());
            self.journal.refused(context, reason, &name, now);
        }
    }

    fn take(&mut self, notice: Notice<PeerId>, now: Instant) {
        match notice {
            Notice::Opened { key, peer } => self.open(key, &peer, now),
            Notice::Messages { key, messages } => {
                for message in messages {
                    self.broker.handle_message(key, message, now);
                    // At once, while what it wrote is in the processor's cache.
                    self.carry_out(now);
                }
            }
            // The next turn begins with reading how much is left.
            Notice::Drained { .. } => {}
            Notice::Ignored { commands, .. } => self.shared.connections.ignored(commands),
            // What this side's socket and handover do not bring about.
            Notice::Subscriptions { .. } | Notice::Runs { .. } | Notice::Marked { .. } => {}
            Notice::Closed { key, reason } => self.close(key, &reason, now),
        }
    }

    fn open(&mut self, key: PeerId, peer: &Peer, now: Instant) {
        let Some(link) = self.peers.open(key, peer) else {
            return;
        };
        let origin = Origin {
            address: link.name.clone(),
            joins_partials: peer.socket_type == SocketType::Req,
            may_serve: true,
        };
        tracing::debug!(
            context = "connection.opened",
            peer = link.name,
            version = ?peer.version,
            socket_type = %peer.socket_type,
            "connected"
        );
        self.broker.handle_opened(key, origin, now);
    }

    fn close(&mut self, key: PeerId, reason: &CloseReason, now: Instant) {
        if self.peers.get(key).is_some_and(Link::is_open) {
            // While the link is there, for the lines that name the peer.
            self.broker.handle_closed(key, now);
            self.carry_out(now);
        }
        let Some(link) = self.peers.close(key) else {
            return;
        };
        if self.shared.connections.closed(reason) {
            let (context, label) = ("connection.closed", reason.reason());
            self.journal.refused(context, label, &link.name, now);
        }
        tracing::debug!(
            context = "connection.closed",
            peer = link.name,
            reason = %reason,
            "disconnected"
        );
    }

    fn obey(&mut self, control: Control, now: Instant) {
        match control {
            Control::Drain if self.state == State::Serving => {
                let unanswered = self.broker.tally().unanswered;
                tracing::info!(context = "broker.drain", unanswered, "draining");
                self.state = State::Draining;
                self.peers.refuse_more();
                self.broker.handle_drain(now);
            }
            Control::DrainDeadline if self.state == State::Draining => {
                let unanswered = self.broker.tally().unanswered;
                tracing::warn!(
                    context = "broker.drain",
                    unanswered,
                    "the time to drain is over"
                );
                self.broker.handle_drain_deadline(now);
            }
            Control::Drain | Control::DrainDeadline => {}
        }
    }

    fn carry_out(&mut self, now: Instant) {
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::ToClient {
                    peer,
                    form,
                    command,
                } => self.peers.push(peer, |out| command.encode(form, out)),
                Output::ToWorker {
                    peer,
                    form,
                    command,
                } => self.peers.push(peer, |out| command.encode(form, out)),
                Output::Pause(peer) => self.link(peer, |link| link.outbox().pause_reading()),
                Output::Resume(peer) => self.link(peer, |link| link.outbox().resume_reading()),
                Output::Close(peer, reason) => self.end(peer, reason, now),
                Output::Event(event) => self.tell(&event, now),
                Output::Drained => self.begin_closing(),
            }
        }
    }

    fn link(&self, peer: PeerId, act: impl FnOnce(&Link<()>)) {
        if let Some(link) = self.peers.get(peer) {
            act(link);
        }
    }

    fn end(&mut self, peer: PeerId, reason: Expulsion, now: Instant) {
        self.peers.end(peer);
        let Some(link) = self.peers.get(peer) else {
            return;
        };
        match reason {
            Expulsion::Dismissed | Expulsion::DuplicateId => {}
            Expulsion::OutboxFull => {
                self.shared.connections.rejected(reason.as_str());
                self.journal
                    .refused("connection.closed", reason.as_str(), &link.name, now);
            }
        }
    }

    fn tell(&mut self, event: &Event, now: Instant) {
        let name = match event {
            Event::Rejected { peer, reason } => {
                self.published.rejected(*reason);
                self.peers.get(*peer)
            }
            Event::WorkerJoined { peer, .. } | Event::WorkerLeft { peer, .. } => {
                self.peers.get(*peer)
            }
            Event::RequestDied { .. } => None,
        };
        let name = name.map_or("", |link| link.name.as_str());
        self.journal.event(event, name, now);
    }

    /// Lets every connection write what it was given, and end.
    fn begin_closing(&mut self) {
        self.state = State::Closing;
        self.peers.end_all();
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock of this loop")]
fn clock() -> Instant {
    Instant::now()
}

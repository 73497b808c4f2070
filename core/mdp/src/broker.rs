//! The broker as a state machine.
//!
//! It owns every peer, service and request, and decides what each is told. Who calls it owns the
//! connections: it opens peers under ids that it issues, hands over their messages, says how much
//! waits in their outboxes, and carries out each [`Output`] in order.
//!
//! A request is *queued* until a worker has room, then *dispatched*, each time under a new
//! [`Token`](crate::Token). It ends for its client by exactly one FINAL or ERROR, or with the client's
//! connection; when its attempt has not ended by then, it is *orphaned*: the token stays valid, and
//! what the worker still sends for it frees the worker and is dropped.

mod clients;
mod config;
mod dispatch;
mod invariants;
mod liveness;
mod management;
mod output;
mod peer;
mod planted;
mod request;
mod rooms;
mod service;
#[cfg(test)]
mod tests;
mod workers;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use plantd_zmtp::Message;
use rand::SeedableRng;
use rand::rngs::StdRng;
use slotmap::{SecondaryMap, SlotMap};

pub use self::config::{Config, Limits};
use self::liveness::Timer;
pub use self::output::{CloseReason, Departure, Event, Output, PeerId, Tally};
pub use self::peer::Origin;
use self::peer::{Peer, Side};
use self::request::{DeadRequest, Request, RequestKey};
use self::service::{Service, ServiceKey};
use crate::codec::{self, Inbound, Refusal, Role};
use crate::command::{FromWorker, ToClient, ToWorker};
use crate::planted::{Bug, Planted};
use crate::timers::Timers;
use crate::{ErrorCode, Form, Header, Rejection, ServiceName};

/// What `mmi.buses` answers where nobody has said otherwise.
const NO_BUSES: &str = r#"{"total":0,"buses":[]}"#;

/// What an envelope is taken to weigh in an outbox until its owner says what waits there.
const ENVELOPE_BYTES: usize = 64;

/// The Majordomo broker: RFC 7, RFC 18, RFC 8 and MDP/0.3 (`docs/protocol.md`).
///
/// Call [`Broker::poll_output`] until `None` after each `handle_…`. Every call takes the time; it
/// never goes back.
#[derive(Debug)]
pub struct Broker {
    config: Config,
    random: StdRng,
    began: Instant,
    /// The latest `now`.
    observed: Instant,
    peers: SecondaryMap<PeerId, Peer>,
    services: SlotMap<ServiceKey, Service>,
    names: BTreeMap<ServiceName, ServiceKey>,
    requests: SlotMap<RequestKey, Request>,
    next_request: u64,
    next_wait: u64,
    /// Services that have no worker: only their queued requests hold them.
    workerless: usize,
    timers: Timers<Timer>,
    dead: VecDeque<DeadRequest>,
    /// Peers whose outboxes are over the limit, to be closed when the current verb is done.
    overflowing: Vec<PeerId>,
    /// Services that lost what held them, to be forgotten when the current verb is done.
    idle: Vec<ServiceKey>,
    drain: Drain,
    /// What others hold that share the limit of memory.
    elsewhere_bytes: usize,
    /// What `mmi.buses` answers.
    buses: Arc<str>,
    tally: Tally,
    outputs: VecDeque<Output>,
    planted: Planted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drain {
    No,
    Underway,
    Done,
}

impl Broker {
    /// Creates a broker that knows nobody. The seed makes its tokens.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        Self {
            config,
            random: StdRng::from_seed(seed),
            began: now,
            observed: now,
            peers: SecondaryMap::new(),
            services: SlotMap::with_key(),
            names: BTreeMap::new(),
            requests: SlotMap::with_key(),
            next_request: 0,
            next_wait: 0,
            workerless: 0,
            timers: Timers::new(),
            dead: VecDeque::new(),
            overflowing: Vec::new(),
            idle: Vec::new(),
            drain: Drain::No,
            elsewhere_bytes: 0,
            buses: NO_BUSES.into(),
            tally: Tally::default(),
            outputs: VecDeque::new(),
            planted: Planted::default(),
        }
    }

    /// Plants a bug, for whoever tests the tests.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: Bug) {
        self.planted = Planted::with(bug);
    }

    /// Takes a new connection.
    pub fn handle_opened(&mut self, peer: PeerId, origin: Origin, now: Instant) {
        self.observe(now);
        self.peers.insert(peer, Peer::new(origin));
    }

    /// Takes the end of a connection: its requests end, or go to other workers.
    pub fn handle_closed(&mut self, peer: PeerId, now: Instant) {
        self.observe(now);
        self.leave(peer, Departure::Closed, now);
        if let Some(peer) = self.peers.remove(peer) {
            self.tally.backlog_bytes -= peer.backlog_bytes;
        }
        self.settle(now);
    }

    /// Takes a message of a peer. Whatever it holds, only that peer can suffer from it.
    pub fn handle_message(&mut self, from: PeerId, message: Message, now: Instant) {
        self.observe(now);
        let Some(peer) = self.peers.get(from) else {
            return;
        };
        let known = match &peer.side {
            Side::Client(client) => client.last_service.as_ref().map(|(name, _)| name),
            Side::Unknown | Side::Worker(_) | Side::Expired(_) => None,
            Side::Dismissed => return self.reject(from, Rejection::Dismissed),
        };
        match codec::decode(&message, known) {
            Ok((form, Inbound::Client(command))) => self.handle_client(from, form, command, now),
            Ok((form, Inbound::Worker(command))) => self.handle_worker(from, form, command, now),
            Err(refusal) => self.refuse(from, refusal, now),
        }
        self.settle(now);
    }

    /// Takes a command of a worker that lives beside the broker and needs no encoding. It speaks
    /// MDP/0.3, and what it is told is an [`Output::ToWorker`] like any other.
    pub fn handle_command(&mut self, from: PeerId, command: FromWorker, now: Instant) {
        self.observe(now);
        self.handle_worker(from, Form::MDP03, command, now);
        self.settle(now);
    }

    /// Takes how many bytes wait in a peer's outbox, whenever the owner knows it anew.
    pub fn handle_backlog(&mut self, peer: PeerId, backlog_bytes: usize, now: Instant) {
        self.observe(now);
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        self.tally.backlog_bytes -= known.backlog_bytes;
        self.tally.backlog_bytes += backlog_bytes;
        known.backlog_bytes = backlog_bytes;
        self.refresh_reading(peer);
        self.refresh_room(peer, now);
        self.settle(now);
    }

    /// Takes how many bytes are held by whoever shares [`Limits::memory_bytes`].
    pub fn handle_memory_elsewhere(&mut self, bytes: usize) {
        self.elsewhere_bytes = bytes;
    }

    /// Takes what `mmi.buses` is to answer, as JSON; `{"total":0,"buses":[]}` until then.
    pub fn handle_buses(&mut self, listing: Arc<str>) {
        self.buses = listing;
    }

    /// Takes the wish to stop: no new request or worker is taken, what is under way is finished,
    /// then every worker is dismissed and [`Output::Drained`] follows.
    pub fn handle_drain(&mut self, now: Instant) {
        self.observe(now);
        if self.drain == Drain::No {
            self.drain = Drain::Underway;
            if self.planted.has(Bug::DropAtDrain) {
                self.drop_queued();
            }
            self.fail_unservable(now);
        }
        self.settle(now);
    }

    /// Takes the end of patience with a drain: every request that is left fails as `draining`.
    pub fn handle_drain_deadline(&mut self, now: Instant) {
        self.observe(now);
        self.drain = self.drain.max_underway();
        let unanswered: Vec<RequestKey> = self.unanswered_in_order();
        for key in unanswered {
            self.fail(key, ErrorCode::Draining, "the broker is stopping", now);
        }
        self.settle(now);
    }

    /// What counts against [`Limits::memory_bytes`].
    fn memory_bytes(&self) -> usize {
        self.tally.held_bytes + self.tally.backlog_bytes + self.elsewhere_bytes
    }

    /// Takes the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.observe(now);
        self.fire_timers(now);
        self.settle(now);
    }

    /// Says when [`Broker::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Gives the next effect.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Counts what was done and what is held.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Does what a verb left for its end.
    fn settle(&mut self, now: Instant) {
        while let Some(peer) = self.overflowing.pop() {
            self.expel(peer, CloseReason::OutboxFull, now);
        }
        if self.drain == Drain::Underway && self.tally.unanswered == 0 {
            self.drain = Drain::Done;
            let workers: Vec<PeerId> = self.workers_in_order().collect();
            for worker in workers {
                self.leave(worker, Departure::Draining, now);
            }
            self.outputs.push_back(Output::Drained);
        }
        self.forget_idle();
        self.compact_timers();
        if self.planted.has(Bug::LoseLastOfBatch) {
            self.lose_last_of_batch();
        }
    }

    /// Answers a message that is no command as its sender's dialect allows.
    fn refuse(&mut self, from: PeerId, refusal: Refusal, now: Instant) {
        self.reject(from, refusal.reason);
        if says_too_little(refusal.reason) {
            return;
        }
        let Some(peer) = self.peers.get(from) else {
            return;
        };
        match (&peer.side, refusal.speaker) {
            (Side::Worker(worker), Some((Role::Worker, form))) if form == worker.form => {
                self.dismiss(from, form, refusal.reason.as_str(), now);
            }
            (Side::Worker(worker), None) => {
                let form = worker.form;
                self.dismiss(from, form, refusal.reason.as_str(), now);
            }
            (Side::Expired(pinned), Some((Role::Worker, form))) if form == *pinned => {
                self.dismiss(from, form, refusal.reason.as_str(), now);
            }
            (Side::Unknown, Some((Role::Worker, form))) => {
                self.dismiss(from, form, refusal.reason.as_str(), now);
            }
            (Side::Client(client), Some((Role::Client, form))) if form != client.form => {}
            (Side::Unknown | Side::Client(_), Some((Role::Client, form))) => {
                if let Some(id) = refusal.request {
                    self.refuse_request(from, form, id, refusal.reason, now);
                }
            }
            (
                Side::Unknown
                | Side::Client(_)
                | Side::Worker(_)
                | Side::Expired(_)
                | Side::Dismissed,
                _,
            ) => {}
        }
    }

    fn reject(&mut self, peer: PeerId, reason: Rejection) {
        self.tally.count_rejected(reason);
        self.event(Event::Rejected { peer, reason });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Ends all that a peer took part in, as a client or as a worker.
    fn leave(&mut self, peer: PeerId, departure: Departure, now: Instant) {
        match self.peers.get(peer).map(|peer| &peer.side) {
            Some(Side::Client(_)) => self.end_client(peer, now),
            Some(Side::Worker(worker)) => {
                let form = worker.form;
                if departure == Departure::Draining {
                    self.dismiss_as(peer, form, departure, "the broker is stopping", now);
                } else {
                    self.lose_worker(peer, departure, now);
                }
            }
            Some(Side::Unknown | Side::Expired(_) | Side::Dismissed) | None => {}
        }
    }

    /// Closes a connection at once: its peer harms itself or others.
    fn expel(&mut self, peer: PeerId, reason: CloseReason, now: Instant) {
        self.leave(peer, Departure::Dismissed, now);
        if let Some(known) = self.peers.get_mut(peer)
            && !matches!(known.side, Side::Dismissed)
        {
            known.side = Side::Dismissed;
            self.outputs.push_back(Output::Close(peer, reason));
        }
    }

    fn tell_client(&mut self, peer: PeerId, form: Form, command: ToClient) {
        let body_bytes = match &command {
            ToClient::Partial { body, .. } | ToClient::Final { body, .. } => body.encoded().len(),
            ToClient::Error { header, .. } => header.encoded_bytes(),
        };
        self.grow_backlog(peer, body_bytes);
        self.outputs.push_back(Output::ToClient {
            peer,
            form,
            command,
        });
    }

    fn tell_worker(&mut self, peer: PeerId, form: Form, command: ToWorker, now: Instant) {
        let body_bytes = match &command {
            ToWorker::Request { body, .. } => body.encoded().len(),
            ToWorker::Welcome { header, .. }
            | ToWorker::Cancel { header, .. }
            | ToWorker::More { header, .. }
            | ToWorker::Disconnect { header } => header.encoded_bytes(),
            ToWorker::Heartbeat => 0,
        };
        if let Some(worker) = self.peers.get_mut(peer).and_then(Peer::worker_mut) {
            worker.last_sent = now;
        }
        self.grow_backlog(peer, body_bytes);
        self.outputs.push_back(Output::ToWorker {
            peer,
            form,
            command,
        });
    }

    fn grow_backlog(&mut self, peer: PeerId, body_bytes: usize) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        let bytes = ENVELOPE_BYTES + body_bytes;
        known.backlog_bytes += bytes;
        self.tally.backlog_bytes += bytes;
        if known.backlog_bytes > self.config.limits.outbox_max_bytes {
            self.overflowing.push(peer);
        } else if known.backlog_bytes > self.config.limits.outbox_bytes {
            self.refresh_reading(peer);
        }
    }

    /// Reads a peer's messages unless its outbox or its unanswered requests are at their limit.
    ///
    /// MDP/0.3 clients at the limit of unanswered requests are told so by an error instead.
    fn refresh_reading(&mut self, peer: PeerId) {
        let limits = &self.config.limits;
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        let asks_too_much = match &known.side {
            Side::Client(client) => {
                !client.form.dialect.has_header()
                    && (client.requests.len() >= limits.client_requests
                        || client.held_bytes >= limits.client_bytes)
            }
            Side::Unknown | Side::Worker(_) | Side::Expired(_) | Side::Dismissed => false,
        };
        let pause = asks_too_much || known.backlog_bytes > limits.outbox_bytes;
        if pause != known.paused {
            known.paused = pause;
            self.outputs.push_back(if pause {
                Output::Pause(peer)
            } else {
                Output::Resume(peer)
            });
            if self.planted.has(Bug::NeverResume) {
                self.swallow_resume();
            }
        }
    }

    /// Requests whose clients wait, oldest first.
    fn unanswered_in_order(&self) -> Vec<RequestKey> {
        let waited_for = self.requests.iter().filter(|(_, r)| r.asker.is_some());
        let mut keys: Vec<(u64, RequestKey)> = waited_for.map(|(key, r)| (r.id, key)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// Every worker, service by service.
    fn workers_in_order(&self) -> impl Iterator<Item = PeerId> {
        let services = self.names.values().map(|key| &self.services[*key]);
        services.flat_map(|service| service.workers.iter().copied())
    }
}

impl Drain {
    fn max_underway(self) -> Self {
        match self {
            Self::No | Self::Underway => Self::Underway,
            Self::Done => Self::Done,
        }
    }
}

/// Whether a message is dropped without an answer: what it is about cannot be read, or is for a
/// later version to know.
fn says_too_little(reason: Rejection) -> bool {
    matches!(
        reason,
        Rejection::UnknownProtocol
            | Rejection::Delimiter
            | Rejection::NoCommand
            | Rejection::LaterCommand
            | Rejection::NoService
            | Rejection::NoToken
    )
}

/// A header that says why, for ERROR and DISCONNECT.
fn reasoned(id: u64, code: Option<ErrorCode>, message: &str) -> Header {
    let mut header = Header::new(id);
    if let Some(code) = code {
        header.properties = header.properties.with("code", code);
    }
    header.properties = header.properties.with("message", message);
    header
}

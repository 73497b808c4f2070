//! A worker's own listeners: clients that ask it without a broker between.
//!
//! What a broker is to its clients is decided by the same machine, which lives here beside the
//! worker's: the *resident* is registered at it in memory, and nobody else may be. Commands go from
//! machine to machine as they are, so that nothing is encoded and no socket is between.

mod clients;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use plantd_mdp::{
    Broker, Header, Token,
    broker::{self, Event, Origin, Output, PeerId},
    command::ToWorker,
    worker as machine,
};
use plantd_zmtp::{
    Accepted, Admission, Arrival, BACKLOG_HIGH_BYTES, Listener, Message, Notice, SessionConfig,
    Side, SocketType,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::{debug, info};

use super::listener::{ListenerLimits, ListenerStatus};

/// What connections may have told before the loop looks: each notice is one turn of reading.
const NOTICES: usize = 64;
/// Accepted connections that may wait for the loop.
const ARRIVALS: usize = 64;
/// What the resident asks for beside its credit: the two machines share a loop, and one does not fall
/// silent without the other.
const HEARTBEAT: Duration = Duration::from_secs(60);
const LIVENESS: u32 = 20;

/// The listeners of a worker that serves, and their clients.
#[derive(Debug)]
pub(super) struct Listening {
    broker: Broker,
    resident: machine::Worker,
    /// What the broker's machine calls the resident, while it is connected.
    peer: Option<PeerId>,
    clients: Accepted<PeerId>,
    admission: Admission,
    session: Arc<SessionConfig>,
    arrivals: mpsc::Receiver<Arrival>,
    notices: mpsc::Receiver<Notice<PeerId>>,
    work: VecDeque<Work>,
    phase: Phase,
    /// Ends with what it is part of.
    accepting: JoinSet<()>,
    status: watch::Sender<ListenerStatus>,
}

/// What clients do.
#[derive(Debug)]
pub(super) enum Visit {
    /// One has come.
    Arrival(Arrival),
    /// A connection has something to tell.
    Notice(Notice<PeerId>),
}

impl Visit {
    /// How many messages it brings, or one.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Notice(Notice::Messages { messages, .. }) => messages.len(),
            Self::Notice(_) | Self::Arrival(_) => 1,
        }
    }
}

/// What the handlers of requests have to do with.
#[derive(Debug)]
pub(super) enum Work {
    /// A request to answer.
    Request {
        token: Token,
        header: Header,
        body: Message,
    },
    /// Nobody waits for this answer.
    Cancel { token: Token },
    /// A part of this answer can be sent.
    Room { token: Token },
    /// Some client's outbox has become short: parts that wait for that can be tried again.
    RoomSomewhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    /// Every request has ended; connections are written out.
    Closing,
}

impl Listening {
    /// Begins to accept. Nothing is answered before the first turn.
    pub(super) fn new(
        listeners: Vec<Listener>,
        limits: ListenerLimits,
        worker: &machine::Config,
        status: watch::Sender<ListenerStatus>,
        now: Instant,
    ) -> Self {
        let endpoints = listeners.iter().map(|it| it.endpoint().to_string());
        let config = broker::Config {
            awaits_workers: false,
            endpoints: endpoints.collect(),
            limits: limits.to_machine(),
            ..broker::Config::default()
        };
        let mut resident = worker.clone();
        resident.offer.heartbeat = HEARTBEAT;
        resident.offer.liveness = LIVENESS;
        let admission = Admission::new(limits.connections, limits.connections_per_address);
        let (accepted, arrivals) = mpsc::channel(ARRIVALS);
        let (sender, notices) = mpsc::channel(NOTICES);
        let mut accepting = JoinSet::new();
        for (door, listener) in listeners.into_iter().enumerate() {
            info!(endpoint = %listener.endpoint(), service = %worker.service, "clients are served");
            accepting.spawn(listener.run(door, accepted.clone()));
        }
        status.send_modify(|status| status.is_serving = true);
        Self {
            broker: Broker::new(config, seed(), now),
            resident: machine::Worker::new(resident, crate::jitter_seed()),
            peer: None,
            clients: Accepted::new(admission.clone(), sender),
            admission,
            session: Arc::new(SessionConfig::new(Side::Binding, SocketType::Router)),
            arrivals,
            notices,
            work: VecDeque::new(),
            phase: Phase::Serving,
            accepting,
            status,
        }
    }

    /// The machine whose requests the handlers answer.
    pub(super) fn resident(&mut self) -> &mut machine::Worker {
        &mut self.resident
    }

    /// Waits for something to take. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Visit {
        tokio::select! {
            Some(arrival) = self.arrivals.recv() => Visit::Arrival(arrival),
            Some(notice) = self.notices.recv() => Visit::Notice(notice),
        }
    }

    /// Takes what has come.
    pub(super) fn take(&mut self, visit: Visit, now: Instant) {
        match visit {
            Visit::Arrival(arrival) => self.admit(arrival),
            Visit::Notice(notice) => self.take_notice(notice, now),
        }
    }

    /// Takes the passing of time, and what is left of what was sent before.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let broker = &mut self.broker;
        self.clients.settle(|peer, _, backlog_bytes| {
            broker.handle_backlog(peer, backlog_bytes, now);
        });
        if self.broker.poll_timeout().is_some_and(|due| due <= now) {
            self.broker.handle_timeout(now);
        }
        if self.phase != Phase::Closing {
            self.resident.handle_timeout(now);
        }
    }

    /// Says when [`Listening::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let resident = match self.phase {
            Phase::Serving | Phase::Draining => self.resident.poll_timeout(),
            Phase::Closing => None,
        };
        resident.into_iter().chain(self.broker.poll_timeout()).min()
    }

    /// Lets the two machines talk until both have nothing to say, and gives what the handlers have to
    /// do with.
    pub(super) fn poll_work(&mut self, now: Instant) -> Option<Work> {
        loop {
            if let Some(work) = self.work.pop_front() {
                return Some(work);
            }
            let has_heard = self.carry_out(now);
            let has_said = self.hear_resident(now);
            if !has_heard && !has_said && self.work.is_empty() {
                return None;
            }
        }
    }

    /// Writes what was queued, and shows how it is.
    pub(super) fn flush(&mut self) {
        self.clients.flush();
        self.status.send_if_modified(|status| {
            status.connections = self.admission.connections();
            status.tally.clone_from(self.broker.tally());
            let is_serving = self.phase == Phase::Serving;
            std::mem::replace(&mut status.is_serving, is_serving) != is_serving
        });
    }

    /// Says whether little waits for the client that this part is for. When not,
    /// [`Work::RoomSomewhere`] follows.
    pub(super) fn has_room(&self, token: Token) -> bool {
        let client = self.broker.client_of(token);
        let link = client.and_then(|client| self.clients.get(client));
        link.is_none_or(|link| link.backlog_bytes() <= BACKLOG_HIGH_BYTES)
    }

    /// Takes nothing new from here on, and answers what was taken.
    pub(super) fn drain(&mut self, now: Instant) {
        if self.phase == Phase::Serving {
            self.phase = Phase::Draining;
            self.clients.refuse_more();
            self.broker.handle_drain(now);
        }
    }

    /// Fails what is left of a drain; returns how many requests that is.
    pub(super) fn abandon(&mut self, now: Instant) -> usize {
        let unanswered = self.broker.tally().unanswered;
        self.broker.handle_drain_deadline(now);
        unanswered
    }

    /// Whether everything is answered, written and closed.
    pub(super) fn has_left(&self) -> bool {
        self.phase == Phase::Closing && self.clients.is_empty()
    }

    /// Ends it with its listeners closed: who waits for it may bind their endpoints again.
    pub(super) async fn finish(mut self) {
        self.accepting.shutdown().await;
    }

    /// Does what the broker's machine wants; whether the resident was told something.
    fn carry_out(&mut self, now: Instant) -> bool {
        let mut has_told = false;
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::ToClient {
                    peer,
                    form,
                    command,
                } => self.clients.push(peer, |out| command.encode(form, out)),
                Output::ToWorker { peer, command, .. } if Some(peer) == self.peer => {
                    self.resident.handle_command(command, now);
                    has_told = true;
                }
                // To whoever tried to be one.
                Output::ToWorker {
                    peer,
                    form,
                    command,
                } => self.tell_stranger(peer, form, &command),
                Output::Pause(peer) => {
                    if let Some(link) = self.clients.get(peer) {
                        link.outbox().pause_reading();
                    }
                }
                Output::Resume(peer) => {
                    if let Some(link) = self.clients.get(peer) {
                        link.outbox().resume_reading();
                    }
                }
                Output::Close(peer, reason) => self.end(peer, reason),
                Output::Event(event) => self.tell(&event),
                Output::Drained => {
                    self.phase = Phase::Closing;
                    self.clients.end_all();
                }
            }
        }
        if has_told && let Some(peer) = self.peer {
            // It has taken all of it.
            self.broker.handle_backlog(peer, 0, now);
        }
        has_told
    }

    fn tell_stranger(&mut self, peer: PeerId, form: plantd_mdp::Form, command: &ToWorker) {
        self.clients.push(peer, |out| command.encode(form, out));
    }

    /// Does what the resident wants; whether it wanted something.
    fn hear_resident(&mut self, now: Instant) -> bool {
        let mut has_said = false;
        while self.phase != Phase::Closing
            && let Some(output) = self.resident.poll_output()
        {
            has_said = true;
            match output {
                machine::Output::Connect => self.join(now),
                machine::Output::Close => self.leave(now),
                machine::Output::Send(command) => {
                    if let Some(peer) = self.peer {
                        self.broker.handle_command(peer, command, now);
                    }
                }
                machine::Output::Registered(_) | machine::Output::Drained => {}
                machine::Output::Lost(loss) => debug!(?loss, "not registered at the own endpoint"),
                machine::Output::Request {
                    token,
                    header,
                    body,
                } => self.work.push_back(Work::Request {
                    token,
                    header,
                    body,
                }),
                machine::Output::Cancel { token } => self.work.push_back(Work::Cancel { token }),
                machine::Output::Room { token } => self.work.push_back(Work::Room { token }),
            }
        }
        has_said
    }

    fn join(&mut self, now: Instant) {
        self.leave(now);
        let peer = self.clients.reserve();
        let origin = Origin {
            address: "this process".to_owned(),
            joins_partials: false,
            may_serve: true,
        };
        self.broker.handle_opened(peer, origin, now);
        self.peer = Some(peer);
        self.resident.handle_opened(now);
    }

    fn leave(&mut self, now: Instant) {
        if let Some(peer) = self.peer.take() {
            self.broker.handle_closed(peer, now);
            self.clients.give_back(peer);
        }
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::Rejected { peer, reason } => {
                let peer = self.clients.get(*peer).map_or("", |link| &link.name);
                debug!(peer, %reason, "refused");
            }
            // The resident's own, of which the worker tells.
            Event::WorkerJoined { .. } | Event::WorkerLeft { .. } | Event::RequestDied { .. } => {}
        }
    }
}

/// A seed for the tokens of the resident, which nobody else ever sees.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for part in seed.chunks_exact_mut(8) {
        part.copy_from_slice(&crate::jitter_seed().to_be_bytes());
    }
    seed
}

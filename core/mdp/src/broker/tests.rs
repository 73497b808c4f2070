//! The broker in virtual time: raw peers, frames in, frames out.
//!
//! A test that shows a case of the conformance list carries its number.

mod basic;
mod deadlines;
mod dialects;
mod drain;
mod frames;
mod heartbeats;
mod honest;
mod hostile;
mod ids;
mod joined;
mod lifecycle;
mod limits;
mod malformed;
mod mmi;
mod orphans;
mod properties;
mod redispatch;
mod resident;
mod scheduling;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use plantd_zmtp::Message;
use slotmap::SlotMap;

use self::frames::{Frames, frames, header};
use super::{Broker, CloseReason, Config, Departure, Event, Origin, Output, PeerId};
use crate::command::{ToClient, ToWorker};
use crate::{ErrorCode, Rejection};

/// The heartbeat interval of peers before MDP/0.3.
const H: Duration = Duration::from_millis(2500);
/// The heartbeat interval of MDP/0.3 workers.
const H03: Duration = Duration::from_secs(1);
const LIVENESS: u32 = 3;
/// How often peers that are kept alive send HEARTBEAT.
const BEAT: Duration = Duration::from_millis(500);
const MS: Duration = Duration::from_millis(1);

/// A broker, its peers, and the time that passes for them.
struct Plant {
    broker: Broker,
    ids: SlotMap<PeerId, ()>,
    began: Instant,
    now: Instant,
    /// What each peer received and when, until a test takes it.
    inboxes: BTreeMap<PeerId, Vec<(Duration, Frames)>>,
    /// Peers that do not read, with the bytes that wait for them.
    stuck: BTreeMap<PeerId, usize>,
    /// What is sent for peers that are kept alive.
    heartbeats: BTreeMap<PeerId, Frames>,
    next_beat: Instant,
    paused: BTreeSet<PeerId>,
    closed: BTreeMap<PeerId, CloseReason>,
    events: Vec<(Duration, Event)>,
    drained: u32,
}

impl Plant {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        #[expect(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
        let now = Instant::now();
        Self {
            broker: Broker::new(config, [7; 32], now),
            ids: SlotMap::with_key(),
            began: now,
            now,
            inboxes: BTreeMap::new(),
            stuck: BTreeMap::new(),
            heartbeats: BTreeMap::new(),
            next_beat: now + BEAT,
            paused: BTreeSet::new(),
            closed: BTreeMap::new(),
            events: Vec::new(),
            drained: 0,
        }
    }

    fn opens(&mut self, joins_partials: bool) -> PeerId {
        self.opens_as(|origin| origin.joins_partials = joins_partials)
    }

    fn opens_as(&mut self, change: impl FnOnce(&mut Origin)) -> PeerId {
        let peer = self.ids.insert(());
        let mut origin = Origin {
            address: format!("peer-{}", self.ids.len()),
            joins_partials: false,
            may_serve: true,
        };
        change(&mut origin);
        self.broker.handle_opened(peer, origin, self.now);
        self.inboxes.insert(peer, Vec::new());
        self.settle();
        peer
    }

    fn client(&mut self) -> PeerId {
        self.opens(false)
    }

    /// A worker of MDP/0.2 that is kept alive.
    fn worker(&mut self, service: &str) -> PeerId {
        let worker = self.opens(false);
        self.sends(worker, frames!["MDPW02", 1, service]);
        self.keeps_alive(worker, frames!["MDPW02", 5]);
        worker
    }

    /// A worker of MDP/0.3 that is kept alive and has read its WELCOME.
    fn worker03(&mut self, service: &str, credit: u32) -> PeerId {
        let worker = self.opens(false);
        let credit = credit.to_string();
        let offer = header(0, &[("credit", &credit)]);
        self.sends(worker, frames!["MDPW03", 1, service, offer]);
        self.keeps_alive(worker, frames!["MDPW03", 5]);
        let inbox = self.inboxes.get_mut(&worker).unwrap();
        let (_, welcome) = inbox.remove(0);
        assert_eq!(welcome.0[1], [8]);
        worker
    }

    fn keeps_alive(&mut self, worker: PeerId, heartbeat: Frames) {
        self.heartbeats.insert(worker, heartbeat);
    }

    fn falls_silent(&mut self, worker: PeerId) {
        self.heartbeats.remove(&worker);
    }

    fn sends(&mut self, peer: PeerId, frames: Frames) {
        let message = Message::from_frames(&frames.0);
        self.broker.handle_message(peer, message, self.now);
        self.settle();
    }

    /// An MDP/0.2 client asks.
    fn asks(&mut self, client: PeerId, service: &str, body: &str) {
        self.sends(client, frames!["MDPC02", 1, service, body]);
    }

    /// An MDP/0.3 client asks.
    fn asks03(&mut self, client: PeerId, id: u64, service: &str, body: &str) {
        self.asks_with(client, id, &[], service, body);
    }

    fn asks_with(
        &mut self,
        client: PeerId,
        id: u64,
        properties: &[(&str, &str)],
        service: &str,
        body: &str,
    ) {
        let header = header(id, properties);
        self.sends(client, frames!["MDPC03", 1, service, header, body]);
    }

    /// Sends FINAL with the request's own body.
    fn echoes(&mut self, worker: PeerId, request: &Frames) {
        self.sends(worker, request.echo());
    }

    /// Lets a worker echo until nothing is asked of it, and counts.
    fn serves(&mut self, worker: PeerId) -> usize {
        let mut served = 0;
        loop {
            let received = self.takes(worker);
            let requests: Vec<&Frames> = received.iter().filter(|it| it.is_request()).collect();
            if requests.is_empty() {
                return served;
            }
            for request in requests {
                self.echoes(worker, request);
                served += 1;
            }
        }
    }

    fn closes(&mut self, peer: PeerId) {
        self.heartbeats.remove(&peer);
        self.stuck.remove(&peer);
        self.broker.handle_closed(peer, self.now);
        self.ids.remove(peer);
        self.settle();
    }

    /// A peer whose outbox fills from here on.
    fn stops_reading(&mut self, peer: PeerId) {
        self.stuck.insert(peer, 0);
    }

    fn reads_again(&mut self, peer: PeerId) {
        self.stuck.remove(&peer);
        self.broker.handle_backlog(peer, 0, self.now);
        self.settle();
    }

    fn drains(&mut self) {
        self.broker.handle_drain(self.now);
        self.settle();
    }

    fn drain_deadline_passes(&mut self) {
        self.broker.handle_drain_deadline(self.now);
        self.settle();
    }

    /// Lets time pass, with everything that is due on its way done at its instant.
    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timeout = self.broker.poll_timeout().filter(|at| *at <= end);
            if self.next_beat <= timeout.unwrap_or(end) {
                self.now = self.next_beat;
                self.next_beat += BEAT;
                for (worker, heartbeat) in self.heartbeats.clone() {
                    self.sends(worker, heartbeat);
                }
            } else if let Some(at) = timeout {
                self.now = self.now.max(at);
                self.broker.handle_timeout(self.now);
                let next = self.broker.poll_timeout();
                assert!(next.is_none_or(|next| next > self.now), "a timer is stuck");
                self.settle();
            } else {
                break;
            }
        }
        self.now = end;
    }

    /// Lets time pass while the broker's process is stopped.
    fn is_stopped_for(&mut self, time: Duration) {
        self.now += time;
        self.next_beat = self.next_beat.max(self.now);
    }

    /// Takes what a peer received besides heartbeats.
    fn takes(&mut self, peer: PeerId) -> Vec<Frames> {
        let received = self.hears(peer).into_iter().map(|(_, frames)| frames);
        received.filter(|frames| !frames.is_heartbeat()).collect()
    }

    /// Takes the only thing that a peer received besides heartbeats.
    #[track_caller]
    fn takes_one(&mut self, peer: PeerId) -> Frames {
        let mut received = self.takes(peer);
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }

    /// Takes all that a peer received, each with its time.
    fn hears(&mut self, peer: PeerId) -> Vec<(Duration, Frames)> {
        self.inboxes
            .get_mut(&peer)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    #[track_caller]
    fn assert_silence(&mut self, peer: PeerId) {
        assert_eq!(self.takes(peer), []);
    }

    /// Asserts which messages were refused since the beginning, in order and in the counters.
    #[track_caller]
    fn assert_rejected(&self, expected: &[Rejection]) {
        let told: Vec<Rejection> = self
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Rejected { reason, .. } => Some(*reason),
                Event::WorkerJoined { .. }
                | Event::WorkerLeft { .. }
                | Event::RequestDied { .. } => None,
            })
            .collect();
        assert_eq!(told, expected);
        for reason in Rejection::ALL {
            let count = expected.iter().filter(|other| **other == reason).count();
            assert_eq!(
                self.broker.tally().rejected(reason),
                count as u64,
                "{reason}"
            );
        }
    }

    #[track_caller]
    fn assert_failed(&self, code: ErrorCode, times: u64) {
        assert_eq!(self.broker.tally().failed(code), times, "{code}");
    }

    /// When and why workers left.
    fn departures(&self) -> Vec<(Duration, PeerId, Departure)> {
        self.events
            .iter()
            .filter_map(|(at, event)| match event {
                Event::WorkerLeft {
                    peer, departure, ..
                } => Some((*at, *peer, *departure)),
                Event::WorkerJoined { .. } | Event::Rejected { .. } | Event::RequestDied { .. } => {
                    None
                }
            })
            .collect()
    }

    /// Case 1 on new connections, which leave nothing behind.
    #[track_caller]
    fn assert_alive(&mut self) {
        let (client, worker) = (self.client(), self.worker("alive"));
        self.asks(client, "alive", "?");
        let request = self.takes_one(worker);
        self.echoes(worker, &request);
        assert_eq!(self.takes(client), [frames!["MDPC02", 3, "alive", "?"]]);
        self.closes(worker);
        self.closes(client);
    }

    #[track_caller]
    fn assert_nothing_is_held(&self) {
        self.assert_nothing_is_held_but_workers(0);
        assert_eq!(self.broker.tally().services, 0, "services");
    }

    #[track_caller]
    fn assert_nothing_is_held_but_workers(&self, workers: usize) {
        let tally = self.broker.tally();
        assert_eq!(tally.workers, workers, "workers");
        assert_eq!(tally.queued, 0, "queued");
        assert_eq!(tally.unanswered, 0, "unanswered");
        assert_eq!(tally.held_bytes, 0, "held bytes");
    }

    /// Asks `mmi.service` on a connection of its own.
    fn is_served(&mut self, service: &str) -> bool {
        let client = self.client();
        self.asks(client, "mmi.service", service);
        let answer = self.takes_one(client);
        self.closes(client);
        answer == frames!["MDPC02", 3, "mmi.service", "200"]
    }

    /// Carries out what the broker wants, and tells it that what could be written is.
    fn settle(&mut self) {
        loop {
            self.broker.check_invariants();
            let mut wrote = BTreeSet::new();
            let mut ends = Vec::new();
            while let Some(output) = self.broker.poll_output() {
                match output {
                    Output::ToClient {
                        peer,
                        form,
                        command,
                    } => {
                        self.writes(peer, |out| command.encode(form, out).cloned());
                        wrote.insert(peer);
                    }
                    Output::ToWorker {
                        peer,
                        form,
                        command,
                    } => {
                        self.writes(peer, |out| command.encode(form, out).cloned());
                        wrote.insert(peer);
                    }
                    Output::Pause(peer) => assert!(self.paused.insert(peer), "paused twice"),
                    Output::Resume(peer) => assert!(self.paused.remove(&peer), "was not paused"),
                    Output::Close(peer, reason) => {
                        assert!(self.ids.contains_key(peer), "a connection that is gone");
                        assert_eq!(self.closed.insert(peer, reason), None, "closed twice");
                        ends.push(peer);
                    }
                    Output::Event(event) => self.events.push((self.now - self.began, event)),
                    Output::Drained => self.drained += 1,
                }
            }
            for peer in &wrote {
                let backlog_bytes = self.stuck.get(peer).copied().unwrap_or(0);
                self.broker.handle_backlog(*peer, backlog_bytes, self.now);
            }
            for peer in &ends {
                self.heartbeats.remove(peer);
                self.stuck.remove(peer);
                self.broker.handle_closed(*peer, self.now);
                self.ids.remove(*peer);
            }
            if wrote.is_empty() && ends.is_empty() {
                return;
            }
        }
    }

    fn writes(&mut self, peer: PeerId, encode: impl FnOnce(&mut BytesMut) -> Option<Message>) {
        let mut encoded = BytesMut::new();
        let body = encode(&mut encoded).expect("the dialect has the command");
        encoded.extend_from_slice(body.encoded());
        assert!(
            !self.closed.contains_key(&peer),
            "a closed peer is written to"
        );
        if let Some(backlog_bytes) = self.stuck.get_mut(&peer) {
            *backlog_bytes += encoded.len();
        }
        let frames = Frames::read(&encoded);
        if frames.is_disconnect() {
            self.falls_silent(peer);
        }
        let at = self.now - self.began;
        let inbox = self.inboxes.get_mut(&peer).expect("a peer that was opened");
        inbox.push((at, frames));
    }
}

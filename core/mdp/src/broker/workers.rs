//! What workers send, and what becomes of their requests when they are lost.

use std::time::{Duration, Instant};

use plantd_zmtp::Message;

use super::clients::{MEMORY_LIMIT, fits, passes_through};
use super::liveness::Timer;
use super::output::{Departure, Event, PeerId};
use super::peer::{Peer, Side, WorkerPeer};
use super::request::{Asker, DeadRequest, RequestKey, State};
use super::{Broker, Drain, reasoned};
use crate::command::{FromWorker, ToClient, ToWorker};
use crate::planted::Bug;
use crate::{ErrorCode, Form, Header, Properties, Rejection, ServiceName, Token};

/// The range of `credit`.
const CREDIT: std::ops::RangeInclusive<u64> = 1..=4096;
/// The range of `streams`, and what a worker has that does not say.
const STREAMS: std::ops::RangeInclusive<u64> = 1..=65_536;
const DEFAULT_STREAMS: u64 = 1024;
/// The range of `heartbeat-ms`.
const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 100..=60_000;
/// The range of `liveness`.
const LIVENESS: std::ops::RangeInclusive<u64> = 2..=20;

/// What a worker and the broker agree on.
struct WorkerTerms {
    credit: u32,
    streams: u32,
    heartbeat: Duration,
    liveness: u32,
}

impl Broker {
    pub(super) fn handle_worker(
        &mut self,
        from: PeerId,
        form: Form,
        command: FromWorker,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        match &mut peer.side {
            Side::Worker(worker) if worker.form == form => worker.last_heard = now,
            Side::Worker(_) => return self.reject(from, Rejection::DialectChanged),
            Side::Client(_) => return self.reject(from, Rejection::RoleChanged),
            Side::Dismissed => return self.reject(from, Rejection::Dismissed),
            Side::Expired(pinned) if *pinned != form => {
                return self.reject(from, Rejection::DialectChanged);
            }
            Side::Unknown | Side::Expired(_) => {
                return self.handle_stranger(from, form, command, now);
            }
        }
        match command {
            FromWorker::Ready { .. } => {
                self.reject(from, Rejection::AlreadyReady);
                self.dismiss(from, form, Rejection::AlreadyReady.as_str(), now);
            }
            FromWorker::Partial {
                token,
                header,
                body,
            } => self.handle_partial(from, token, header, body, now),
            FromWorker::Final {
                token,
                header,
                body,
            } => self.handle_final(from, token, header, body, now),
            FromWorker::Error { token, header } => self.handle_error(from, token, &header, now),
            FromWorker::Heartbeat { header } => self.handle_heartbeat(from, &header, now),
            FromWorker::Disconnect => {
                self.lose_worker(from, Departure::Left, now);
                self.mark_dismissed(from, form, now);
            }
        }
    }

    /// Sends DISCONNECT as the last frame, and lets the peer read it before the end.
    pub(super) fn dismiss(&mut self, peer: PeerId, form: Form, message: &str, now: Instant) {
        self.dismiss_as(peer, form, Departure::Dismissed, message, now);
    }

    pub(super) fn dismiss_as(
        &mut self,
        peer: PeerId,
        form: Form,
        departure: Departure,
        message: &str,
        now: Instant,
    ) {
        self.lose_worker(peer, departure, now);
        let header = reasoned(0, None, message);
        self.tell_worker(peer, form, ToWorker::Disconnect { header }, now);
        self.mark_dismissed(peer, form, now);
    }

    /// Takes a worker out, and gives what it held to others as far as that is allowed.
    pub(super) fn lose_worker(&mut self, peer: PeerId, departure: Departure, now: Instant) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        let Some(form) = known.worker().map(|worker| worker.form) else {
            return;
        };
        let name = known.display_name();
        let Side::Worker(worker) = std::mem::replace(&mut known.side, Side::Expired(form)) else {
            return;
        };
        let service_key = worker.service;
        let service = &mut self.services[service_key];
        service.workers.remove(&peer);
        if let Some(room) = worker.room
            && !self.planted.has(Bug::KeepDeadWorker)
        {
            service.room.replace(Some(room), None);
        }
        let last_worker = service.workers.is_empty();
        let event = Event::WorkerLeft {
            peer,
            service: service.name.clone(),
            departure,
            unanswered: worker.held.len(),
        };
        self.workerless += usize::from(last_worker);
        self.tally.workers -= 1;
        self.event(event);

        let mut held = worker.held;
        held.sort_unstable_by_key(|key| self.requests[*key].id);
        let is_forgiven = worker.credit == 0 && self.planted.has(Bug::ForgiveLeaver);
        for key in held {
            self.record_attempt(key, name.clone(), departure.as_str(), now);
            self.requests[key].attempts -= u32::from(is_forgiven);
            self.lose_attempt(key, now);
        }
        if last_worker && self.drain != Drain::No {
            self.fail_unservable(now);
        }
        self.forget_if_unused(service_key);
    }

    /// Decides what becomes of a request whose worker is lost.
    fn lose_attempt(&mut self, key: RequestKey, now: Instant) {
        self.forget_parts(key);
        let request = &mut self.requests[key];
        request.state = State::Unplaced;
        if request.asker.is_none() {
            self.requests.remove(key);
        } else if self.planted.has(Bug::ForgetToRequeue) {
            self.release_asker(key);
            self.requests.remove(key);
        } else if request.may_go_on(self.planted) {
            self.redispatch(key, now);
        } else if request.partly_answered {
            let message = "the worker was lost after a part of its answer";
            self.fail(key, ErrorCode::WorkerLost, message, now);
        } else {
            if request.max_attempts > 1 {
                self.bury(key, now);
            }
            let message = "every worker that had the request was lost";
            self.fail(key, ErrorCode::WorkerLost, message, now);
        }
    }

    /// Remembers a request that used up its attempts.
    fn bury(&mut self, key: RequestKey, now: Instant) {
        let request = &self.requests[key];
        let asker = request.asker.and_then(|asker| self.peers.get(asker.peer));
        let dead = DeadRequest {
            id: request.id,
            service: self.services[request.service].name.clone(),
            client: asker.map_or_else(String::new, |peer| peer.origin.address.clone()),
            code: ErrorCode::WorkerLost,
            body_bytes: request.body.message().body_bytes(),
            died: now,
            history: request.history.clone(),
        };
        self.tally.dead += 1;
        self.event(Event::RequestDied {
            request: dead.id,
            service: dead.service.clone(),
            attempts: request.attempts,
        });
        if self.dead.len() >= self.config.limits.dead {
            self.dead.pop_front();
        }
        self.dead.push_back(dead);
    }

    fn mark_dismissed(&mut self, peer: PeerId, form: Form, now: Instant) {
        let interval = self.heartbeat_of(form);
        if let Some(known) = self.peers.get_mut(peer) {
            known.side = Side::Dismissed;
            let until = now + interval * self.config.liveness;
            self.timers.arm(until, Timer::Dismissed(peer));
        }
    }

    fn heartbeat_of(&self, form: Form) -> Duration {
        if form.dialect.has_header() {
            self.config.mdp03_heartbeat_interval
        } else {
            self.config.heartbeat_interval
        }
    }

    fn is_expired(&self, peer: PeerId) -> bool {
        let side = self.peers.get(peer).map(|peer| &peer.side);
        matches!(side, Some(Side::Expired(_)))
    }

    /// Takes a command of a connection that is no worker yet, or is none since it was expired.
    fn handle_stranger(&mut self, from: PeerId, form: Form, command: FromWorker, now: Instant) {
        match command {
            FromWorker::Ready { .. } if self.is_expired(from) => {
                self.reject(from, Rejection::AlreadyReady);
                self.dismiss(from, form, Rejection::AlreadyReady.as_str(), now);
            }
            FromWorker::Ready { service, header } => {
                if let Err(reason) = self.register(from, form, &service, &header, now) {
                    self.reject(from, reason);
                    self.dismiss(from, form, reason.as_str(), now);
                }
            }
            FromWorker::Disconnect => {
                self.reject(from, Rejection::NotReady);
                self.mark_dismissed(from, form, now);
            }
            FromWorker::Partial { .. }
            | FromWorker::Final { .. }
            | FromWorker::Error { .. }
            | FromWorker::Heartbeat { .. } => {
                self.reject(from, Rejection::NotReady);
                self.dismiss(from, form, Rejection::NotReady.as_str(), now);
            }
        }
    }

    fn register(
        &mut self,
        from: PeerId,
        form: Form,
        service: &ServiceName,
        header: &Header,
        now: Instant,
    ) -> Result<(), Rejection> {
        if service.is_reserved() {
            return Err(Rejection::ReservedService);
        }
        if self.drain != Drain::No {
            return Err(Rejection::Draining);
        }
        if !self
            .peers
            .get(from)
            .is_some_and(|peer| peer.origin.may_serve)
        {
            return Err(Rejection::MayNotServe);
        }
        let terms = self.worker_terms(form, &header.properties)?;
        let key = self.service_key(service);
        let known = &mut self.services[key];
        self.workerless -= usize::from(known.workers.is_empty());
        known.workers.insert(from);
        self.tally.workers += 1;
        self.next_wait += 1;
        let text = |name| header.properties.get(name).map(str::to_owned);
        let worker = WorkerPeer {
            form,
            service: key,
            name: text("name"),
            version: text("version"),
            heartbeat: terms.heartbeat,
            liveness: terms.liveness,
            credit: if self.planted.has(Bug::CountCreditTwice) {
                2 * terms.credit
            } else {
                terms.credit
            },
            streams_limit: terms.streams,
            held: Vec::new(),
            streams: 0,
            last_heard: now,
            last_sent: now,
            waiting_since: self.next_wait,
            armed: None,
            room: None,
        };
        if let Some(peer) = self.peers.get_mut(from) {
            peer.side = Side::Worker(worker);
        }
        self.event(Event::WorkerJoined {
            peer: from,
            service: service.clone(),
            dialect: form.dialect,
        });
        if self.planted.has(Bug::RequestBeforeWelcome) {
            self.refresh_room(from, now);
        }
        if form.dialect.has_header() {
            let command = ToWorker::Welcome {
                service: service.clone(),
                header: terms.to_header(),
            };
            self.tell_worker(from, form, command, now);
        }
        self.arm_worker(from);
        if self.planted.has(Bug::DispatchTwiceOnReady) {
            self.dispatch_twice(from, key, form, now);
        }
        self.refresh_room(from, now);
        Ok(())
    }

    fn worker_terms(&self, form: Form, offer: &Properties) -> Result<WorkerTerms, Rejection> {
        if offer.iter().any(|(name, _)| name.starts_with('+')) {
            return Err(Rejection::UnsupportedProperty);
        }
        let number = |name, default: u64, range: std::ops::RangeInclusive<u64>| {
            let wish = offer.number(name).map_err(|_| Rejection::BadProperty)?;
            let agreed = wish.unwrap_or(default).clamp(*range.start(), *range.end());
            Ok(u32::try_from(agreed).unwrap_or(u32::MAX))
        };
        if !form.dialect.has_header() {
            return Ok(WorkerTerms {
                credit: 1,
                streams: 0,
                heartbeat: self.config.heartbeat_interval,
                liveness: self.config.liveness,
            });
        }
        let heartbeat = self.config.mdp03_heartbeat_interval.as_millis();
        let heartbeat = u64::try_from(heartbeat).unwrap_or(u64::MAX);
        let heartbeat_ms = number("heartbeat-ms", heartbeat, HEARTBEAT_MS)?;
        Ok(WorkerTerms {
            credit: number("credit", 1, CREDIT)?,
            streams: number("streams", DEFAULT_STREAMS, STREAMS)?,
            heartbeat: Duration::from_millis(heartbeat_ms.into()),
            liveness: number("liveness", self.config.liveness.into(), LIVENESS)?,
        })
    }

    /// Takes a sign of life. A change of credit is answered by another, after which the worker
    /// knows that no request that crossed it is still on its way.
    fn handle_heartbeat(&mut self, from: PeerId, header: &Header, now: Instant) {
        let credit = match header.properties.number("credit") {
            Ok(None) => return,
            Ok(Some(0)) if self.planted.has(Bug::IgnoreCreditZero) => 1,
            Ok(Some(credit)) => credit.min(*CREDIT.end()),
            Err(_) => return self.reject(from, Rejection::BadProperty),
        };
        let Some(worker) = self.peers.get_mut(from).and_then(Peer::worker_mut) else {
            return;
        };
        worker.credit = u32::try_from(credit).unwrap_or(u32::MAX);
        let form = worker.form;
        self.tell_worker(from, form, ToWorker::Heartbeat, now);
        self.refresh_room(from, now);
    }

    fn handle_partial(
        &mut self,
        from: PeerId,
        token: Token,
        header: Header,
        body: Message,
        now: Instant,
    ) {
        let Some(key) = self.attempt_of(from, token) else {
            return self.misuse_token(from, now);
        };
        let Some(asker) = self.requests[key].asker else {
            return self.reject(from, Rejection::Orphaned);
        };
        if !self.check_reply(key, &header, &body, now) {
            return;
        }
        if asker.joins_partials {
            self.join(key, asker, body, now);
            return;
        }
        self.requests[key].partly_answered = true;
        self.begin_stream(from, key, now);
        self.tally.partials += 1;
        let command = ToClient::Partial {
            service: self.service_name(key),
            header: reply_header(asker, &header),
            body,
        };
        self.tell_client(asker.peer, asker.form, command);
    }

    fn handle_final(
        &mut self,
        from: PeerId,
        token: Token,
        header: Header,
        body: Message,
        now: Instant,
    ) {
        let Some(key) = self.attempt_of(from, token) else {
            return self.misuse_token(from, now);
        };
        let service = self.requests[key].service;
        if self.requests[key].asker.is_none() {
            if self.planted.has(Bug::DisconnectOrphan) {
                return self.misuse_token(from, now);
            }
            self.reject(from, Rejection::Orphaned);
            if self.planted.has(Bug::KeepSlotOfOrphan) {
                return;
            }
            if self.planted.has(Bug::AnswerWrongRequest) {
                self.answer_another(from, &header, &body, now);
            }
            self.end_attempt(key);
            self.requests.remove(key);
        } else {
            self.end_attempt(key);
            if self.check_reply(key, &header, &body, now) {
                self.answer(key, &header, body, now);
            }
        }
        self.dispatch(service, now);
    }

    /// Sends the final answer, with the parts before it where the client takes one reply.
    pub(super) fn answer(&mut self, key: RequestKey, header: &Header, body: Message, now: Instant) {
        let mut parts = std::mem::take(&mut self.requests[key].joined);
        if self.planted.has(Bug::LoseJoinedPart) {
            parts.pop();
        }
        let body = if parts.is_empty() {
            body
        } else {
            parts.push(body);
            Message::concat(&parts)
        };
        if !fits(&body, &self.config.limits) {
            self.fail(key, ErrorCode::TooLarge, TOO_LARGE_REPLY, now);
            return;
        }
        let service = self.service_name(key);
        let Some(asker) = self.release_asker(key) else {
            return;
        };
        self.requests.remove(key);
        self.tally.replies += 1;
        let header = reply_header(asker, header);
        let command = ToClient::Final {
            service,
            header,
            body,
        };
        self.tell_client(asker.peer, asker.form, command);
    }

    fn handle_error(&mut self, from: PeerId, token: Token, header: &Header, now: Instant) {
        let Some(key) = self.attempt_of(from, token) else {
            return self.misuse_token(from, now);
        };
        let properties = &header.properties;
        let worker_code = properties.get("code").unwrap_or("error").to_owned();
        let service = self.requests[key].service;
        let draining = ErrorCode::parse(&worker_code) == Some(ErrorCode::Draining);
        if draining {
            if let Some(worker) = self.peers.get_mut(from).and_then(Peer::worker_mut) {
                worker.credit = 0;
            }
        } else {
            let name = self.peers.get(from).map(Peer::display_name);
            let retryable = properties.is_true("retryable");
            let outcome = if retryable { "retryable" } else { "error" };
            self.record_attempt(key, name.unwrap_or_default(), outcome, now);
        }
        self.end_attempt(key);
        self.forget_parts(key);
        let request = &mut self.requests[key];
        if request.asker.is_none() {
            self.reject(from, Rejection::Orphaned);
            self.requests.remove(key);
        } else if draining && !request.partly_answered {
            request.attempts -= u32::from(!self.planted.has(Bug::CountCrossedAttempt));
            self.redispatch(key, now);
        } else if properties.is_true("retryable") && request.may_go_on(self.planted) {
            self.redispatch(key, now);
        } else {
            let passed = properties
                .filtered(|name| passes_through(name) && name != "code" && !name.starts_with('+'));
            if ErrorCode::parse(&worker_code) == Some(ErrorCode::TooLarge) {
                self.fail_with(key, ErrorCode::TooLarge, &passed, now);
            } else {
                let passed = passed.with("worker-code", worker_code);
                self.fail_with(key, ErrorCode::WorkerError, &passed, now);
            }
        }
        self.dispatch(service, now);
    }

    /// Keeps a part for a client that takes one reply.
    fn join(&mut self, key: RequestKey, asker: Asker, body: Message, now: Instant) {
        let body = body.into_held();
        let bytes = body.held_bytes();
        let request = &mut self.requests[key];
        request.joined.push(body);
        request.held_bytes += bytes;
        self.tally.held_bytes += bytes;
        let limits = &self.config.limits;
        let parts = &request.joined;
        let frames: usize = parts.iter().map(Message::frame_count).sum();
        let joined_bytes: usize = parts.iter().map(Message::body_bytes).sum();
        let too_large = frames > limits.body_frames || joined_bytes > limits.body_bytes;
        let memory_bytes = self.memory_bytes();
        let too_much = memory_bytes > limits.memory_bytes;
        if let Some(client) = self.peers.get_mut(asker.peer).and_then(Peer::client) {
            client.held_bytes += bytes;
        }
        if too_large {
            self.fail(key, ErrorCode::TooLarge, TOO_LARGE_REPLY, now);
        } else if too_much {
            self.fail(key, ErrorCode::Busy, MEMORY_LIMIT, now);
        } else {
            self.refresh_reading(asker.peer);
        }
    }

    /// Drops the parts of an attempt that gave no answer.
    fn forget_parts(&mut self, key: RequestKey) {
        let request = &mut self.requests[key];
        let parts = std::mem::take(&mut request.joined);
        let Some(asker) = request.asker else {
            return;
        };
        let bytes: usize = parts.iter().map(Message::held_bytes).sum();
        request.held_bytes -= bytes;
        self.tally.held_bytes -= bytes;
        if let Some(client) = self.peers.get_mut(asker.peer).and_then(Peer::client) {
            client.held_bytes -= bytes;
        }
        self.refresh_reading(asker.peer);
    }

    /// Ends the request where a reply breaks a rule; whether the reply may go on.
    fn check_reply(
        &mut self,
        key: RequestKey,
        header: &Header,
        body: &Message,
        now: Instant,
    ) -> bool {
        if !fits(body, &self.config.limits) {
            self.fail(key, ErrorCode::TooLarge, TOO_LARGE_REPLY, now);
            return false;
        }
        let mut names = header.properties.iter().map(|(name, _)| name);
        if let Some(name) = names.find(|name| name.starts_with('+')) {
            let message = format!("the reply has the property {name}, which is not known");
            self.fail(key, ErrorCode::Unsupported, &message, now);
            return false;
        }
        true
    }

    /// Counts a request with a window against the worker's streams from its first part on.
    fn begin_stream(&mut self, worker: PeerId, key: RequestKey, now: Instant) {
        let request = &mut self.requests[key];
        let State::Dispatched { streaming, .. } = &mut request.state else {
            return;
        };
        if !request.windowed || *streaming {
            return;
        }
        let Some(known) = self.peers.get_mut(worker).and_then(Peer::worker_mut) else {
            return;
        };
        if known.streams < known.streams_limit {
            known.streams += 1;
            *streaming = true;
            self.refresh_room(worker, now);
        }
    }

    fn misuse_token(&mut self, from: PeerId, now: Instant) {
        self.reject(from, Rejection::UnknownToken);
        if let Some(form) = self.worker_form(from) {
            self.dismiss(from, form, Rejection::UnknownToken.as_str(), now);
        }
    }

    fn service_name(&self, key: RequestKey) -> ServiceName {
        self.services[self.requests[key].service].name.clone()
    }
}

const TOO_LARGE_REPLY: &str = "the worker's reply is over the limit";

impl WorkerTerms {
    fn to_header(&self) -> Header {
        Header {
            id: 0,
            properties: Properties::default()
                .with("credit", self.credit)
                .with("streams", self.streams)
                .with("heartbeat-ms", self.heartbeat.as_millis())
                .with("liveness", self.liveness),
        }
    }
}

/// A worker's header as its client sees it: under the client's id, without what only the broker
/// sets.
fn reply_header(asker: Asker, header: &Header) -> Header {
    if !asker.form.dialect.has_header() {
        return Header::default();
    }
    Header {
        id: asker.id,
        properties: header.properties.filtered(passes_through),
    }
}

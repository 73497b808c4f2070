//! Which worker gets which request, and when.

use std::time::Instant;

use plantd_zmtp::Message;
use rand::Rng;
use slotmap::{Key, KeyData};

use super::output::PeerId;
use super::peer::{Peer, Side};
use super::request::{PastAttempt, RequestKey, State};
use super::rooms::Room;
use super::service::ServiceKey;
use super::{Broker, Drain};
use crate::command::ToWorker;
use crate::planted::Bug;
use crate::{ErrorCode, Form, Header, Token};

impl Broker {
    /// Gives an unplaced request to a worker with room, or queues it.
    ///
    /// `received` is the body as it came in, where that is at hand: what is sent in the same turn
    /// shares the bytes of the read, what waits is a copy.
    pub(super) fn place(&mut self, key: RequestKey, received: Option<Message>, now: Instant) {
        let request = &self.requests[key];
        let service_key = request.service;
        let Some(asker) = request.asker else {
            return;
        };
        let (id, held_bytes) = (request.id, request.held_bytes);
        let service = &mut self.services[service_key];
        if service.queue.is_empty()
            && let Some(room) = service.room.first()
        {
            let worker = room.worker;
            let body = received.unwrap_or_else(|| request.body.message());
            self.assign(key, worker, body, now);
            return;
        }
        if self.drain != Drain::No && service.workers.is_empty() {
            self.fail(key, ErrorCode::Draining, "the broker is stopping", now);
            return;
        }
        let is_waited_for = self.config.awaits_workers || !service.workers.is_empty();
        if self.config.queue_timeout.is_zero() || !is_waited_for {
            self.fail_unserved(key, now);
            return;
        }
        let until = now + self.config.queue_timeout;
        service.queue.push(asker.peer, id, key, held_bytes);
        self.tally.queued += 1;
        self.requests[key].state = State::Queued { until };
        self.arm_request(key);
        self.dispatch(service_key, now);
    }

    /// Hands out queued requests while a worker has room.
    pub(super) fn dispatch(&mut self, service: ServiceKey, now: Instant) {
        while let Some(known) = self.services.get_mut(service) {
            let Some(room) = known.room.first() else {
                return;
            };
            let worker = room.worker;
            let newest_first = self.planted.has(Bug::NewestFirst);
            let Some(key) = known.queue.pop(newest_first) else {
                return;
            };
            self.tally.queued -= 1;
            let request = &mut self.requests[key];
            request.state = State::Unplaced;
            if request.deadline.is_some_and(|deadline| deadline <= now) {
                self.fail(key, ErrorCode::Timeout, "the deadline has passed", now);
            } else {
                let body = request.body.message();
                self.assign(key, worker, body, now);
            }
        }
    }

    /// Begins an attempt.
    fn assign(&mut self, key: RequestKey, worker: PeerId, body: Message, now: Instant) {
        let random = if self.planted.has(Bug::ReuseToken) {
            0
        } else {
            self.random.next_u64()
        };
        let token = Token::new(key.data().as_ffi(), random);
        let Some(known) = self.peers.get_mut(worker).and_then(Peer::worker_mut) else {
            return;
        };
        let request = &mut self.requests[key];
        request.attempts += 1;
        request.state = State::Dispatched {
            worker,
            token,
            position: known.held.len(),
            since: now,
            streaming: false,
        };
        known.held.push(key);
        let form = known.form;

        let mut header = Header::new(request.id);
        if form.dialect.has_header() {
            header.properties = request.properties.clone();
            if let Some(deadline) = request.deadline {
                let since = match request.history.first() {
                    Some(first) if self.planted.has(Bug::FreezeDeadline) => first.began,
                    Some(_) | None => now,
                };
                let left = deadline.saturating_duration_since(since);
                let left = left.as_millis().max(1);
                header.properties = header.properties.with("deadline-ms", left);
            }
            if request.attempts > 1 {
                let attempt = request.attempts;
                header.properties = header.properties.with_if_room("attempt", attempt);
            }
        }
        self.tally.dispatches += 1;
        self.arm_request(key);
        let command = ToWorker::Request {
            token,
            header,
            body,
        };
        self.tell_worker(worker, form, command, now);
        self.update_room(worker);
    }

    /// Takes an attempt off its worker, which may now get another; the request is unplaced.
    pub(super) fn end_attempt(&mut self, key: RequestKey) {
        let request = &mut self.requests[key];
        let State::Dispatched {
            worker,
            position,
            streaming,
            ..
        } = request.state
        else {
            return;
        };
        request.state = State::Unplaced;
        self.next_wait += 1;
        let next_wait = self.next_wait;
        let Some(known) = self.peers.get_mut(worker).and_then(Peer::worker_mut) else {
            return;
        };
        known.held.swap_remove(position);
        known.streams -= u32::from(streaming);
        known.waiting_since = next_wait;
        if let Some(moved) = known.held.get(position)
            && let State::Dispatched { position: old, .. } = &mut self.requests[*moved].state
        {
            *old = position;
        }
        self.update_room(worker);
    }

    /// Gives a request whose attempt ended without an answer to the next worker, before all that
    /// its client asked later.
    pub(super) fn redispatch(&mut self, key: RequestKey, now: Instant) {
        let request = &self.requests[key];
        if request.deadline.is_some_and(|deadline| deadline <= now) {
            self.fail(key, ErrorCode::Timeout, "the deadline has passed", now);
            return;
        }
        self.tally.redispatches += 1;
        self.place(key, None, now);
    }

    /// Remembers how an attempt ended that gave no answer.
    pub(super) fn record_attempt(
        &mut self,
        key: RequestKey,
        worker: String,
        outcome: &'static str,
        now: Instant,
    ) {
        let request = &mut self.requests[key];
        if let State::Dispatched { since, .. } = request.state {
            request.history.push(PastAttempt {
                worker,
                outcome,
                began: since,
                ended: now,
            });
        }
    }

    /// Fails a request that found no worker in time.
    pub(super) fn fail_unserved(&mut self, key: RequestKey, now: Instant) {
        if self.requests[key].attempts == 0 {
            let message = "no worker took the request within the queue time";
            self.fail(key, ErrorCode::NoWorker, message, now);
        } else {
            let message = "the worker was lost and no other took the request in time";
            self.fail(key, ErrorCode::WorkerLost, message, now);
        }
    }

    /// Finds the client that an attempt answers; `None` once nobody waits for it.
    pub fn client_of(&self, token: Token) -> Option<PeerId> {
        let key = RequestKey::from(KeyData::from_ffi(token.slot()));
        let request = self.requests.get(key)?;
        match request.state {
            State::Dispatched { token: given, .. } if given == token => {
                request.asker.map(|asker| asker.peer)
            }
            State::Dispatched { .. } | State::Queued { .. } | State::Unplaced => None,
        }
    }

    /// Finds the request of a token that this worker was given and has not ended.
    pub(super) fn attempt_of(&self, from: PeerId, token: Token) -> Option<RequestKey> {
        let key = RequestKey::from(KeyData::from_ffi(token.slot()));
        match self.requests.get(key)?.state {
            State::Dispatched {
                worker,
                token: given,
                ..
            } if worker == from && given == token => Some(key),
            State::Dispatched { .. } | State::Queued { .. } | State::Unplaced => None,
        }
    }

    /// Sees anew whether a worker has room, and hands out what waits for it.
    pub(super) fn refresh_room(&mut self, peer: PeerId, now: Instant) {
        self.update_room(peer);
        let worker = self.peers.get(peer).and_then(Peer::worker);
        if let Some(service) = worker.map(|worker| worker.service) {
            self.dispatch(service, now);
        }
    }

    fn update_room(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        let Side::Worker(worker) = &mut known.side else {
            return;
        };
        let in_credit = worker.in_credit();
        let has_room =
            in_credit < worker.credit && known.backlog_bytes < self.config.limits.dispatch_bytes;
        let room = has_room.then_some(Room {
            unanswered: in_credit,
            since: worker.waiting_since,
            worker: peer,
        });
        let old = std::mem::replace(&mut worker.room, room);
        if old == room {
            return;
        }
        let service = &mut self.services[worker.service];
        service.room.replace(old, room);
    }

    pub(super) fn worker_form(&self, peer: PeerId) -> Option<Form> {
        Some(self.peers.get(peer)?.worker()?.form)
    }
}

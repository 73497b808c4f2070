//! Requests: sent, sent again, and ended.

use std::time::{Duration, Instant};

use plantd_zmtp::Message;

use super::{
    Client, Failure, LinkId, Output, Refusal, Refused, Request, RequestId, Retry, Timer,
    links::{Link, State},
};
use crate::{ErrorCode, Header, Properties, command::FromClient, planted::Bug};

/// What a part takes in memory beside its frames.
const PART_BYTES: usize = 64;

/// A request that has not ended.
#[derive(Debug)]
pub(super) struct Pending {
    request: Request,
    /// When the entry of the timers comes up that counts.
    due: Option<Instant>,
    /// How long it waits for a link, without a deadline; set when it first waits.
    waits_until: Option<Instant>,
    pub(super) place: Place,
    /// How often it was sent.
    sends: u32,
    /// Whether a part of the answer was given out.
    partly_answered: bool,
    /// Parts that the reader took and the broker has not been told of.
    taken: u32,
    unread_bytes: usize,
}

/// Where a request is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At no link; when the wait ends, it fails with this.
    Waiting(Failure),
    /// Sent over a link.
    At(LinkId),
}

impl Pending {
    pub(super) fn ends_at(&self, due: Instant) -> bool {
        self.due == Some(due)
    }

    /// Bytes that count against [`Config::max_request_bytes`](super::Config::max_request_bytes).
    pub(super) fn bytes(&self) -> usize {
        self.request.body.encoded().len()
    }

    fn may_be_sent_again(&self, usual_attempts: u32) -> bool {
        let most = match self.request.retry {
            Retry::Usual => usual_attempts,
            Retry::Never => 1,
            Retry::AtMost(most) => most,
        };
        !self.partly_answered && self.sends < most
    }

    /// The properties to send, `left` before the deadline.
    fn properties(&self, left: Option<Duration>) -> Properties {
        let mut properties = self.request.properties.clone();
        if let Some(left) = left {
            properties = properties.with("deadline-ms", left.as_millis().max(1));
        }
        match self.request.retry {
            Retry::Usual => {}
            Retry::Never => properties = properties.with("retry", "never"),
            Retry::AtMost(most) => {
                properties = properties.with("retry", most.saturating_sub(self.sends).max(1));
            }
        }
        if let Some(window) = self.request.window {
            properties = properties.with("window", window.max(1));
        }
        properties
    }

    fn body(&self) -> Message {
        let body = &self.request.body;
        if body.is_empty() && !self.request.service.is_mmi() {
            Message::from_frames([b""])
        } else {
            body.clone()
        }
    }
}

impl Client {
    /// Takes a request, and sends it or keeps it until a link is up.
    ///
    /// # Errors
    /// [`Refused`] when it is not taken; nothing follows then.
    pub fn handle_request(
        &mut self,
        id: RequestId,
        request: Request,
        now: Instant,
    ) -> Result<(), Refused> {
        if self.requests.contains_key(&id) {
            return Err(Refused::DuplicateId);
        }
        let pending = Pending {
            due: None,
            waits_until: None,
            place: Place::Waiting(Failure::NotConnected),
            sends: 0,
            partly_answered: false,
            taken: 0,
            unread_bytes: 0,
            request,
        };
        let bytes = self.request_bytes + pending.bytes();
        let is_alone = self.request_bytes == 0 || pending.bytes() == 0;
        if self.requests.len() >= self.config.max_requests
            || (bytes > self.config.max_request_bytes && !is_alone)
        {
            return Err(Refused::Full);
        }
        self.request_bytes = bytes;
        self.requests.insert(id, pending);
        self.place(id, Failure::NotConnected, now);
        Ok(())
    }

    /// Gives a request up; nothing more comes of it.
    pub fn handle_cancel(&mut self, id: RequestId) {
        if let Some(pending) = self.remove(id) {
            self.send_cancel(id, &pending);
        }
    }

    /// Takes that the reader took a part of this many bytes.
    pub fn handle_read(&mut self, id: RequestId, bytes: usize) {
        let Some(pending) = self.requests.get_mut(&id) else {
            return;
        };
        pending.unread_bytes = pending.unread_bytes.saturating_sub(bytes + PART_BYTES);
        let (Some(window), Place::At(link)) = (pending.request.window, &pending.place) else {
            return;
        };
        pending.taken += 1;
        if pending.taken < (window / 2).max(1) || self.planted.has(Bug::ClientForgetsMore) {
            return;
        }
        let more = FromClient::More {
            service: pending.request.service.clone(),
            header: Header {
                id: id.0,
                properties: Properties::default().with("more", pending.taken),
            },
        };
        pending.taken = 0;
        let link = *link;
        self.send(link, more);
    }

    pub(super) fn take_partial(&mut self, link: LinkId, header: Header, body: Message) {
        let Some(id) = self.asked_over(link, header.id) else {
            return;
        };
        let Some(pending) = self.requests.get_mut(&id) else {
            return;
        };
        pending.partly_answered = true;
        pending.unread_bytes += body.body_bytes() + PART_BYTES;
        if pending.unread_bytes > self.config.max_unread_bytes {
            self.give_up(id, Failure::Unread);
            return;
        }
        self.outputs.push_back(Output::Partial {
            request: id,
            properties: header.properties,
            body,
        });
    }

    pub(super) fn take_final(&mut self, link: LinkId, header: Header, body: Message) {
        let Some(id) = self.asked_over(link, header.id) else {
            return;
        };
        self.remove(id);
        self.outputs.push_back(Output::Final {
            request: id,
            properties: header.properties,
            body,
        });
    }

    pub(super) fn take_error(&mut self, link: LinkId, header: &Header, now: Instant) {
        let text = |name| header.properties.get(name).unwrap_or_default().to_owned();
        let refusal = Refusal {
            code: text("code"),
            message: text("message"),
            worker_code: text("worker-code"),
        };
        let code = ErrorCode::parse(&refusal.code);
        let is_known = self.requests.contains_key(&RequestId(header.id));
        if code == Some(ErrorCode::Cancelled) && !is_known {
            // The answer to a CANCEL.
            return;
        }
        let Some(id) = self.asked_over(link, header.id) else {
            return;
        };
        if code != Some(ErrorCode::Draining) {
            let failure = if self.was_sent_before(id) && code.is_some_and(ErrorCode::says_not_done)
            {
                Failure::ConnectionLost
            } else {
                Failure::Refused(refusal)
            };
            self.end(id, failure);
            return;
        }
        if let Some(up) = self.links.get_mut(&link).and_then(Link::up_mut) {
            up.is_draining = true;
        }
        let Some(pending) = self.requests.get_mut(&id) else {
            return;
        };
        // What a broker refuses because it stops was not tried.
        pending.sends -= 1;
        let failure = if pending.sends > 0 {
            Failure::ConnectionLost
        } else {
            Failure::Refused(refusal)
        };
        if pending.request.retry == Retry::Never || pending.partly_answered {
            self.end(id, failure);
        } else {
            self.settle(link, id);
            self.place(id, failure, now);
        }
    }

    /// Whether a request was sent over a link that was lost before it was sent over its present one:
    /// what a broker says of it is then not all that there is to say.
    fn was_sent_before(&self, id: RequestId) -> bool {
        self.requests
            .get(&id)
            .is_some_and(|pending| pending.sends > 1)
    }

    /// Sends what waits, as long as a link is ready.
    pub(super) fn send_waiting(&mut self, now: Instant) {
        while let Some(link) = self.choose_link()
            && let Some(id) = self.waiting.pop_first()
        {
            self.send_over(link, id, now);
        }
    }

    /// Finds another link for what a lost one had not answered.
    pub(super) fn lose_requests(&mut self, lost: State, now: Instant) {
        let State::Up(up) = lost else {
            return;
        };
        for id in up.unanswered {
            let Some(pending) = self.requests.get_mut(&id) else {
                continue;
            };
            pending.waits_until = None;
            let is_late = pending
                .request
                .deadline
                .is_some_and(|deadline| deadline <= now);
            if is_late {
                self.end(id, Failure::Timeout);
            } else if pending.may_be_sent_again(self.config.attempts)
                || (self.planted.has(Bug::ClientResendsNever) && !pending.partly_answered)
            {
                self.place(id, Failure::ConnectionLost, now);
            } else {
                self.end(id, Failure::ConnectionLost);
            }
        }
    }

    pub(super) fn expire_if_due(&mut self, id: RequestId, due: Instant) {
        let Some(pending) = self.requests.get(&id) else {
            return;
        };
        if !pending.ends_at(due) {
            return;
        }
        match &pending.place {
            Place::Waiting(failure) => {
                let failure = failure.clone();
                self.end(id, failure);
            }
            Place::At(_) => self.give_up(id, Failure::Timeout),
        }
    }

    /// Sends a request over the best link, or lets it wait; `failure` is what it fails with when
    /// the wait ends.
    fn place(&mut self, id: RequestId, failure: Failure, now: Instant) {
        if let Some(link) = self.choose_link() {
            self.send_over(link, id, now);
            return;
        }
        let Some(pending) = self.requests.get_mut(&id) else {
            return;
        };
        let due = match pending.request.deadline {
            Some(deadline) => deadline,
            None => *pending
                .waits_until
                .get_or_insert(now + self.config.connect_timeout),
        };
        pending.place = Place::Waiting(failure);
        pending.due = Some(due);
        self.waiting.insert(id);
        self.timers.arm(due, Timer::Request(id));
    }

    fn send_over(&mut self, link: LinkId, id: RequestId, now: Instant) {
        let Some(pending) = self.requests.get_mut(&id) else {
            return;
        };
        let left = pending
            .request
            .deadline
            .map(|deadline| deadline.saturating_duration_since(now));
        let command = FromClient::Request {
            service: pending.request.service.clone(),
            header: Header {
                id: id.0,
                properties: pending.properties(left),
            },
            body: pending.body(),
        };
        pending.place = Place::At(link);
        pending.sends += 1;
        pending.taken = 0;
        pending.due = pending
            .request
            .deadline
            .map(|deadline| deadline + self.config.deadline_grace);
        if let Some(due) = pending.due {
            self.timers.arm(due, Timer::Request(id));
        }
        self.owe(link, id, now);
        self.send(link, command);
    }

    /// Finds the request that an answer is to; an answer to none is counted.
    fn asked_over(&mut self, link: LinkId, id: u64) -> Option<RequestId> {
        let id = RequestId::new(id)?;
        let is_asked = self
            .requests
            .get(&id)
            .is_some_and(|pending| pending.place == Place::At(link));
        if !is_asked {
            self.counts.late_replies += 1;
        }
        is_asked.then_some(id)
    }

    /// Ends a request that the broker may still work on.
    fn give_up(&mut self, id: RequestId, failure: Failure) {
        if let Some(pending) = self.remove(id) {
            self.send_cancel(id, &pending);
            self.outputs.push_back(Output::Failed {
                request: id,
                failure,
            });
        }
    }

    fn end(&mut self, id: RequestId, failure: Failure) {
        if self.remove(id).is_some() {
            self.outputs.push_back(Output::Failed {
                request: id,
                failure,
            });
        }
    }

    fn send_cancel(&mut self, id: RequestId, pending: &Pending) {
        let Place::At(link) = pending.place else {
            return;
        };
        let command = FromClient::Cancel {
            service: pending.request.service.clone(),
            header: Header::new(id.0),
        };
        self.send(link, command);
    }

    fn remove(&mut self, id: RequestId) -> Option<Pending> {
        let pending = self.requests.remove(&id)?;
        self.request_bytes -= pending.bytes();
        match pending.place {
            Place::Waiting(_) => {
                self.waiting.remove(&id);
            }
            Place::At(link) => self.settle(link, id),
        }
        self.forget_dead_timers();
        Some(pending)
    }
}

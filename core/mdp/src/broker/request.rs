//! A request from its acceptance to the end of its last attempt.

use std::time::Instant;

use plantd_zmtp::{Kept, Message};

use super::output::PeerId;
use super::service::ServiceKey;
use crate::planted::{Bug, Planted};
use crate::{ErrorCode, Form, Properties, ServiceName, Token};

slotmap::new_key_type! {
    pub(super) struct RequestKey;
}

#[derive(Debug)]
pub(super) struct Request {
    /// The broker's own id: rises, and is the same for every attempt.
    pub(super) id: u64,
    pub(super) service: ServiceKey,
    /// Who waits for the answer; `None` once the request has ended and only its attempt has not.
    pub(super) asker: Option<Asker>,
    /// What a worker is told of it, but for what the broker adds.
    pub(super) properties: Properties,
    pub(super) body: Kept,
    /// What the request is accounted for, in bytes, while its asker waits.
    pub(super) held_bytes: usize,
    pub(super) deadline: Option<Instant>,
    pub(super) state: State,
    /// Attempts begun.
    pub(super) attempts: u32,
    pub(super) max_attempts: u32,
    /// How each attempt before this one ended.
    pub(super) history: Vec<PastAttempt>,
    /// Whether a part of the answer has gone to the client.
    pub(super) partly_answered: bool,
    /// Whether the client limits the PARTIALs ahead of it.
    pub(super) windowed: bool,
    /// Parts that wait to be joined, for a client that takes one reply.
    pub(super) joined: Vec<Message>,
    /// The instant of the timer that counts, if one is armed.
    pub(super) armed: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) peer: PeerId,
    pub(super) form: Form,
    /// The client's id of the request.
    pub(super) id: u64,
    pub(super) joins_partials: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Between acceptance, queue and attempts, within one verb.
    Unplaced,
    Queued {
        until: Instant,
    },
    Dispatched {
        worker: PeerId,
        token: Token,
        /// Where the worker's list of attempts has it.
        position: usize,
        since: Instant,
        /// Whether it counts against the worker's streams and not against its credit.
        streaming: bool,
    },
}

/// An attempt that ended without an answer.
#[derive(Debug, Clone)]
pub(super) struct PastAttempt {
    pub(super) worker: String,
    pub(super) outcome: &'static str,
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

/// A request that used up its attempts.
#[derive(Debug, Clone)]
pub(super) struct DeadRequest {
    pub(super) id: u64,
    pub(super) service: ServiceName,
    pub(super) client: String,
    pub(super) code: ErrorCode,
    pub(super) body_bytes: usize,
    pub(super) died: Instant,
    pub(super) history: Vec<PastAttempt>,
}

impl Request {
    /// When something happens to it by itself.
    pub(super) fn due(&self) -> Option<Instant> {
        self.asker.as_ref()?;
        match self.state {
            State::Unplaced => None,
            State::Queued { until } => Some(self.deadline.map_or(until, |at| at.min(until))),
            State::Dispatched { .. } => self.deadline,
        }
    }

    /// Whether another worker may have it.
    pub(super) fn may_go_on(&self, planted: Planted) -> bool {
        let is_whole = !self.partly_answered || planted.has(Bug::RedispatchAfterPartial);
        let is_limited = !planted.has(Bug::UnlimitedAttempts);
        is_whole && (self.attempts < self.max_attempts || !is_limited)
    }
}

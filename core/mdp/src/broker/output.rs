//! What a broker wants done, told and counted.

use std::fmt;

use crate::command::{ToClient, ToWorker};
use crate::{Dialect, ErrorCode, Form, Rejection, ServiceName};

slotmap::new_key_type! {
    /// Names a connection for as long as it lasts; the owner of the connections issues it.
    pub struct PeerId;
}

/// An effect of a [`Broker`](super::Broker), to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a command to a client.
    ToClient {
        /// The client.
        peer: PeerId,
        /// How it speaks.
        form: Form,
        /// What it is told.
        command: ToClient,
    },
    /// Send a command to a worker.
    ToWorker {
        /// The worker.
        peer: PeerId,
        /// How it speaks.
        form: Form,
        /// What it is told.
        command: ToWorker,
    },
    /// Read no further message of this peer until [`Output::Resume`].
    Pause(PeerId),
    /// Read this peer's messages again.
    Resume(PeerId),
    /// Close the connection once what was sent is written.
    Close(PeerId, CloseReason),
    /// Tell whoever watches.
    Event(Event),
    /// Every request has ended and every worker is dismissed; follows a drain once.
    Drained,
}

/// Says why the broker closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseReason {
    /// The peer was dismissed and had its time to read that.
    Dismissed,
    /// The client used the id of an unanswered request.
    DuplicateId,
    /// The peer does not read what is sent to it.
    OutboxFull,
}

/// Something that people want to know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A worker registered.
    WorkerJoined {
        /// Its connection.
        peer: PeerId,
        /// What it serves.
        service: ServiceName,
        /// How it speaks.
        dialect: Dialect,
    },
    /// A worker is gone.
    WorkerLeft {
        /// Its connection.
        peer: PeerId,
        /// What it served.
        service: ServiceName,
        /// Why.
        departure: Departure,
        /// How many requests it held.
        unanswered: usize,
    },
    /// A request was given to as many workers as may be, and all were lost.
    RequestDied {
        /// The broker's id of it.
        request: u64,
        /// Who was asked.
        service: ServiceName,
        /// How many workers had it.
        attempts: u32,
    },
    /// A message was refused or dropped.
    Rejected {
        /// Who sent it.
        peer: PeerId,
        /// Why.
        reason: Rejection,
    },
}

/// Says why a worker is no longer registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Departure {
    /// Its connection closed.
    Closed,
    /// It sent DISCONNECT.
    Left,
    /// It was silent for too long.
    Expired,
    /// It broke the protocol.
    Dismissed,
    /// The broker is stopping.
    Draining,
}

impl CloseReason {
    /// Returns the label of metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dismissed => "dismissed",
            Self::DuplicateId => "duplicate_id",
            Self::OutboxFull => "outbox_full",
        }
    }
}

impl Departure {
    /// Returns the label of metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Left => "left",
            Self::Expired => "expired",
            Self::Dismissed => "dismissed",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Counts what a broker did since it began, and what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests accepted.
    pub requests: u64,
    /// Final answers sent to clients.
    pub replies: u64,
    /// Partial answers sent to clients.
    pub partials: u64,
    /// Requests given to a worker, every attempt.
    pub dispatches: u64,
    /// Requests given back to their queue because a worker was lost or asked for it.
    pub redispatches: u64,
    /// Requests that used up their attempts.
    pub dead: u64,
    /// Requests that the broker answered itself.
    pub management: u64,
    failed: [u64; ErrorCode::ALL.len()],
    rejected: [u64; Rejection::ALL.len()],
    /// Workers registered.
    pub workers: usize,
    /// Services known: with a worker or a queue.
    pub services: usize,
    /// Requests that wait for a worker.
    pub queued: usize,
    /// Requests whose client waits for the answer, queued ones included.
    pub unanswered: usize,
    /// Bytes of the requests held.
    pub held_bytes: usize,
    /// Bytes in all outboxes.
    pub backlog_bytes: usize,
}

impl Tally {
    /// Requests that ended with this error, whether or not the client's dialect can say so.
    pub fn failed(&self, code: ErrorCode) -> u64 {
        self.failed[code as usize]
    }

    /// Messages refused or dropped for this reason.
    pub fn rejected(&self, reason: Rejection) -> u64 {
        self.rejected[reason as usize]
    }

    pub(super) fn count_failed(&mut self, code: ErrorCode) {
        self.failed[code as usize] += 1;
    }

    pub(super) fn count_rejected(&mut self, reason: Rejection) {
        self.rejected[reason as usize] += 1;
    }
}

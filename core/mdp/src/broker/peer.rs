//! What the broker knows of a connection.

use std::time::{Duration, Instant};

use super::request::RequestKey;
use super::rooms::Room;
use super::service::ServiceKey;
use crate::{Dialect, Form, ServiceName};

/// Where a connection comes from, and what it may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The remote address and the peer's own name for itself, for display.
    pub address: String,
    /// Whether the peer's socket takes one reply for one request (ZMTP's REQ), so that PARTIALs
    /// are joined for it.
    pub joins_partials: bool,
    /// Whether the peer may register as a worker.
    pub may_serve: bool,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) origin: Origin,
    /// Bytes that wait to be written, as far as the owner of the connection has said.
    pub(super) backlog_bytes: usize,
    pub(super) paused: bool,
    pub(super) side: Side,
}

/// What a connection has shown itself to be.
#[derive(Debug)]
pub(super) enum Side {
    Unknown,
    Client(ClientPeer),
    Worker(WorkerPeer),
    /// A worker until it was silent for too long; what it spoke stays pinned.
    Expired(Form),
    /// It sent or got DISCONNECT, or is being closed.
    Dismissed,
}

#[derive(Debug)]
pub(super) struct ClientPeer {
    pub(super) form: Form,
    /// Unanswered requests by the client's id; clients before MDP/0.3 get ids from the broker.
    pub(super) requests: foldhash::HashMap<u64, RequestKey>,
    pub(super) next_id: u64,
    /// Bytes of the unanswered requests.
    pub(super) held_bytes: usize,
    /// The service asked last: most clients ask one.
    pub(super) last_service: Option<(ServiceName, ServiceKey)>,
}

#[derive(Debug)]
pub(super) struct WorkerPeer {
    pub(super) form: Form,
    pub(super) service: ServiceKey,
    /// What the worker calls itself (MDP/0.3).
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) heartbeat: Duration,
    pub(super) liveness: u32,
    pub(super) credit: u32,
    pub(super) streams_limit: u32,
    /// Attempts that it has not ended; each request knows its position.
    pub(super) held: Vec<RequestKey>,
    /// How many of them count against `streams_limit` and not against `credit`.
    pub(super) streams: u32,
    pub(super) last_heard: Instant,
    pub(super) last_sent: Instant,
    /// Rises with each worker that begins to wait, so that the longest wait has the lowest.
    pub(super) waiting_since: u64,
    /// The instant of the timer that counts, if one is armed.
    pub(super) armed: Option<Instant>,
    /// Its entry in the service's order of workers with room.
    pub(super) room: Option<Room>,
}

impl Peer {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            backlog_bytes: 0,
            paused: false,
            side: Side::Unknown,
        }
    }

    pub(super) fn client(&mut self) -> Option<&mut ClientPeer> {
        match &mut self.side {
            Side::Client(client) => Some(client),
            Side::Unknown | Side::Worker(_) | Side::Expired(_) | Side::Dismissed => None,
        }
    }

    pub(super) fn worker(&self) -> Option<&WorkerPeer> {
        match &self.side {
            Side::Worker(worker) => Some(worker),
            Side::Unknown | Side::Client(_) | Side::Expired(_) | Side::Dismissed => None,
        }
    }

    pub(super) fn worker_mut(&mut self) -> Option<&mut WorkerPeer> {
        match &mut self.side {
            Side::Worker(worker) => Some(worker),
            Side::Unknown | Side::Client(_) | Side::Expired(_) | Side::Dismissed => None,
        }
    }
}

impl ClientPeer {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            requests: foldhash::HashMap::default(),
            next_id: 0,
            held_bytes: 0,
            last_service: None,
        }
    }

    /// A fresh id for a request of a client whose dialect has none.
    pub(super) fn issue_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl WorkerPeer {
    /// Attempts that count against its credit.
    pub(super) fn in_credit(&self) -> u32 {
        u32::try_from(self.held.len()).map_or(u32::MAX, |held| held.saturating_sub(self.streams))
    }

    /// When it is expired, should it stay silent.
    pub(super) fn expires_at(&self, busy_liveness: u32) -> Instant {
        let works_in_silence = !self.held.is_empty() && self.form.dialect != Dialect::Mdp03;
        let intervals = if works_in_silence {
            busy_liveness.max(self.liveness)
        } else {
            self.liveness
        };
        self.last_heard + self.heartbeat * intervals
    }

    /// When it needs to hear from the broker.
    pub(super) fn heartbeat_at(&self) -> Instant {
        self.last_sent + self.heartbeat
    }
}

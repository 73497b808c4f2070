//! A service: its workers with room, and its queue.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::output::PeerId;
use super::request::RequestKey;
use super::rooms::Rooms;
use crate::ServiceName;

slotmap::new_key_type! {
    pub(super) struct ServiceKey;
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: ServiceName,
    /// Every registered worker, busy ones too.
    pub(super) workers: BTreeSet<PeerId>,
    /// The workers that may be given a request, the next one first.
    pub(super) room: Rooms,
    pub(super) queue: Queue,
}

/// A ring of one queue per client: fair between clients, in order within one.
///
/// A request that returns from a lost worker keeps its id, and so is again before all that its
/// client asked later.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Whose turn it is, in order.
    turns: BTreeMap<u64, PeerId>,
    next_turn: u64,
    clients: BTreeMap<PeerId, ClientQueue>,
    requests: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct ClientQueue {
    turn: u64,
    /// By the broker's id, which rises.
    requests: BTreeMap<u64, Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    key: RequestKey,
    bytes: usize,
}

impl Service {
    pub(super) fn new(name: ServiceName) -> Self {
        Self {
            name,
            workers: BTreeSet::new(),
            room: Rooms::default(),
            queue: Queue::default(),
        }
    }

    pub(super) fn is_forgettable(&self) -> bool {
        self.workers.is_empty() && self.queue.requests == 0
    }
}

impl Queue {
    pub(super) fn push(&mut self, client: PeerId, id: u64, key: RequestKey, bytes: usize) {
        let queue = self.clients.entry(client).or_insert_with(|| {
            self.next_turn += 1;
            self.turns.insert(self.next_turn, client);
            ClientQueue {
                turn: self.next_turn,
                requests: BTreeMap::new(),
            }
        });
        queue.requests.insert(id, Waiting { key, bytes });
        self.requests += 1;
        self.bytes += bytes;
    }

    /// Takes the next request, and gives the turn to the next client.
    pub(super) fn pop(&mut self, newest_first: bool) -> Option<RequestKey> {
        let (_, client) = self.turns.pop_first()?;
        let queue = self.clients.get_mut(&client)?;
        let (_, waiting) = if newest_first {
            queue.requests.pop_last()?
        } else {
            queue.requests.pop_first()?
        };
        if queue.requests.is_empty() {
            self.clients.remove(&client);
        } else {
            self.next_turn += 1;
            queue.turn = self.next_turn;
            self.turns.insert(self.next_turn, client);
        }
        self.requests -= 1;
        self.bytes -= waiting.bytes;
        Some(waiting.key)
    }

    pub(super) fn remove(&mut self, client: PeerId, id: u64) {
        let Some(queue) = self.clients.get_mut(&client) else {
            return;
        };
        let Some(waiting) = queue.requests.remove(&id) else {
            return;
        };
        if queue.requests.is_empty() {
            self.turns.remove(&queue.turn);
            self.clients.remove(&client);
        }
        self.requests -= 1;
        self.bytes -= waiting.bytes;
    }

    /// Every request that waits, client by client.
    pub(super) fn keys(&self) -> impl Iterator<Item = RequestKey> {
        let queues = self.clients.values();
        queues.flat_map(|queue| queue.requests.values().map(|waiting| waiting.key))
    }

    pub(super) fn len(&self) -> usize {
        self.requests
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

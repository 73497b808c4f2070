//! Makes the peers of one broker.

use std::sync::{Arc, Mutex};

use crate::{Peer, Wire};

/// Who listened to the events of libzmq sockets that are closed. libzmq closes in the background,
/// and a thread of it that has an event to tell waits until somebody listens.
pub(crate) type Listeners = Arc<Mutex<Vec<zmq::Socket>>>;

/// Connects to one broker.
pub struct Peers {
    endpoint: String,
    context: zmq::Context,
    listeners: Listeners,
}

impl Peers {
    /// Makes peers of whoever listens there.
    pub fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            context: zmq::Context::new(),
            listeners: Listeners::default(),
        }
    }

    /// The broker's endpoint.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A libzmq socket.
    pub fn peer(&self, kind: zmq::SocketType, configure: impl FnOnce(&zmq::Socket)) -> Peer {
        Peer::connect(
            &self.context,
            &self.listeners,
            kind,
            &self.endpoint,
            configure,
        )
    }

    /// A libzmq DEALER.
    pub fn dealer(&self) -> Peer {
        self.peer(zmq::DEALER, |_| {})
    }

    /// A TCP connection.
    pub fn wire(&self) -> Wire {
        Wire::connect(&self.endpoint)
    }
}

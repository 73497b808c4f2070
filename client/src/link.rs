//! What carries messages between the library and its brokers: connections over either transport.
//!
//! A set of connections belongs to one task, which dials, sends and closes without waiting, and
//! waits in one place for what happens to any of them. Reconnecting is decided by the machines in
//! `plantd_mdp`.

mod plantd;
#[cfg(feature = "zeromq")]
mod zeromq;

use std::time::Duration;

use bytes::BytesMut;
use plantd_zmtp::{Endpoint, Message};

/// How long dialling may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that is closed may take to write what was sent.
const LINGER: Duration = Duration::from_secs(2);
/// What the owner has not taken of what connections read; each is at most 256 messages or 1 MiB.
const EVENTS: usize = 16;

/// What carries messages between the library and a broker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// plantd's own ZMTP 3.1.
    #[default]
    Plantd,
    /// The `zeromq` crate, ZMTP 3.0.
    ///
    /// The protocol above it is the same. Weaker than [`Transport::Plantd`]: frames of a broker are
    /// not limited, so that a hostile one can exhaust this process; what waits to be written is
    /// limited to 100,000 messages, not in bytes; a half-open connection is found only by asking
    /// (while answers are owed) or by a worker's heartbeats, TCP keepalive is off; on close, what
    /// was sent last is given 250 ms to be written, and nobody learns whether it was; a refused
    /// connection shows only as one that timed out.
    #[cfg(feature = "zeromq")]
    Zeromq,
}

/// Names one connection, from dialling to its end; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionKey(u64);

/// What happens to a connection.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// Messages pass. `has_ping` says whether the transport finds a half-open link.
    Opened { key: ConnectionKey, has_ping: bool },
    /// Messages came, in their order.
    Messages {
        key: ConnectionKey,
        messages: Vec<Message>,
    },
    /// What waits to be written has become little again.
    HasRoom { key: ConnectionKey },
    /// It could not be made, or is gone. Comes once, as the last one.
    Closed { key: ConnectionKey, reason: String },
}

/// The connections of one task.
#[derive(Debug)]
pub(crate) struct Links {
    next_key: u64,
    carrier: Carrier,
}

#[derive(Debug)]
enum Carrier {
    Plantd(plantd::Connections),
    #[cfg(feature = "zeromq")]
    Zeromq(zeromq::Connections),
}

impl Links {
    pub(crate) fn new(transport: Transport) -> Self {
        let carrier = match transport {
            Transport::Plantd => Carrier::Plantd(plantd::Connections::new()),
            #[cfg(feature = "zeromq")]
            Transport::Zeromq => Carrier::Zeromq(zeromq::Connections::new()),
        };
        Self {
            next_key: 0,
            carrier,
        }
    }

    /// Begins to connect; [`LinkEvent::Opened`] or [`LinkEvent::Closed`] follows.
    pub(crate) fn dial(&mut self, endpoint: Endpoint) -> ConnectionKey {
        let key = ConnectionKey(self.next_key);
        self.next_key += 1;
        match &mut self.carrier {
            Carrier::Plantd(connections) => connections.dial(key, endpoint),
            #[cfg(feature = "zeromq")]
            Carrier::Zeromq(connections) => connections.dial(key, &endpoint),
        }
        key
    }

    /// Queues the message that `encode` writes: it appends the envelope and returns the body. It
    /// goes out with [`Links::flush`].
    pub(crate) fn send<'a>(
        &mut self,
        key: ConnectionKey,
        encode: impl FnOnce(&mut BytesMut) -> Option<&'a Message>,
    ) {
        match &mut self.carrier {
            Carrier::Plantd(connections) => connections.send(key, encode),
            #[cfg(feature = "zeromq")]
            Carrier::Zeromq(connections) => connections.send(key, encode),
        }
    }

    /// Writes what was queued.
    pub(crate) fn flush(&mut self) {
        match &mut self.carrier {
            Carrier::Plantd(connections) => connections.flush(),
            #[cfg(feature = "zeromq")]
            Carrier::Zeromq(_) => {}
        }
    }

    /// Says whether little waits to be written; when not, [`LinkEvent::HasRoom`] follows.
    pub(crate) fn has_room(&self, key: ConnectionKey) -> bool {
        match &self.carrier {
            Carrier::Plantd(connections) => connections.has_room(key),
            #[cfg(feature = "zeromq")]
            Carrier::Zeromq(_) => true,
        }
    }

    /// Closes a connection after what was sent is written, or stops dialling. Nothing more is told
    /// of it.
    pub(crate) fn close(&mut self, key: ConnectionKey) {
        self.flush();
        match &mut self.carrier {
            Carrier::Plantd(connections) => connections.close(key),
            #[cfg(feature = "zeromq")]
            Carrier::Zeromq(connections) => connections.close(key),
        }
    }

    /// Waits for what happens next. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> LinkEvent {
        match &mut self.carrier {
            Carrier::Plantd(connections) => connections.next().await,
            #[cfg(feature = "zeromq")]
            Carrier::Zeromq(connections) => connections.next().await,
        }
    }

    /// Waits until all connections, which have been closed before, have written what was sent.
    pub(crate) async fn finish(self) {
        match self.carrier {
            Carrier::Plantd(connections) => connections.finish().await,
            #[cfg(feature = "zeromq")]
            Carrier::Zeromq(connections) => connections.finish().await,
        }
    }
}

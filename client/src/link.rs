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
use plantd_zmtp::{Endpoint, Message, Run, SocketType, Subscription};
use serde::{Deserialize, Serialize};

/// How long dialling may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that is closed may take to write what was sent.
const LINGER: Duration = Duration::from_secs(2);
/// What the owner has not taken of what connections read; each is at most 256 messages or 1 MiB.
const EVENTS: usize = 16;
/// The same for a subscriber, whose owner reads no more than its user does.
const SUBSCRIBER_EVENTS: usize = 2;

/// What carries messages between the library and a broker. In configurations `plantd` or `zeromq`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    ///
    /// A [`Source`](crate::Source) over it is not told which subscriptions have come, nor what is
    /// dropped: its first messages wait for 250 ms in which the broker's subscriptions are hoped to
    /// come; of what the broker does not take, up to 200,000 messages wait without a limit in bytes,
    /// and what is beyond is dropped (sinks see the gap); [`Source::flush`](crate::Source::flush) and
    /// the buffer know only what was handed to the crate. A [`Sink`](crate::Sink) over it is not told
    /// when its subscriptions were read.
    #[cfg(feature = "zeromq")]
    Zeromq,
}

impl Transport {
    /// Whether a publisher is told what its brokers' sinks are subscribed to. The `zeromq` crate keeps
    /// it for itself, and leaves out what is not wanted.
    pub(crate) fn tells_subscriptions(self) -> bool {
        match self {
            Self::Plantd => true,
            #[cfg(feature = "zeromq")]
            Self::Zeromq => false,
        }
    }
}

/// What the connections of one task are at their brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Asks and answers.
    Dealer,
    /// Publishes on a bus.
    Publisher,
    /// Subscribes to a bus.
    Subscriber,
}

impl Role {
    fn socket_type(self) -> SocketType {
        match self {
            Self::Dealer => SocketType::Dealer,
            Self::Publisher => SocketType::Pub,
            Self::Subscriber => SocketType::Sub,
        }
    }

    fn events(self) -> usize {
        match self {
            Self::Dealer | Self::Publisher => EVENTS,
            Self::Subscriber => SUBSCRIBER_EVENTS,
        }
    }
}

/// Names one connection, from dialling to its end; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionKey(u64);

#[cfg(test)]
impl ConnectionKey {
    pub(crate) fn numbered(n: u64) -> Self {
        Self(n)
    }
}

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
    /// Subscriptions of the other side changed; only for publishers.
    Subscriptions {
        key: ConnectionKey,
        changes: Vec<Subscription>,
    },
    /// The answer to [`Links::mark`].
    Marked { key: ConnectionKey, mark: u64 },
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
    pub(crate) fn new(transport: Transport, role: Role) -> Self {
        let carrier = match transport {
            Transport::Plantd => Carrier::Plantd(plantd::Connections::new(role)),
            #[cfg(feature = "zeromq")]
            Transport::Zeromq => Carrier::Zeromq(zeromq::Connections::new(role)),
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

    /// Queues messages as they are. They go out with [`Links::flush`].
    pub(crate) fn send_run(&mut self, key: ConnectionKey, run: &Run) {
        match &mut self.carrier {
            Carrier::Plantd(connections) => connections.send_run(key, run),
            #[cfg(feature = "zeromq")]
            Carrier::Zeromq(connections) => connections.send_run(key, run),
        }
    }

    /// Changes this side's subscriptions at the other one, in the order of what is sent.
    pub(crate) fn change_subscriptions(&mut self, key: ConnectionKey, changes: Vec<Subscription>) {
        match &mut self.carrier {
            Carrier::Plantd(connections) => connections.change_subscriptions(key, changes),
            #[cfg(feature = "zeromq")]
            Carrier::Zeromq(connections) => connections.change_subscriptions(key, changes),
        }
    }

    /// Asks for [`LinkEvent::Marked`] when the other side has read what was sent before, or, as far
    /// as no more can be known, when it was written. One at a time for each connection.
    pub(crate) fn mark(&mut self, key: ConnectionKey, mark: u64) {
        match &mut self.carrier {
            Carrier::Plantd(connections) => connections.mark(key, mark),
            #[cfg(feature = "zeromq")]
            Carrier::Zeromq(connections) => connections.mark(key, mark),
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

//! What a connection tells its owner.

use std::io;

use crate::{Message, Peer, Run, Subscription, Violation};

/// What a connection tells its owner. `K` is the owner's key for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice<K> {
    /// The handshake is done. Comes once, before all others but `Closed`.
    Opened {
        /// The connection.
        key: K,
        /// What the peer said of itself.
        peer: Peer,
    },
    /// Messages, in the order in which they came; never none.
    Messages {
        /// The connection.
        key: K,
        /// At most 256, or so many that they reach 1 MiB.
        messages: Vec<Message>,
    },
    /// Messages as they came, in place of `Messages` with
    /// [`Handover::Runs`](crate::Handover::Runs); never none.
    Runs {
        /// The connection.
        key: K,
        /// At most 8,192 messages, and not more than begin within 1 MiB.
        runs: Vec<Run>,
    },
    /// Changes of the peer's subscriptions, in the order in which they came; never none. Their
    /// order among messages is not kept.
    Subscriptions {
        /// The connection.
        key: K,
        /// At most as many as messages.
        changes: Vec<Subscription>,
    },
    /// The peer has read everything that was sent before this mark, and so before every earlier
    /// one; or, of a peer of ZMTP 3.0, it was written to the socket. See
    /// [`Outbox::mark`](crate::Outbox::mark).
    Marked {
        /// The connection.
        key: K,
        /// The mark.
        mark: u64,
    },
    /// Commands that mean nothing to this side were skipped.
    Ignored {
        /// The connection.
        key: K,
        /// How many there were since the last notice of this kind.
        commands: u32,
    },
    /// An outbox that had grown over [`BACKLOG_HIGH_BYTES`](crate::BACKLOG_HIGH_BYTES) has fallen
    /// under [`BACKLOG_LOW_BYTES`](crate::BACKLOG_LOW_BYTES).
    Drained {
        /// The connection.
        key: K,
    },
    /// The connection is gone. Comes exactly once, as the last one, also if the handshake failed.
    Closed {
        /// The connection.
        key: K,
        /// Why.
        reason: CloseReason,
    },
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The peer broke the protocol, a limit or a deadline.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The peer closed its side.
    #[error("the peer closed the connection")]
    PeerClosed,
    /// Reading or writing failed.
    #[error("the connection failed: {0}")]
    Io(io::ErrorKind),
    /// There was something to write, and for 5 s none of it could be.
    #[error("the peer does not read")]
    Stalled,
    /// The owner closed it, and everything was written.
    #[error("closed by this side")]
    Requested,
    /// The owner closed it, and not everything could be written in the time that it gave.
    #[error("closed by this side before everything was written")]
    LingerExpired,
    /// The owner dropped its outbox, or the receiver of the notices.
    #[error("given up by this side")]
    Abandoned,
}

impl CloseReason {
    /// What [`reason`](Self::reason) can return beside [`Violation::REASONS`].
    pub const REASONS: [&'static str; 6] = [
        "peer_closed",
        "io",
        "stalled",
        "requested",
        "linger_expired",
        "abandoned",
    ];

    /// The reason as a label for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Violation(violation) => violation.reason(),
            Self::PeerClosed => "peer_closed",
            Self::Io(_) => "io",
            Self::Stalled => "stalled",
            Self::Requested => "requested",
            Self::LingerExpired => "linger_expired",
            Self::Abandoned => "abandoned",
        }
    }
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

//! Frames to commands and back, in every dialect.
//!
//! The broker's side ([`decode`], and `encode` of [`ToClient`] and [`ToWorker`]) knows all four; the
//! side of the client library (`decode` of those two, and `encode` of [`FromClient`] and
//! [`FromWorker`]) speaks MDP/0.3. Encoding writes the envelope and returns the body, whose encoded
//! bytes follow as they are (D4).
//!
//! [`ToClient`]: crate::command::ToClient
//! [`ToWorker`]: crate::command::ToWorker
//! [`FromClient`]: crate::command::FromClient
//! [`FromWorker`]: crate::command::FromWorker

mod broker_side;
mod library_side;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::BufMut;
use plantd_zmtp::Message;

pub use broker_side::{Inbound, Refusal, decode};
pub use library_side::InvalidReply;

/// A version of Majordomo as peers speak it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// MDP/0.1 (RFC 7).
    Mdp01,
    /// MDP/0.2 (RFC 18).
    Mdp02,
    /// MDP/0.2 with words for commands, as the Go plantd speaks it.
    Words,
    /// MDP/0.3 (`docs/protocol.md`).
    Mdp03,
}

/// How a connection writes its frames: pinned by its first valid message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The version.
    pub dialect: Dialect,
    /// Whether an empty frame comes before each message, as REQ sockets send it.
    pub delimited: bool,
}

/// The side of Majordomo that a peer of the broker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Asks.
    Client,
    /// Answers.
    Worker,
}

impl Dialect {
    /// Returns the name of the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mdp01 => "MDP/0.1",
            Self::Mdp02 => "MDP/0.2",
            Self::Words => "MDP/0.2 (words)",
            Self::Mdp03 => "MDP/0.3",
        }
    }

    /// Says whether commands carry a [`Header`](crate::Header), so that errors can be told.
    pub fn has_header(self) -> bool {
        self == Self::Mdp03
    }

    /// Says whether an answer may come in parts.
    pub fn has_partials(self) -> bool {
        self != Self::Mdp01
    }

    fn client_protocol(self) -> &'static [u8] {
        match self {
            Self::Mdp01 => b"MDPC01",
            Self::Mdp02 | Self::Words => b"MDPC02",
            Self::Mdp03 => b"MDPC03",
        }
    }

    fn worker_protocol(self) -> &'static [u8] {
        match self {
            Self::Mdp01 => b"MDPW01",
            Self::Mdp02 | Self::Words => b"MDPW02",
            Self::Mdp03 => b"MDPW03",
        }
    }
}

impl Form {
    /// The form of the client library: MDP/0.3.
    pub const MDP03: Self = Self {
        dialect: Dialect::Mdp03,
        delimited: false,
    };

    /// Says whether the broker begins its messages to this peer with an empty frame.
    ///
    /// It mirrors the peer, but for the Go plantd, which sends one and expects none.
    fn mirrors_delimiter(self) -> bool {
        self.delimited && self.dialect != Dialect::Words
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The client commands of all dialects, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientVerb {
    Request,
    Partial,
    Final,
    Error,
    Cancel,
    More,
}

/// The worker commands of all dialects, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WorkerVerb {
    Ready,
    Request,
    Partial,
    Final,
    Error,
    Heartbeat,
    Disconnect,
    Welcome,
    Cancel,
    More,
}

/// A command frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Byte(u8),
    Word(&'static str),
}

impl Code {
    fn matches(self, frame: &[u8]) -> bool {
        match self {
            Self::Byte(byte) => *frame == [byte],
            Self::Word(word) => frame == word.as_bytes(),
        }
    }

    fn encode(self, out: &mut impl BufMut, more: bool) {
        match self {
            Self::Byte(byte) => Message::encode_frame(out, &[byte], more),
            Self::Word(word) => Message::encode_frame(out, word.as_bytes(), more),
        }
    }
}

impl ClientVerb {
    const ALL: [Self; 6] = [
        Self::Request,
        Self::Partial,
        Self::Final,
        Self::Error,
        Self::Cancel,
        Self::More,
    ];

    /// The command frame; `None` where the dialect has none for this command.
    fn code(self, dialect: Dialect) -> Option<Code> {
        let (byte, word) = match self {
            Self::Request => (0x01, Some("REQUEST")),
            Self::Partial => (0x02, Some("PARTIAL")),
            Self::Final => (0x03, Some("FINAL")),
            Self::Error => (0x04, None),
            Self::Cancel => (0x05, None),
            Self::More => (0x07, None),
        };
        match dialect {
            Dialect::Mdp01 => None,
            Dialect::Mdp02 => word.map(|_| Code::Byte(byte)),
            Dialect::Words => word.map(Code::Word),
            Dialect::Mdp03 => Some(Code::Byte(byte)),
        }
    }

    fn parse(dialect: Dialect, frame: &[u8]) -> Option<Self> {
        let has_code = |verb: &Self| verb.code(dialect).is_some_and(|code| code.matches(frame));
        Self::ALL.into_iter().find(has_code)
    }
}

impl WorkerVerb {
    const ALL: [Self; 10] = [
        Self::Ready,
        Self::Request,
        Self::Partial,
        Self::Final,
        Self::Error,
        Self::Heartbeat,
        Self::Disconnect,
        Self::Welcome,
        Self::Cancel,
        Self::More,
    ];

    /// The command frame; `None` where the dialect has none for this command.
    fn code(self, dialect: Dialect) -> Option<Code> {
        let (byte, word, mdp01) = match self {
            Self::Ready => (0x01, Some("READY"), Some(0x01)),
            Self::Request => (0x02, Some("REQUEST"), Some(0x02)),
            Self::Partial => (0x03, Some("PARTIAL"), None),
            Self::Final => (0x04, Some("FINAL"), Some(0x03)),
            Self::Heartbeat => (0x05, Some("HEARTBEAT"), Some(0x04)),
            Self::Disconnect => (0x06, Some("DISCONNECT"), Some(0x05)),
            Self::Error => (0x07, None, None),
            Self::Welcome => (0x08, None, None),
            Self::Cancel => (0x09, None, None),
            Self::More => (0x0a, None, None),
        };
        match dialect {
            Dialect::Mdp01 => mdp01.map(Code::Byte),
            Dialect::Mdp02 => word.map(|_| Code::Byte(byte)),
            Dialect::Words => word.map(Code::Word),
            Dialect::Mdp03 => Some(Code::Byte(byte)),
        }
    }

    fn parse(dialect: Dialect, frame: &[u8]) -> Option<Self> {
        let has_code = |verb: &Self| verb.code(dialect).is_some_and(|code| code.matches(frame));
        Self::ALL.into_iter().find(has_code)
    }
}

//! What a session is told about itself and how much it lets its peer do.

use std::{fmt, time::Duration};

use bytes::Bytes;

use super::{Mechanism, SocketType};

/// One side of a session: who it is and what it allows.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Whether the connection was accepted or made.
    pub side: Side,
    /// The type that is announced, and that decides which peers are accepted.
    pub socket_type: SocketType,
    /// The identity that is announced; by default empty, which is not announced.
    pub identity: Identity,
    /// The mechanism; both peers must have the same. By default NULL.
    pub mechanism: Mechanism,
    /// The sizes that a peer is held to.
    pub limits: Limits,
    /// The time that the handshake may take; by default 5 s.
    pub handshake_timeout: Duration,
    /// How silent peers are found.
    pub heartbeat: Heartbeat,
    /// The time in which something must be added to an incomplete message; by default 30 s.
    pub message_timeout: Duration,
    /// In what units messages are handed over; by default one by one.
    pub handover: Handover,
}

impl SessionConfig {
    /// A session with the defaults of every field.
    pub fn new(side: Side, socket_type: SocketType) -> Self {
        Self {
            side,
            socket_type,
            identity: Identity::default(),
            mechanism: Mechanism::Null,
            limits: Limits::default(),
            handshake_timeout: Duration::from_secs(5),
            heartbeat: Heartbeat::default(),
            message_timeout: Duration::from_secs(30),
            handover: Handover::Messages,
        }
    }
}

/// In what units messages are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// As [`Event::Message`](crate::Event::Message), one by one.
    Messages,
    /// As [`Event::Run`](crate::Event::Run), all at once that came one after the other: for whoever
    /// forwards them without taking them apart. A socket that publishes hands over messages one
    /// by one in any case, since they may be subscriptions.
    Runs,
}

/// Which end of the connection a session is. With NULL, "the peer that binds SHALL be the server,
/// and connecting peer SHALL be the client": the server looks at the client's properties before it
/// sends its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The connection was accepted.
    Binding,
    /// The connection was made.
    Connecting,
}

/// The sizes that a peer is held to. Going beyond one closes the connection.
///
/// The defaults are above what the broker allows of a body (4 MiB a frame, 8 MiB and 60 frames in
/// all): Majordomo answers too large a request with an error that says so, which it can only do if
/// the transport lets the request through. What is beyond the limits here is beyond courtesy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Content of one message frame; by default 8 MiB.
    pub frame_bytes: usize,
    /// All frames of one message with their headers; by default 16 MiB + 16 KiB.
    pub message_bytes: usize,
    /// Frames of one message; by default 128.
    pub frames: usize,
    /// Greeting and commands of the handshake together; by default 4 KiB.
    pub handshake_bytes: usize,
    /// One command after the handshake, and the topic of a subscription; by default 1 KiB.
    pub command_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 8 * 1024 * 1024,
            message_bytes: 16 * 1024 * 1024 + 16 * 1024,
            frames: 128,
            handshake_bytes: 4 * 1024,
            command_bytes: 1024,
        }
    }
}

/// How silent peers of ZMTP 3.1 are found. Those of 3.0 are sent nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// A PING is sent when nothing was heard for this long, and again after each further one; by
    /// default 1.5 s.
    pub interval: Duration,
    /// The silence that ends the session, longer than `interval`; by default 4.5 s.
    pub timeout: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(1500),
            timeout: Duration::from_millis(4500),
        }
    }
}

/// The identity of a socket: at most 255 bytes (RFC 37, "The Identity Property").
///
/// `Display` escapes it. Nothing is routed by it: it proves nothing, and two peers may announce
/// the same.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Identity(Bytes);

impl Identity {
    /// The longest identity.
    pub const MAX_BYTES: usize = 255;

    /// Copies an identity.
    ///
    /// # Errors
    /// If it is longer than 255 bytes.
    pub fn new(identity: &[u8]) -> Result<Self, IdentityTooLong> {
        if identity.len() > Self::MAX_BYTES {
            return Err(IdentityTooLong(identity.len()));
        }
        Ok(Self(Bytes::copy_from_slice(identity)))
    }

    /// The identity as it is on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the peer announced none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// An identity has more than 255 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identity has at most 255 bytes, not {0}")]
pub struct IdentityTooLong(usize);

//! Why a session ends: what the peer did, or did not do in time.

use super::SocketType;

/// What a peer did that ends its session. Nothing else of the peer's may be decoded after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The first bytes are not ZMTP's signature.
    #[error("the peer did not greet as ZMTP")]
    Greeting,
    /// The greeting is of a version before 3.
    #[error("the peer speaks ZMTP {major}, which is older than 3")]
    Version {
        /// The major version in the greeting; 1 also stands for greetings without any.
        major: u8,
    },
    /// The greeting names a mechanism other than ours.
    #[error("the peer asks for the mechanism `{offered}`")]
    Mechanism {
        /// The name in the greeting, escaped.
        offered: String,
    },
    /// The handshake was not done at its deadline.
    #[error("the handshake was not done in time")]
    HandshakeTimeout,
    /// The handshake takes more bytes than it may.
    #[error("a command of {announced_bytes} bytes exceeds the limit of the handshake")]
    HandshakeTooLarge {
        /// The size in the frame's header.
        announced_bytes: u64,
    },
    /// Something else came where the mechanism's next command belongs.
    #[error("the handshake was not followed")]
    Handshake,
    /// The properties of the handshake cannot be read.
    #[error("the properties of the handshake are malformed")]
    Metadata,
    /// The peer's socket may not talk to ours. It is told by an ERROR command.
    #[error("a socket of type `{theirs}` cannot talk to {ours}")]
    SocketType {
        /// Our type.
        ours: SocketType,
        /// What the peer said, escaped; empty if it said nothing.
        theirs: String,
    },
    /// The peer sent an ERROR command.
    #[error("the peer refused the connection: {text}")]
    Refused {
        /// Its reason, escaped.
        text: String,
    },
    /// A frame has reserved flags.
    #[error("a frame has the reserved flags {flags:#04x}")]
    ReservedFlags {
        /// All its flags.
        flags: u8,
    },
    /// A command has the flag MORE.
    #[error("a command says that more frames follow")]
    CommandWithMore,
    /// A frame announces more than the limit.
    #[error("a frame of {announced_bytes} bytes exceeds the limit of {limit_bytes}")]
    FrameTooLarge {
        /// The size in the frame's header.
        announced_bytes: u64,
        /// [`Limits::frame_bytes`](crate::Limits::frame_bytes).
        limit_bytes: usize,
    },
    /// The frames of a message take more than the limit together.
    #[error("a message exceeds the limit of {limit_bytes} bytes")]
    MessageTooLarge {
        /// [`Limits::message_bytes`](crate::Limits::message_bytes).
        limit_bytes: usize,
    },
    /// A message has more frames than the limit.
    #[error("a message exceeds the limit of {limit} frames")]
    TooManyFrames {
        /// [`Limits::frames`](crate::Limits::frames).
        limit: usize,
    },
    /// A command announces more than the limit.
    #[error("a command of {announced_bytes} bytes exceeds the limit of {limit_bytes}")]
    CommandTooLarge {
        /// The size in the frame's header.
        announced_bytes: u64,
        /// [`Limits::command_bytes`](crate::Limits::command_bytes).
        limit_bytes: usize,
    },
    /// A command cannot be read.
    #[error("a command is malformed")]
    BadCommand,
    /// The context of a PING is longer than 16 bytes.
    #[error("the context of a PING has {bytes} bytes")]
    PingContext {
        /// Its length.
        bytes: usize,
    },
    /// Nothing was added to an incomplete message for too long.
    #[error("a message was left incomplete")]
    StalledMessage,
    /// Nothing was heard for too long, not even an answer to a PING.
    #[error("the peer is silent")]
    Silent,
    /// Nothing was heard within the time that the peer's own PING promised.
    #[error("the peer is silent beyond its own time to live")]
    TimeToLive,
}

impl Violation {
    /// What [`reason`](Self::reason) can return.
    pub const REASONS: [&'static str; 19] = [
        "greeting",
        "version",
        "mechanism",
        "handshake_timeout",
        "handshake_too_large",
        "handshake",
        "metadata",
        "socket_type",
        "refused",
        "bad_flags",
        "frame_too_large",
        "message_too_large",
        "too_many_frames",
        "command_too_large",
        "bad_command",
        "ping_context",
        "stalled_message",
        "silent",
        "time_to_live",
    ];

    /// The violation as a label for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Version { .. } => "version",
            Self::Mechanism { .. } => "mechanism",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakeTooLarge { .. } => "handshake_too_large",
            Self::Handshake => "handshake",
            Self::Metadata => "metadata",
            Self::SocketType { .. } => "socket_type",
            Self::Refused { .. } => "refused",
            Self::ReservedFlags { .. } | Self::CommandWithMore => "bad_flags",
            Self::FrameTooLarge { .. } => "frame_too_large",
            Self::MessageTooLarge { .. } => "message_too_large",
            Self::TooManyFrames { .. } => "too_many_frames",
            Self::CommandTooLarge { .. } => "command_too_large",
            Self::BadCommand => "bad_command",
            Self::PingContext { .. } => "ping_context",
            Self::StalledMessage => "stalled_message",
            Self::Silent => "silent",
            Self::TimeToLive => "time_to_live",
        }
    }
}

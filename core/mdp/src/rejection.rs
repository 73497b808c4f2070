//! Why the broker refused a message.

use std::fmt;

/// Says why a message of a peer was refused or dropped.
///
/// Each is a value of the label `reason` of `plantd_broker_rejected_total`; `docs/protocol.md` lists
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// The first frame, after an empty one if there is one, is no header of Majordomo.
    UnknownProtocol,
    /// An MDP/0.3 message begins with an empty frame.
    Delimiter,
    /// There is no command frame.
    NoCommand,
    /// The dialect has no such command for this role.
    UnknownCommand,
    /// A command of a later version of MDP/0.3 (40 hex and above), to be ignored.
    LaterCommand,
    /// There is no service frame.
    NoService,
    /// The service frame is no name: 1 to 128 printable ASCII bytes.
    BadService,
    /// The service is the broker's own.
    ReservedService,
    /// There is no body.
    NoBody,
    /// There is no token frame.
    NoToken,
    /// The frame after the token is not empty.
    NoDelimiter,
    /// The header frame of MDP/0.3 is missing or malformed.
    BadHeader,
    /// A property of a header has a value that it cannot have.
    BadProperty,
    /// A property that must be understood is not.
    UnsupportedProperty,
    /// The connection spoke another version, or with another delimiter, before.
    DialectChanged,
    /// The connection spoke in the other role before.
    RoleChanged,
    /// A worker's command came before its READY.
    NotReady,
    /// A second READY came on one connection.
    AlreadyReady,
    /// The token was never given to this worker, or its attempt has ended.
    UnknownToken,
    /// The request ended before this reply to it.
    Orphaned,
    /// The id is that of a request that is still unanswered.
    DuplicateId,
    /// The peer sent or got DISCONNECT before.
    Dismissed,
    /// The broker is stopping.
    Draining,
    /// The peer may not register as a worker.
    MayNotServe,
}

impl Rejection {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 24] = [
        Self::UnknownProtocol,
        Self::Delimiter,
        Self::NoCommand,
        Self::UnknownCommand,
        Self::LaterCommand,
        Self::NoService,
        Self::BadService,
        Self::ReservedService,
        Self::NoBody,
        Self::NoToken,
        Self::NoDelimiter,
        Self::BadHeader,
        Self::BadProperty,
        Self::UnsupportedProperty,
        Self::DialectChanged,
        Self::RoleChanged,
        Self::NotReady,
        Self::AlreadyReady,
        Self::UnknownToken,
        Self::Orphaned,
        Self::DuplicateId,
        Self::Dismissed,
        Self::Draining,
        Self::MayNotServe,
    ];

    /// Returns the label of metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownProtocol => "unknown_protocol",
            Self::Delimiter => "delimiter",
            Self::NoCommand => "no_command",
            Self::UnknownCommand => "unknown_command",
            Self::LaterCommand => "later_command",
            Self::NoService => "no_service",
            Self::BadService => "bad_service",
            Self::ReservedService => "reserved_service",
            Self::NoBody => "no_body",
            Self::NoToken => "no_token",
            Self::NoDelimiter => "no_delimiter",
            Self::BadHeader => "bad_header",
            Self::BadProperty => "bad_property",
            Self::UnsupportedProperty => "unsupported_property",
            Self::DialectChanged => "dialect_changed",
            Self::RoleChanged => "role_changed",
            Self::NotReady => "not_ready",
            Self::AlreadyReady => "already_ready",
            Self::UnknownToken => "unknown_token",
            Self::Orphaned => "orphaned",
            Self::DuplicateId => "duplicate_id",
            Self::Dismissed => "dismissed",
            Self::Draining => "draining",
            Self::MayNotServe => "may_not_serve",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

//! Types of sockets and who may talk to whom (RFC 37, "The Socket-Type Property").

use std::fmt;

/// The type of a ZeroMQ socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "RFC 37 defines the names")]
pub enum SocketType {
    Req,
    Rep,
    Dealer,
    Router,
    Pub,
    Xpub,
    Sub,
    Xsub,
    Push,
    Pull,
    Pair,
    Client,
    Server,
    Radio,
    Dish,
    Scatter,
    Gather,
    Peer,
    Channel,
}

impl SocketType {
    /// Every type that RFC 37 lists.
    pub const ALL: [Self; 19] = [
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
        Self::Pub,
        Self::Xpub,
        Self::Sub,
        Self::Xsub,
        Self::Push,
        Self::Pull,
        Self::Pair,
        Self::Client,
        Self::Server,
        Self::Radio,
        Self::Dish,
        Self::Scatter,
        Self::Gather,
        Self::Peer,
        Self::Channel,
    ];

    /// The value of the Socket-Type property.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Pub => "PUB",
            Self::Xpub => "XPUB",
            Self::Sub => "SUB",
            Self::Xsub => "XSUB",
            Self::Push => "PUSH",
            Self::Pull => "PULL",
            Self::Pair => "PAIR",
            Self::Client => "CLIENT",
            Self::Server => "SERVER",
            Self::Radio => "RADIO",
            Self::Dish => "DISH",
            Self::Scatter => "SCATTER",
            Self::Gather => "GATHER",
            Self::Peer => "PEER",
            Self::Channel => "CHANNEL",
        }
    }

    /// Reads the value of a Socket-Type property.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str().as_bytes() == value)
    }

    /// The types of peer that a socket of this type may talk to.
    pub fn accepts(self) -> &'static [Self] {
        match self {
            Self::Req => &[Self::Rep, Self::Router],
            Self::Rep => &[Self::Req, Self::Dealer],
            Self::Dealer => &[Self::Rep, Self::Dealer, Self::Router],
            Self::Router => &[Self::Req, Self::Dealer, Self::Router],
            Self::Pub | Self::Xpub => &[Self::Sub, Self::Xsub],
            Self::Sub | Self::Xsub => &[Self::Pub, Self::Xpub],
            Self::Push => &[Self::Pull],
            Self::Pull => &[Self::Push],
            Self::Pair => &[Self::Pair],
            Self::Client => &[Self::Server],
            Self::Server => &[Self::Client],
            Self::Radio => &[Self::Dish],
            Self::Dish => &[Self::Radio],
            Self::Scatter => &[Self::Gather],
            Self::Gather => &[Self::Scatter],
            Self::Peer => &[Self::Peer],
            Self::Channel => &[Self::Channel],
        }
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

//! What client and workers say in each language, encoded beforehand.

mod mdp;
mod nats;

pub(crate) use mdp::idle_ready;

use std::io;
use std::net::TcpStream;
use std::ops::Range;

use super::case::{Case, Dialect};
use crate::inbound::Interlude;
use crate::template::Template;

/// How a load speaks to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// Majordomo. The size of an address is the broker's choice.
    Mdp {
        dialect: Dialect,
        address_bytes: usize,
    },
    /// The frames of MDP/0.3's REQUEST, which come back as they are.
    Forwarded,
    /// Requests of NATS, whose workers form a queue group.
    Nats { inboxes: Inboxes },
}

/// Where a client of NATS wants its replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inboxes {
    /// One subject for each place of the window, used again and again: the least work for the server.
    Recycled,
    /// One subject for each request, as the clients of NATS do.
    Fresh,
}

/// Every message of a load.
#[derive(Debug)]
pub(crate) struct Script {
    /// The requests, a template for each service.
    pub(crate) requests: Vec<Template>,
    /// Their replies.
    pub(crate) replies: Vec<Template>,
    /// Where a reply's body begins, with the number of its request.
    pub(crate) number_at: usize,
    /// What interrupts the client.
    pub(crate) interlude: Option<Interlude>,
    /// What the workers of each service do.
    pub(crate) parts: Vec<Part>,
}

/// What a worker receives and answers.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) request: Template,
    pub(crate) reply: Template,
    /// The bytes of a request that its reply repeats.
    pub(crate) repeated: Range<usize>,
    /// Where the reply has them.
    pub(crate) repeated_at: usize,
    /// What interrupts the worker.
    pub(crate) interlude: Option<Interlude>,
}

impl Language {
    /// The messages of a case.
    pub(crate) fn script(self, case: &Case) -> Script {
        match self {
            Self::Mdp {
                dialect,
                address_bytes,
            } => mdp::script(case, dialect, address_bytes),
            Self::Forwarded => mdp::forwarded(case),
            Self::Nats { inboxes } => nats::script(case, inboxes),
        }
    }

    /// Connects a client.
    pub(crate) fn client(self, address: &str) -> io::Result<TcpStream> {
        match self {
            Self::Mdp { .. } | Self::Forwarded => crate::zmtp::connect(address, "DEALER"),
            Self::Nats { .. } => nats::client(address),
        }
    }

    /// Connects a worker. Where the broker tells that it knows the worker, that is waited for.
    pub(crate) fn worker(self, address: &str, service: usize) -> io::Result<TcpStream> {
        match self {
            Self::Mdp { dialect, .. } => mdp::worker(address, dialect, service),
            Self::Forwarded => mdp::forwarded_worker(address),
            Self::Nats { .. } => nats::worker(address, service),
        }
    }
}

/// The name of a service; all are of one length.
fn service_name(service: usize) -> String {
    format!("org.plantd.bench.Echo{service}")
}

/// A body, whose first eight bytes are for the number.
fn body(case: &Case) -> Vec<u8> {
    vec![b'x'; case.body_bytes]
}

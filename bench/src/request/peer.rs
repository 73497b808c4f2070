//! The brokers that are compared.

use anyhow::Context as _;
use serde::{Serialize, Serializer};

use super::case::{Case, Dialect};
use super::script::{Inboxes, Language};
use crate::cli::OwnBroker;
use crate::process::{BrokerProcess, nats, nats_is_missing, own};

/// A broker to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Plantd,
    LibzmqMdp,
    LibzmqForward,
    ZeromqForward,
    Nats,
    NatsFreshInboxes,
}

/// The size of plantd's tokens, and of the identities that libzmq gives.
const TOKEN_BYTES: usize = 16;
const IDENTITY_BYTES: usize = 5;

impl Peer {
    /// Who is measured in a case, plantd first.
    pub(crate) fn of(case: &Case) -> Vec<Self> {
        let mut peers = vec![Self::Plantd];
        if case.dialect == Dialect::Mdp02 || case.window == 1 {
            peers.push(Self::LibzmqMdp);
        }
        if case.dialect == Dialect::Mdp03 {
            peers.extend([Self::LibzmqForward, Self::ZeromqForward, Self::Nats]);
        }
        if *case == Case::plain(Dialect::Mdp03, 500, 1) {
            peers.push(Self::NatsFreshInboxes);
        }
        peers
    }

    /// Why this broker cannot be measured here, if so.
    pub(crate) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Plantd | Self::LibzmqMdp | Self::LibzmqForward | Self::ZeromqForward => None,
            Self::Nats | Self::NatsFreshInboxes => nats_is_missing(),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plantd => "plantd",
            Self::LibzmqMdp => "libzmq MDP loop",
            Self::LibzmqForward => "libzmq forwarding",
            Self::ZeromqForward => "zeromq forwarding",
            Self::Nats => "NATS",
            Self::NatsFreshInboxes => "NATS, fresh inboxes",
        }
    }

    /// What it is spoken to in.
    pub(crate) fn language(self, case: &Case) -> Language {
        match self {
            Self::Plantd => Language::Mdp {
                dialect: case.dialect,
                address_bytes: TOKEN_BYTES,
            },
            Self::LibzmqMdp => Language::Mdp {
                dialect: Dialect::Mdp02,
                address_bytes: IDENTITY_BYTES,
            },
            Self::LibzmqForward | Self::ZeromqForward => Language::Forwarded,
            Self::Nats => Language::Nats {
                inboxes: Inboxes::Recycled,
            },
            Self::NatsFreshInboxes => Language::Nats {
                inboxes: Inboxes::Fresh,
            },
        }
    }

    /// Starts it on a free port.
    pub(crate) fn start(self) -> anyhow::Result<BrokerProcess> {
        let started = match self {
            Self::Plantd => own(OwnBroker::Plantd),
            Self::LibzmqMdp => own(OwnBroker::LibzmqMdp),
            Self::LibzmqForward => own(OwnBroker::LibzmqForward),
            Self::ZeromqForward => own(OwnBroker::ZeromqForward),
            Self::Nats | Self::NatsFreshInboxes => nats(),
        };
        started.with_context(|| format!("start {}", self.name()))
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

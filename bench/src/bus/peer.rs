//! The buses that are compared.

use anyhow::Context as _;
use serde::{Serialize, Serializer};

use super::case::Case;
use super::script::Language;
use crate::cli::OwnBroker;
use crate::process::{BrokerProcess, nats, nats_is_missing, own};

/// A bus to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Plantd,
    LibzmqProxy,
    ZeromqLoop,
    Nats,
}

/// A bus that runs.
#[derive(Debug)]
pub(super) struct Bus {
    pub(super) process: BrokerProcess,
    /// Where publishers connect.
    pub(super) frontend: String,
    /// Where subscribers connect.
    pub(super) backend: String,
}

impl Peer {
    /// Who is measured in a case, plantd first.
    pub(super) fn of(case: &Case) -> Vec<Self> {
        let mut peers = vec![Self::Plantd, Self::LibzmqProxy, Self::Nats];
        // The `zeromq` crate compares a message with one subscription after the other.
        if case.subscriptions == 1 {
            peers.push(Self::ZeromqLoop);
        }
        peers
    }

    /// Why this bus cannot be measured here, if so.
    pub(super) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Plantd | Self::LibzmqProxy | Self::ZeromqLoop => None,
            Self::Nats => nats_is_missing(),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plantd => "plantd",
            Self::LibzmqProxy => "libzmq proxy",
            Self::ZeromqLoop => "zeromq loop",
            Self::Nats => "NATS",
        }
    }

    /// What it is spoken to in.
    pub(super) fn language(self) -> Language {
        match self {
            Self::Plantd | Self::LibzmqProxy | Self::ZeromqLoop => Language::Zmtp,
            Self::Nats => Language::Nats,
        }
    }

    /// Starts it on free ports.
    pub(super) fn start(self) -> anyhow::Result<Bus> {
        let process = match self {
            Self::Plantd => own(OwnBroker::Plantd),
            Self::LibzmqProxy => own(OwnBroker::LibzmqProxy),
            Self::ZeromqLoop => own(OwnBroker::ZeromqBus),
            Self::Nats => nats(),
        };
        let process = process.with_context(|| format!("start {}", self.name()))?;
        // plantd tells first where requests go; NATS has one address for all.
        let (frontend, backend) = match self {
            Self::Plantd => (1, 2),
            Self::LibzmqProxy | Self::ZeromqLoop => (0, 1),
            Self::Nats => (0, 0),
        };
        Ok(Bus {
            frontend: process.address(frontend)?.to_owned(),
            backend: process.address(backend)?.to_owned(),
            process,
        })
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

//! Where a worker stands with one broker.

use plantd_mdp::worker as machine;
use plantd_zmtp::Endpoint;
use tracing::{debug, info};

use crate::{link::ConnectionKey, status::BrokerStatus};

/// Names a registration; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RegistrationId(pub(super) u64);

impl RegistrationId {
    /// The registration at the worker's own listeners.
    pub(super) const OWN: Self = Self(u64::MAX);
}

/// A worker's registration at one broker.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) endpoint: Endpoint,
    pub(super) machine: machine::Worker,
    pub(super) connection: Option<ConnectionKey>,
    pub(super) is_up: bool,
    /// Its address is no longer that of any name; it is forgotten when it is lost.
    pub(super) is_gone: bool,
    /// It has left for good.
    pub(super) has_left: bool,
    /// Why the connection ended last, until the machine has said so too.
    pub(super) close_reason: Option<String>,
    last_error: Option<String>,
}

impl Registration {
    pub(super) fn new(endpoint: Endpoint, machine: machine::Worker) -> Self {
        Self {
            endpoint,
            machine,
            connection: None,
            is_up: false,
            is_gone: false,
            has_left: false,
            close_reason: None,
            last_error: None,
        }
    }

    pub(super) fn join(&mut self, service: &str) {
        self.is_up = true;
        self.last_error = None;
        info!(endpoint = %self.endpoint, service, "registered at a broker");
    }

    /// Notes that the registration is lost; said aloud once, until it is there again.
    pub(super) fn lose(&mut self, loss: machine::Loss) {
        let reason = match loss {
            machine::Loss::Closed => self.close_reason.take().unwrap_or_default(),
            machine::Loss::Silent => "the broker is silent".to_owned(),
            machine::Loss::Dismissed { message } if message.is_empty() => {
                "the broker sent DISCONNECT".to_owned()
            }
            machine::Loss::Dismissed { message } => {
                format!("the broker sent DISCONNECT: {message}")
            }
        };
        let endpoint = &self.endpoint;
        if self.is_up {
            info!(%endpoint, reason, "lost a broker; registering again");
        } else if self.last_error.is_none() {
            info!(%endpoint, reason, "cannot register at a broker; trying on");
        } else {
            debug!(%endpoint, reason, "cannot register at a broker");
        }
        self.connection = None;
        self.is_up = false;
        self.last_error = Some(reason);
    }

    pub(super) fn status(&self) -> BrokerStatus {
        BrokerStatus {
            endpoint: self.endpoint.to_string(),
            is_up: self.is_up,
            last_error: self.last_error.clone(),
        }
    }
}

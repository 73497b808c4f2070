//! What the suites of this crate are built with: a broker to talk to, and peers to talk with.
//!
//! - [`Plant`] is a broker in this process, on a port or a Unix socket of its own.
//! - [`Peer`] is a libzmq socket, so that our own ZMTP is not its own judge.
//! - [`CratePeer`] is a socket of the `zeromq` crate, the other implementation that we did not write.
//! - [`Wire`] is a TCP connection that sends whatever bytes a test wants.
//! - [`Proxy`] is a bus of libzmq's.
//! - [`Besieged`] is a process under attack, beside whom the honest are served.
//! - [`BrokerProcess`] is a broker that can be measured, stopped and killed.
//!
//! Everything blocks, with [`PATIENCE`] as a safety net. Nothing here can reach private state: what
//! a test knows of a broker it learns from the wire and from the metrics.
#![expect(missing_debug_implementations, reason = "sockets have nothing to show")]

mod besieged;
mod broker_process;
mod crate_peer;
mod frames;
mod metrics;
mod peer;
mod peers;
mod plant;
mod proxy;
mod wire;

use std::time::{Duration, Instant};

pub use besieged::{Besieged, Honest};
pub use broker_process::BrokerProcess;
pub use crate_peer::CratePeer;
pub use frames::{Frames, IntoFrame, T, header, numbered, properties};
pub use metrics::Reading;
pub use peer::Peer;
pub use peers::Peers;
pub use plant::{Plant, Site};
pub use proxy::Proxy;
pub use wire::Wire;

/// How long anything may take before a test gives up. No test depends on its length.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The end of [`PATIENCE`] from this moment on.
pub struct Deadline(Instant);

impl Deadline {
    pub fn start() -> Self {
        Self(clock() + PATIENCE)
    }

    pub fn has_passed(&self) -> bool {
        clock() >= self.0
    }
}

#[expect(clippy::disallowed_methods, reason = "the safety net of every test")]
fn clock() -> Instant {
    Instant::now()
}

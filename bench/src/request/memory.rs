//! What a broker of ours takes when idle, and for a connection more.

use anyhow::Context as _;
use serde::Serialize;

use super::crowd::{Crowd, Presence};
use super::peer::Peer;

/// The resident memory of plantd's process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Memory {
    pub(crate) connections: usize,
    pub(crate) idle_bytes: u64,
    pub(crate) connection_bytes: f64,
    /// The same for connections that are MDP/0.3 workers.
    pub(crate) worker_bytes: f64,
}

pub(crate) fn measure(connections: usize) -> anyhow::Result<Memory> {
    let (idle_bytes, connection_bytes) = grown(connections, Presence::Connected)?;
    let (_, worker_bytes) = grown(connections, Presence::Worker)?;
    Ok(Memory {
        connections,
        idle_bytes,
        connection_bytes,
        worker_bytes,
    })
}

/// Memory before any connection, and what each added.
fn grown(connections: usize, presence: Presence) -> anyhow::Result<(u64, f64)> {
    let broker = Peer::Plantd.start()?;
    let idle = broker.resident_bytes()?;
    let crowd = Crowd::gather(broker.address(0)?, connections, presence);
    let _crowd = crowd.with_context(|| format!("open {connections} connections"))?;
    let grown = broker.resident_bytes()?.saturating_sub(idle);
    Ok((idle, grown as f64 / connections as f64))
}

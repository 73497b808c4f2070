//! One run of one service.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::case::Case;
use super::load::{Counted, Load};
use super::peer::{Peer, Setting};

/// The share of the measured time that comes before it.
const WARM_UP: f64 = 0.3;

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Measurement {
    pub(super) operations_per_second: f64,
    /// CPU of the service's processes for an operation, in microseconds.
    pub(super) cpu_us: f64,
    /// CPU of the service's processes for a second.
    pub(super) busy: f64,
    /// How long an operation took, where each client has one at a time.
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
}

/// Starts a service, gives each key a value, runs the load of a case, and checks every reply.
pub(super) fn take(
    peer: Peer,
    case: &Case,
    keys: u64,
    measured: Duration,
    setting: Setting<'_>,
) -> anyhow::Result<Measurement> {
    let service = peer.start(setting)?;
    Load::fill(&service, keys, case.rounds).context("give each key a value")?;
    let load = Load::connect(&service, case, keys)?;
    let warm_up = measured.mul_f64(WARM_UP);
    let counted = load.run(warm_up, measured, || service.cpu())?;
    Ok(Measurement::of(&counted))
}

impl Measurement {
    pub(super) fn of(counted: &Counted) -> Self {
        let replies = counted.replies as f64;
        let seconds = counted.elapsed.as_secs_f64();
        let at = |share| percentile(&counted.latencies, share);
        Self {
            operations_per_second: replies / seconds,
            cpu_us: counted.cpu.as_secs_f64() * 1e6 / replies,
            busy: counted.cpu.as_secs_f64() / seconds,
            p50_us: at(0.5),
            p99_us: at(0.99),
        }
    }
}

/// Of latencies in their order, in microseconds.
pub(super) fn percentile(latencies: &[Duration], share: f64) -> Option<f64> {
    let index = (latencies.len() as f64 * share) as usize;
    let latency = latencies.get(index)?;
    Some(latency.as_secs_f64() * 1e6)
}

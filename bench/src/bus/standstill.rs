//! What the others notice of a subscriber that stands still.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;

use super::case::Case;
use super::load::{Load, Pace};
use super::peer::Peer;
use crate::cli::Options;
use crate::report::median;
use crate::series::{alternate, progress};

/// Who goes on reading.
const CASE: Case = Case {
    subscribers: 8,
    body_bytes: 1024,
    subscriptions: 1,
};
/// Messages a second while latencies are taken: far below what a bus can do.
const RATE: f64 = 5_000.0;
/// Bytes that are published before: more than an outbox and the kernel's buffers hold.
const FILLING_BYTES: f64 = 32.0 * 1024.0 * 1024.0;
const FILLING: Duration = Duration::from_millis(100);
const WARM_UP: Duration = Duration::from_millis(100);

/// How late messages came to the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Standstill {
    /// While all read.
    pub(super) p99_without_us: f64,
    /// While one more has subscribed to the same and reads nothing.
    pub(super) p99_beside_us: f64,
    /// The median of the quotients of neighbouring runs.
    pub(super) p99_ratio: f64,
}

/// Measures plantd with all subscribers reading, and with one more that does not, in turn.
pub(super) fn measure(options: &Options) -> anyhow::Result<Standstill> {
    progress("standstill");
    let measured = Duration::from_secs_f64(options.seconds());
    let taken = alternate(&[false, true], options.runs(), |beside| {
        p99(*beside, measured)
    })?;
    let pairs = taken[0].iter().zip(&taken[1]);
    let middle = |runs: &[f64]| median(runs.iter().copied()).unwrap_or(f64::NAN);
    Ok(Standstill {
        p99_without_us: middle(&taken[0]),
        p99_beside_us: middle(&taken[1]),
        p99_ratio: median(pairs.map(|(without, beside)| beside / without)).unwrap_or(f64::NAN),
    })
}

/// The 99th percentile of the latencies of those who read, in microseconds.
fn p99(beside: bool, measured: Duration) -> anyhow::Result<f64> {
    let bus = Peer::Plantd.start()?;
    let language = Peer::Plantd.language();
    let mut load = Load::connect(&bus, language, &CASE)?;
    let standing = beside.then(|| language.subscriber(&bus.backend, &CASE));
    let _standing = standing
        .transpose()
        .context("connect one that stands still")?;
    let mut published_bytes = 0.0;
    while published_bytes < FILLING_BYTES {
        let filled = load.run(Pace::Full, Duration::ZERO, FILLING, || bus.process.cpu())?;
        published_bytes += filled.messages * CASE.body_bytes as f64;
    }
    let counted = load.run(Pace::Rate(RATE), WARM_UP, measured, || bus.process.cpu())?;
    let mut latencies = counted.latencies;
    latencies.sort_unstable();
    let index = (latencies.len() as f64 * 0.99) as usize;
    ensure!(index < latencies.len(), "nothing was measured");
    Ok(latencies[index].as_secs_f64() * 1e6)
}

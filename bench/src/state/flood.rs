//! How long a read takes while another client writes as fast as it can.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use super::case::{Case, Operation};
use super::load::Load;
use super::measurement::percentile;
use super::peer::{Peer, Setting};
use crate::clock;
use crate::report::median;

const WARM_UP: Duration = Duration::from_millis(200);

/// Reads, one at a time, beside 500 writes under way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Flood {
    pub(super) service: Peer,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// How many were written meanwhile.
    pub(super) writes_per_second: f64,
}

/// One run of one service.
pub(super) fn take(
    peer: Peer,
    keys: u64,
    measured: Duration,
    setting: Setting<'_>,
) -> anyhow::Result<Flood> {
    let service = peer.start(setting)?;
    Load::fill(&service, keys, 1).context("give each key a value")?;
    let reader = Load::connect(&service, &Case::single(Operation::Get), keys)?;
    let is_over = AtomicBool::new(false);
    let began = clock::now();
    let (read, written) = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let writer = Load::connect(&service, &Case::wide(Operation::Set), keys)?;
            writer.run_until(|| is_over.load(Ordering::Relaxed))
        });
        let read = reader.run(WARM_UP, measured, || service.cpu());
        is_over.store(true, Ordering::Relaxed);
        (read, writing.join())
    });
    let elapsed = clock::now() - began;
    let written = written.map_err(|_| anyhow!("the writer panicked"))??;
    let latencies = read?.latencies;
    let at = |share| percentile(&latencies, share).context("nothing was read");
    Ok(Flood {
        service: peer,
        p50_us: at(0.5)?,
        p99_us: at(0.99)?,
        writes_per_second: written as f64 / elapsed.as_secs_f64(),
    })
}

impl Flood {
    /// The medians of the runs of one service.
    pub(super) fn of(service: Peer, runs: &[Self]) -> Self {
        let each = |of: fn(&Self) -> f64| median(runs.iter().map(of)).unwrap_or(f64::NAN);
        Self {
            service,
            p50_us: each(|run| run.p50_us),
            p99_us: each(|run| run.p99_us),
            writes_per_second: each(|run| run.writes_per_second),
        }
    }
}

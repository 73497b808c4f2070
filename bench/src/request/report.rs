//! What a series of requests found, as JSON has it.

use serde::Serialize;

use super::case::Case;
use super::measurement::Measurement;
use super::memory::Memory;
use super::peer::Peer;
use crate::figures::Figure;
use crate::report::{Conditions, median, median_ratio};

/// Everything that a series found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) conditions: Conditions,
    pub(super) rows: Vec<Row>,
    pub(super) memory: Option<Memory>,
    pub(super) figures: Vec<Figure>,
}

/// One broker in one case: medians of its runs.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) case: Case,
    pub(crate) broker: Peer,
    pub(crate) median: Measurement,
    /// What plantd took without idle workers over what this took: medians of the ratios of
    /// neighbouring runs. None for plantd without idle workers.
    pub(crate) plantd_over: Option<Ratios>,
}

/// Quotients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Ratios {
    pub(crate) rate: f64,
    pub(crate) cpu: f64,
    pub(crate) p50: Option<f64>,
}

impl Row {
    /// Joins the runs of a broker with plantd's, run by run.
    pub(crate) fn of(
        case: Case,
        broker: Peer,
        runs: &[Measurement],
        plantd: &[Measurement],
    ) -> Self {
        let over = |of| median_ratio(plantd, runs, of);
        let ratios = || {
            let pairs = plantd.iter().zip(runs);
            let p50 = pairs.filter_map(|(ours, theirs)| Some(ours.p50_us? / theirs.p50_us?));
            Some(Ratios {
                rate: over(|run| run.requests_per_second)?,
                cpu: over(|run| run.cpu_us)?,
                p50: median(p50),
            })
        };
        Self {
            case,
            broker,
            median: medians(runs),
            plantd_over: (broker != Peer::Plantd || case.idle > 0)
                .then(ratios)
                .flatten(),
        }
    }
}

fn medians(runs: &[Measurement]) -> Measurement {
    let each = |of: fn(&Measurement) -> f64| median(runs.iter().map(of)).unwrap_or(f64::NAN);
    Measurement {
        requests_per_second: each(|run| run.requests_per_second),
        cpu_us: each(|run| run.cpu_us),
        busy: each(|run| run.busy),
        p50_us: median(runs.iter().filter_map(|run| run.p50_us)),
        p99_us: median(runs.iter().filter_map(|run| run.p99_us)),
    }
}

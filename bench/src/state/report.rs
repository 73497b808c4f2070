//! What a series of state services found, as JSON has it.

use serde::Serialize;

use super::case::Case;
use super::flood::Flood;
use super::measurement::Measurement;
use super::peer::Peer;
use crate::figures::Figure;
use crate::report::{Conditions, Ratios, median};

/// Everything that a series found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) conditions: Conditions,
    pub(super) keys: u64,
    /// Whether somebody subscribes to all changes.
    pub(super) has_subscriber: bool,
    /// How long the disk took to sync a page, before the series.
    pub(super) sync_us: f64,
    pub(super) rows: Vec<Row>,
    pub(super) floods: Vec<Flood>,
    pub(super) figures: Vec<Figure>,
}

/// One service in one case: medians of its runs.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) service: Peer,
    pub(super) median: Measurement,
    /// plantd's values over these: medians of the ratios of neighbouring runs. None for plantd.
    pub(super) plantd_over: Option<Ratios>,
    /// The same for plantd when it is asked directly. None for both of plantd's.
    pub(super) direct_over: Option<Ratios>,
}

impl Row {
    /// Joins the runs of a service with plantd's, run by run.
    pub(super) fn of(
        case: Case,
        service: Peer,
        runs: &[Measurement],
        plantd: &[Measurement],
        direct: &[Measurement],
    ) -> Self {
        let over = |of: &[Measurement]| {
            Ratios::of(of, runs, |run| run.operations_per_second, |run| run.cpu_us)
        };
        let is_plantd = service == Peer::Plantd;
        let is_ours = is_plantd || service == Peer::PlantdDirect;
        Self {
            case,
            service,
            median: medians(runs),
            plantd_over: (!is_plantd).then(|| over(plantd)).flatten(),
            direct_over: (!is_ours).then(|| over(direct)).flatten(),
        }
    }
}

fn medians(runs: &[Measurement]) -> Measurement {
    let each = |of: fn(&Measurement) -> f64| median(runs.iter().map(of)).unwrap_or(f64::NAN);
    Measurement {
        operations_per_second: each(|run| run.operations_per_second),
        cpu_us: each(|run| run.cpu_us),
        busy: each(|run| run.busy),
        p50_us: median(runs.iter().filter_map(|run| run.p50_us)),
        p99_us: median(runs.iter().filter_map(|run| run.p99_us)),
    }
}

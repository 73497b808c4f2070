//! What a series of buses found, as JSON has it.

use serde::Serialize;

use super::case::Case;
use super::measurement::Measurement;
use super::peer::Peer;
use super::standstill::Standstill;
use crate::figures::Figure;
use crate::report::{Conditions, Ratios, median};

/// Everything that a series found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) conditions: Conditions,
    pub(super) rows: Vec<Row>,
    pub(super) standstill: Option<Standstill>,
    pub(super) figures: Vec<Figure>,
}

/// One bus in one case: medians of its runs.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) broker: Peer,
    pub(super) median: Measurement,
    /// plantd's values over these: medians of the ratios of neighbouring runs. None for plantd.
    pub(super) plantd_over: Option<Ratios>,
}

impl Row {
    /// Joins the runs of a bus with plantd's, run by run.
    pub(super) fn of(
        case: Case,
        broker: Peer,
        runs: &[Measurement],
        plantd: &[Measurement],
    ) -> Self {
        let each = |of: fn(&Measurement) -> f64| median(runs.iter().map(of)).unwrap_or(f64::NAN);
        let ratios = || {
            Ratios::of(
                plantd,
                runs,
                |run| run.messages_per_second,
                |run| run.cpu_us,
            )
        };
        Self {
            case,
            broker,
            median: Measurement {
                messages_per_second: each(|run| run.messages_per_second),
                cpu_us: each(|run| run.cpu_us),
                busy: each(|run| run.busy),
            },
            plantd_over: (broker != Peer::Plantd).then(ratios).flatten(),
        }
    }
}

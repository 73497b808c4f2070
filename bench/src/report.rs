//! What a series found, as JSON has it.

use serde::Serialize;

use crate::case::Case;
use crate::figures::Figure;
use crate::measurement::Measurement;
use crate::memory::Memory;
use crate::peer::Peer;

/// Everything that a series found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) runs: u32,
    pub(crate) seconds: f64,
    /// Whether the brokers of this program are optimised; without, nothing here counts.
    pub(crate) optimised: bool,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) memory: Option<Memory>,
    pub(crate) figures: Vec<Figure>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    /// The load average of the last minute before the series: what else ran.
    pub(crate) load_before: Option<f64>,
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

impl Machine {
    pub(crate) fn read() -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").ok();
        let load = load.as_deref().and_then(|text| text.split(' ').next());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load_before: load.and_then(|load| load.parse().ok()),
        }
    }
}

impl Row {
    /// Joins the runs of a broker with plantd's, run by run.
    pub(crate) fn of(
        case: Case,
        broker: Peer,
        runs: &[Measurement],
        plantd: &[Measurement],
    ) -> Self {
        let over = |of: fn(&Measurement) -> f64| {
            let pairs = plantd.iter().zip(runs);
            median(pairs.map(|(ours, theirs)| of(ours) / of(theirs)))
        };
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

/// The middle one, or the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = values.len().checked_sub(1)? / 2;
    Some(f64::midpoint(values[lower], values[upper]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
    }
}

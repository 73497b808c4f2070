//! What every report says of its run, and medians.

use serde::Serialize;

use crate::cli::Options;

/// How and where a series was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Conditions {
    machine: Machine,
    runs: u32,
    seconds: f64,
    /// Whether the brokers of this program are optimised; without, nothing here counts.
    optimised: bool,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<String>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
struct Machine {
    cores: usize,
    /// The load average of the last minute before the series: what else ran.
    load_before: Option<f64>,
}

impl Conditions {
    pub(crate) fn read(options: &Options) -> Self {
        Self {
            machine: Machine::read(),
            runs: options.runs(),
            seconds: options.seconds(),
            optimised: !cfg!(debug_assertions),
            missing: Vec::new(),
        }
    }

    /// The first lines of a report.
    pub(crate) fn text(&self) -> String {
        let Machine { cores, load_before } = &self.machine;
        let mut text = format!(
            "{cores} cores, load average {} before; medians of {} alternating runs of {} s\n",
            load_before.map_or_else(|| "unknown".to_owned(), |load| load.to_string()),
            self.runs,
            self.seconds,
        );
        if !self.optimised {
            text += "built without --release: nothing of this counts\n";
        }
        for missing in &self.missing {
            text += &format!("not measured: {missing}\n");
        }
        text
    }
}

impl Machine {
    fn read() -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").ok();
        let load = load.as_deref().and_then(|text| text.split(' ').next());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load_before: load.and_then(|load| load.parse().ok()),
        }
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = values.len().checked_sub(1)? / 2;
    Some(f64::midpoint(values[lower], values[upper]))
}

/// The median of the ratios of neighbouring runs.
pub(crate) fn median_ratio<T>(ours: &[T], theirs: &[T], of: fn(&T) -> f64) -> Option<f64> {
    let pairs = ours.iter().zip(theirs);
    median(pairs.map(|(ours, theirs)| of(ours) / of(theirs)))
}

/// plantd's values over a peer's: medians of the ratios of neighbouring runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Ratios {
    pub(crate) rate: f64,
    pub(crate) cpu: f64,
}

impl Ratios {
    pub(crate) fn of<T>(
        plantd: &[T],
        runs: &[T],
        rate: fn(&T) -> f64,
        cpu: fn(&T) -> f64,
    ) -> Option<Self> {
        Some(Self {
            rate: median_ratio(plantd, runs, rate)?,
            cpu: median_ratio(plantd, runs, cpu)?,
        })
    }
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

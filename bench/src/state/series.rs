//! The series: every case with every service, in alternating runs.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::case::Case;
use super::flood::{self, Flood};
use super::peer::{Peer, Setting};
use super::report::{Report, Row};
use super::{figures, measurement, table};
use crate::cli::StateOptions;
use crate::clock;
use crate::report::{Conditions, median};
use crate::series::{self, alternate, progress};

/// How often a sync is timed.
const SYNCS: usize = 100;
/// Keys that have a value.
const KEYS: u64 = 10_000;

/// Measures and prints.
pub(crate) fn run(options: &StateOptions) -> anyhow::Result<()> {
    series::print(&measure(options)?, options.series.json, table::of)
}

fn measure(options: &StateOptions) -> anyhow::Result<Report> {
    let StateOptions {
        series,
        folder,
        unsubscribed,
    } = options;
    let mut conditions = Conditions::read(series);
    let mut peers = Peer::ALL.to_vec();
    peers.retain(|peer| match peer.missing() {
        Some(reason) => {
            let missing = format!("{}: {reason}", peer.name());
            conditions.missing.push(missing);
            false
        }
        None => true,
    });
    let sync_us = sync_us(folder).context("sync a file")?;
    let measurer = Measurer {
        measured: Duration::from_secs_f64(series.seconds()),
        runs: series.runs(),
        setting: Setting {
            folder,
            has_subscriber: !unsubscribed,
        },
        peers,
    };
    let mut rows = Vec::new();
    for case in Case::all() {
        if series.wants(&case.to_string()) {
            rows.extend(measurer.case(case)?);
        }
    }
    let floods = if series.wants("flood") {
        measurer.floods().context("flood")?
    } else {
        Vec::new()
    };
    Ok(Report {
        figures: figures::all(&rows),
        conditions,
        keys: KEYS,
        has_subscriber: !unsubscribed,
        sync_us,
        rows,
        floods,
    })
}

/// How long the disk takes to sync a page that was appended to a file, in microseconds: the median.
fn sync_us(folder: &Path) -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut spans = Vec::new();
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096])?;
        let began = clock::now();
        file.sync_data()?;
        spans.push((clock::now() - began).as_secs_f64() * 1e6);
    }
    median(spans.into_iter()).context("there is a median")
}

/// What every run has in common.
struct Measurer<'a> {
    measured: Duration,
    runs: u32,
    setting: Setting<'a>,
    peers: Vec<Peer>,
}

impl Measurer<'_> {
    fn case(&self, case: Case) -> anyhow::Result<Vec<Row>> {
        progress(&case.to_string());
        let taken = alternate(&self.peers, self.runs, |peer| {
            let measurement = measurement::take(*peer, &case, KEYS, self.measured, self.setting);
            measurement.with_context(|| format!("{}, {case}", peer.name()))
        })?;
        // plantd is never missing.
        let (plantd, direct) = (&taken[0], &taken[1]);
        let rows = self.peers.iter().zip(&taken);
        Ok(rows
            .map(|(service, runs)| Row::of(case, *service, runs, plantd, direct))
            .collect())
    }

    fn floods(&self) -> anyhow::Result<Vec<Flood>> {
        progress("flood");
        let taken = alternate(&self.peers, self.runs, |peer| {
            let flood = flood::take(*peer, KEYS, self.measured, self.setting);
            flood.with_context(|| peer.name())
        })?;
        let floods = self.peers.iter().zip(&taken);
        Ok(floods
            .map(|(service, runs)| Flood::of(*service, runs))
            .collect())
    }
}

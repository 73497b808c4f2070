//! The series: every case with every bus, in alternating runs.

use std::time::Duration;

use anyhow::Context as _;

use super::case::Case;
use super::peer::Peer;
use super::report::{Report, Row};
use super::{figures, measurement, standstill, table};
use crate::cli::Options;
use crate::report::Conditions;
use crate::series::{self, alternate, progress};

/// Measures and prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    series::print(&measure(options)?, options.json, table::of)
}

fn measure(options: &Options) -> anyhow::Result<Report> {
    let mut conditions = Conditions::read(options);
    if let Some(reason) = Peer::Nats.missing() {
        let name = Peer::Nats.name();
        conditions.missing.push(format!("{name}: {reason}"));
    }
    let cases = if options.quick {
        Case::quick()
    } else {
        Case::all()
    };
    let mut rows = Vec::new();
    for case in cases {
        if options.wants(&case.to_string()) {
            rows.extend(measure_case(case, options)?);
        }
    }
    let standstill = options
        .wants("standstill")
        .then(|| standstill::measure(options));
    let standstill = standstill.transpose().context("standstill")?;
    Ok(Report {
        figures: figures::all(&rows, standstill.as_ref()),
        conditions,
        rows,
        standstill,
    })
}

fn measure_case(case: Case, options: &Options) -> anyhow::Result<Vec<Row>> {
    progress(&case.to_string());
    let measured = Duration::from_secs_f64(options.seconds());
    let mut peers = Peer::of(&case);
    peers.retain(|peer| peer.missing().is_none());
    let taken = alternate(&peers, options.runs(), |peer| {
        let measurement = measurement::take(*peer, &case, measured);
        measurement.with_context(|| format!("{}, {case}", peer.name()))
    })?;
    let plantd = &taken[0];
    let rows = peers.iter().zip(&taken);
    Ok(rows
        .map(|(broker, runs)| Row::of(case, *broker, runs, plantd))
        .collect())
}

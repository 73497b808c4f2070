//! The series: every case with every broker, in alternating runs.

use std::time::Duration;

use anyhow::Context as _;

use super::case::Case;
use super::crowd::Crowd;
use super::memory::{self, Memory};
use super::peer::Peer;
use super::report::{Report, Row};
use super::{figures, measurement, table};
use crate::cli::Options;
use crate::report::Conditions;
use crate::series::{self, progress};

/// Measures and prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    series::print(&measure(options)?, options.json, table::of)
}

fn measure(options: &Options) -> anyhow::Result<Report> {
    let mut conditions = Conditions::read(options);
    let limit = Crowd::limit();
    let mut missing = Vec::new();
    let mut absent = Vec::new();
    for peer in [Peer::Nats, Peer::NatsFreshInboxes] {
        if let Some(reason) = peer.missing() {
            missing.push(format!("{}: {reason}", peer.name()));
            absent.push(peer);
        }
    }
    let cases = if options.quick {
        Case::quick()
    } else {
        Case::all()
    };
    let mut rows = Vec::new();
    for case in cases {
        let mut contenders = contenders(case, options);
        if !contenders
            .iter()
            .any(|it| options.wants(&it.case.to_string()))
        {
            continue;
        }
        contenders.retain(|it| !absent.contains(&it.broker));
        contenders.retain(|it| {
            let fits = it.case.idle < limit;
            if !fits {
                missing.push(format!("{}: {limit} descriptors are allowed", it.case));
            }
            fits
        });
        rows.extend(alternate(&contenders, options)?);
    }
    let memory = if options.wants("memory") {
        measure_memory(options, limit, &mut missing)?
    } else {
        None
    };
    let figures = figures::all(&rows, memory.as_ref());
    conditions.missing = missing;
    Ok(Report {
        conditions,
        rows,
        memory,
        figures,
    })
}

/// What runs in turn with the others of its case.
#[derive(Debug, Clone, Copy)]
struct Contender {
    broker: Peer,
    case: Case,
}

/// Who is compared in a case: plantd, its peers, and plantd with idle workers beside.
fn contenders(case: Case, options: &Options) -> Vec<Contender> {
    let peers = Peer::of(&case).into_iter();
    let mut contenders: Vec<_> = peers.map(|broker| Contender { broker, case }).collect();
    if case == Case::plain(case.dialect, 500, 1) {
        let crowds: &[usize] = if options.quick { &[99] } else { &[99, 9_999] };
        contenders.extend(crowds.iter().map(|idle| Contender {
            broker: Peer::Plantd,
            case: case.beside(*idle),
        }));
    }
    contenders
}

fn alternate(contenders: &[Contender], options: &Options) -> anyhow::Result<Vec<Row>> {
    progress(&contenders[0].case.to_string());
    let measured = Duration::from_secs_f64(options.seconds());
    let taken = series::alternate(contenders, options.runs(), |Contender { broker, case }| {
        let measurement = measurement::take(*broker, case, measured);
        measurement.with_context(|| format!("{}, {case}", broker.name()))
    })?;
    let plantd = &taken[0];
    let rows = contenders.iter().zip(&taken);
    Ok(rows
        .map(|(it, runs)| Row::of(it.case, it.broker, runs, plantd))
        .collect())
}

fn measure_memory(
    options: &Options,
    limit: usize,
    missing: &mut Vec<String>,
) -> anyhow::Result<Option<Memory>> {
    progress("memory");
    let connections = if options.quick { 1_000 } else { 10_000 };
    if connections >= limit {
        missing.push(format!("memory: {limit} descriptors are allowed"));
        return Ok(None);
    }
    memory::measure(connections).map(Some).context("memory")
}

//! The series: every case with every broker, in alternating runs.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::Context as _;

use crate::case::Case;
use crate::cli::Request;
use crate::crowd::Crowd;
use crate::measurement::{self, Measurement};
use crate::memory::{self, Memory};
use crate::peer::Peer;
use crate::report::{Machine, Report, Row};
use crate::{figures, table};

/// Measures and prints.
pub(crate) fn run(options: &Request) -> anyhow::Result<()> {
    let report = measure(options)?;
    let text = if options.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        table::of(&report)
    };
    io::stdout().write_all(text.as_bytes()).context("print")
}

fn measure(options: &Request) -> anyhow::Result<Report> {
    let machine = Machine::read();
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
    Ok(Report {
        machine,
        runs: options.runs(),
        seconds: options.seconds(),
        optimised: !cfg!(debug_assertions),
        missing,
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
fn contenders(case: Case, options: &Request) -> Vec<Contender> {
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

/// Runs each once, then each again, so that what else the machine does hits all alike.
fn alternate(contenders: &[Contender], options: &Request) -> anyhow::Result<Vec<Row>> {
    progress(&contenders[0].case.to_string());
    let measured = Duration::from_secs_f64(options.seconds());
    let mut taken: Vec<Vec<Measurement>> = vec![Vec::new(); contenders.len()];
    for _ in 0..options.runs() {
        for (Contender { broker, case }, runs) in contenders.iter().zip(&mut taken) {
            let measurement = measurement::take(*broker, case, measured);
            runs.push(measurement.with_context(|| format!("{}, {case}", broker.name()))?);
        }
    }
    let plantd = &taken[0];
    let rows = contenders.iter().zip(&taken);
    Ok(rows
        .map(|(it, runs)| Row::of(it.case, it.broker, runs, plantd))
        .collect())
}

fn measure_memory(
    options: &Request,
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

fn progress(what: &str) {
    // Without a stderr there is nobody who waits.
    let _ = writeln!(io::stderr(), "{what}");
}

//! What every series does: runs in turn, a line of progress, and the report.

use std::io::{self, Write as _};

use anyhow::Context as _;
use serde::Serialize;

/// Runs each contender once, then each again, so that what else the machine does hits all alike.
/// Returns the runs of each.
pub(crate) fn alternate<C, M>(
    contenders: &[C],
    runs: u32,
    mut take: impl FnMut(&C) -> anyhow::Result<M>,
) -> anyhow::Result<Vec<Vec<M>>> {
    let mut taken: Vec<Vec<M>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs {
        for (contender, runs) in contenders.iter().zip(&mut taken) {
            runs.push(take(contender)?);
        }
    }
    Ok(taken)
}

/// Says on stderr what is measured.
pub(crate) fn progress(what: &str) {
    // Without a stderr there is nobody who waits.
    let _ = writeln!(io::stderr(), "{what}");
}

/// Prints a report as JSON, or as text.
pub(crate) fn print<R: Serialize>(
    report: &R,
    json: bool,
    text: impl Fn(&R) -> String,
) -> anyhow::Result<()> {
    let text = if json {
        serde_json::to_string_pretty(report)? + "\n"
    } else {
        text(report)
    };
    io::stdout().write_all(text.as_bytes()).context("print")
}

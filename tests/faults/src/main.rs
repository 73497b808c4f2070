//! Plays rounds of faults on real processes, and tells what was lost.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use plantd_faults::{Process, Report, Round, play};

/// Kills, stops, cuts off and floods brokers and workers under load, and checks what came of it.
#[derive(Parser)]
struct Arguments {
    /// How long all rounds take together.
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// What decides who is struck when; the clock of the machine has its part too.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Plays this round alone, or these.
    #[arg(long, value_enum)]
    round: Vec<Round>,
    /// Writes the figures to this file.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    #[command(subcommand)]
    process: Option<Process>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(process) = arguments.process {
        return process.run().map(|()| ExitCode::SUCCESS);
    }
    let rounds = if arguments.round.is_empty() {
        Round::ALL
    } else {
        &arguments.round
    };
    let each = Duration::from_secs_f64(arguments.minutes * 60.0 / rounds.len() as f64);
    let program = std::env::current_exe().context("find this program")?;
    let mut report = Report::new(arguments.seed);
    let mut out = io::stdout();
    for round in rounds {
        let outcome = play(*round, &program, arguments.seed, each);
        writeln!(out, "{}", report.add(outcome))?;
    }
    if let Some(path) = arguments.json {
        fs::write(&path, report.to_json()).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(ExitCode::from(u8::from(!report.is_clean())))
}

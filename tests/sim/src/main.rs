//! Plays seeds, and tells which fail and how to see why.

use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use plantd_sim::{hunt_all, run, survey};

/// Plays clients, workers and brokers under seeded faults.
#[derive(Parser)]
struct Arguments {
    /// How many seeds are played.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Plays this one alone.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    replay: Option<u64>,
    /// Plants each bug there is, and tells which seed finds it.
    #[arg(long, conflicts_with = "replay")]
    planted: bool,
    /// Tells everything that brokers take and want.
    #[arg(long, requires = "replay")]
    verbose: bool,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    // A violation is told with its seed; where in the code it was seen says little.
    panic::set_hook(Box::new(|_| {}));
    let mut out = io::stdout();
    if let Some(seed) = arguments.replay {
        return match run(seed, None, arguments.verbose) {
            Ok(run) => writeln!(out, "seed {seed}: {run:?}").map(|()| ExitCode::SUCCESS),
            Err(failure) => writeln!(out, "{failure}").map(|()| ExitCode::FAILURE),
        };
    }
    let seeds = arguments.from..arguments.from + arguments.seeds;
    if arguments.planted {
        let hunt = hunt_all(seeds);
        writeln!(out, "{hunt}")?;
        return Ok(ExitCode::from(u8::from(hunt.caught() < hunt.planted())));
    }
    #[expect(clippy::disallowed_methods, reason = "what the speed is measured by")]
    let began = Instant::now();
    let campaign = survey(seeds);
    writeln!(out, "{}", campaign.summary(began.elapsed()))?;
    Ok(ExitCode::from(u8::from(!campaign.failures.is_empty())))
}

//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures the broker and the state service side by side with their peers.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Requests: rate, CPU of the broker, latency, memory
    Request(Options),
    /// A bus: rate and CPU of the broker, and a peer that stands still
    Bus(Options),
    /// The state service: rate and CPU of sets and gets, and reads beside a flood of writes
    State(StateOptions),
    /// The state service with very many keys: time to open, memory, rates; minutes, and gigabytes of disk
    StateLarge(LargeOptions),
    /// Runs a broker to be measured, until it is killed
    #[command(hide = true)]
    Peer { broker: OwnBroker },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs of each broker, alternating; the table shows medians [default: 7, 1 with --quick]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Seconds that are measured in each run [default: 0.5, 0.2 with --quick]
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// A smoke run of under a minute
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only rows that contain this, such as "MDP/0.3 window=500" or memory
    #[arg(long)]
    pub(crate) only: Option<String>,
    /// JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StateOptions {
    #[command(flatten)]
    pub(crate) series: Options,
    /// Where stores are made for a run, on the disk that is measured
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    pub(crate) folder: PathBuf,
    /// Nobody subscribes to the changes, of any service
    #[arg(long)]
    pub(crate) unsubscribed: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LargeOptions {
    /// How many keys
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keys: u64,
    /// Seconds that each rate is measured
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Where the store is made, on the disk that is measured
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    pub(crate) folder: PathBuf,
    /// JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// A broker that this program runs itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OwnBroker {
    Plantd,
    PlantdState,
    LibzmqMdp,
    LibzmqForward,
    ZeromqForward,
    LibzmqProxy,
    ZeromqBus,
}

impl Options {
    pub(crate) fn runs(&self) -> u32 {
        self.runs.unwrap_or(if self.quick { 1 } else { 7 })
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 0.2 } else { 0.5 })
    }

    /// Whether a row of this name is wanted.
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.only.as_ref().is_none_or(|text| row.contains(text))
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (0.01..=600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("expected 0.01 to 600".to_owned())
    }
}

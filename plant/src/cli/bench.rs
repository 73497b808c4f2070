//! The options of `bench`.

use std::time::Duration;

use clap::{Args, Subcommand};
use plantd_client::ServiceName;

use crate::output::units::parse_timeout;

/// How a load and its latencies are to be read.
const HONESTY: &str = "\
A latency is counted from the moment at which a request was due, not from when it could be sent.

With --rate requests are due at equal distances, whatever the service does (an open loop). While it
stalls, those that are due wait, and their waiting counts, as it does for people who wait.

With --window a request is due when another one has ended (a closed loop). A service that stalls
then holds back the load itself, and a long stall is seen by as few requests as the window has: this
is called coordinated omission. Use --window to find the highest rate, and --rate below it to learn
about latencies.

The measured time ends with --duration or Ctrl-C; what is unanswered is then waited for. A second
Ctrl-C gives that up too. Both print the report.";

/// The same for a bus.
const BUS_HONESTY: &str = "\
One source publishes on a topic of its own, org.plantd.bench.<number>; those who subscribe to
everything get it too. Each message is counted by every sink: received, missed (dropped on the way), or
outstanding when --timeout has passed after the end. A body has 8 bytes at least.

A latency is counted from the moment at which a message was due to the moment at which a sink gives
it. With --rate messages are due at equal distances, whatever the bus does. With --window so many are
on their way to the slowest sink, which finds the highest rate at which nothing is lost, and says
little about latencies: a bus that stalls holds back the load (coordinated omission).

The measured time ends with --duration or Ctrl-C. A second Ctrl-C no longer waits for what is on its
way. Both print the report.";

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Ask a service again and again: rate, latencies and errors
    Request(BenchRequestArguments),
    /// Publish on a bus and subscribe to it: rate, latencies and losses
    Bus(BenchBusArguments),
}

#[derive(Debug, Args)]
#[command(after_help = HONESTY)]
pub(crate) struct BenchRequestArguments {
    /// The name of the service
    pub(crate) service: ServiceName,

    /// A frame of the body each [default: one frame of --size bytes]
    #[arg(conflicts_with = "size")]
    pub(crate) body: Vec<String>,

    #[command(flatten)]
    pub(crate) load: LoadArguments,
}

#[derive(Debug, Args)]
#[command(after_help = BUS_HONESTY)]
pub(crate) struct BenchBusArguments {
    /// The name of the bus; `plant bus list` lists them
    pub(crate) bus: String,

    /// How many sinks subscribe
    #[arg(short = 'k', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) sinks: u32,

    #[command(flatten)]
    pub(crate) load: LoadArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// How many are due a second, at equal distances
    #[arg(short, long, value_name = "N", conflicts_with = "window", value_parser = parse_rate)]
    rate: Option<f64>,

    /// How many are unanswered, or on their way, at once, instead of a rate
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    window: u32,

    /// How long to go on
    #[arg(short, long, value_name = "DURATION", default_value = "10s", value_parser = parse_timeout)]
    pub(crate) duration: Duration,

    /// How large each one is, in bytes
    #[arg(short, long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(..=4 << 20))]
    pub(crate) size: u32,
}

/// What is asked of those who answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Load {
    /// So many a second.
    Rate(f64),
    /// So many unanswered.
    Window(u32),
}

impl LoadArguments {
    pub(crate) fn load(&self) -> Load {
        match self.rate {
            Some(rate) => Load::Rate(rate),
            None => Load::Window(self.window),
        }
    }
}

impl Load {
    /// The rate, or the window.
    pub(crate) fn parts(self) -> (Option<f64>, Option<u32>) {
        match self {
            Self::Rate(rate) => (Some(rate), None),
            Self::Window(window) => (None, Some(window)),
        }
    }
}

fn parse_rate(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(rate) if (0.001..=1e7).contains(&rate) => Ok(rate),
        Ok(_) | Err(_) => Err("give 0.001 to 10000000 a second"),
    }
}

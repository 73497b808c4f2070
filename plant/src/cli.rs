//! The commands and their options.

mod bench;
mod bus;
mod state;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use plantd_client::{Endpoint, ServiceName};

use crate::failure::EXIT_CODES;
use crate::output::Format;
use crate::output::units::{parse_duration, parse_timeout};

pub(crate) use bench::{
    BenchArguments, BenchBusArguments, BenchCommand, BenchRequestArguments, Load,
};
pub(crate) use bus::{
    BusArguments, BusChoice, BusCommand, PubArguments, Shown, SubArguments, TopArguments,
};
pub(crate) use state::{
    BatchArguments, CasArguments, DeleteArguments, ExportArguments, GetArguments, HistoryArguments,
    ImportArguments, ListArguments, RestoreArguments, ServiceCommand, SetArguments, StateArguments,
    StateCommand, TouchArguments, ValueArguments, WatchArguments,
};

/// Calls, serves and looks at the services of a plantd broker
#[derive(Debug, Parser)]
#[command(name = "plant", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Options {
    /// A broker, tcp://host:port or ipc://path; of several, any one answers
    #[arg(
        short,
        long,
        global = true,
        value_name = "ENDPOINT",
        env = "PLANT_BROKER",
        value_delimiter = ',',
        default_value = "tcp://127.0.0.1:9797"
    )]
    pub(crate) broker: Vec<Endpoint>,

    /// How results are written: for people, or as JSON, a line for each
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) output: Format,

    /// How long to wait, such as 30s, 250ms or 2m [default: 2s for the broker, 5s for an answer]
    #[arg(short, long, global = true, value_name = "DURATION", value_parser = parse_timeout)]
    pub(crate) timeout: Option<Duration>,

    /// What carries the messages: plantd's own ZMTP, or the zeromq crate
    #[arg(long, global = true, value_name = "NAME", default_value = "plantd")]
    pub(crate) transport: Transport,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask a service, and print its answer
    Request(RequestArguments),
    /// Serve a service until Ctrl-C
    Worker(WorkerArguments),
    /// List the services that the broker knows
    Services,
    /// List the workers of all services or of one
    Workers {
        /// Only the workers of this service; exit 3 when there are none
        service: Option<ServiceName>,
    },
    /// Show the broker's version, counts and limits
    Broker,
    /// Measure the round trip to the broker
    Ping(PingArguments),
    /// Subscribe to buses, and publish on them
    Bus(BusArguments),
    /// Measure an installation under a load
    Bench(BenchArguments),
    /// Read, write and look after what is kept by scope and key
    State(StateArguments),
    /// Print the completions for a shell, to be sourced by it
    Completions { shell: Shell },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plant request org.plantd.module.Echo hello
  plant request org.plantd.module.Echo first second      two frames
  date | plant request org.plantd.module.Echo -          stdin
  plant request --count 1000 --parallel 50 org.plantd.module.Echo hello

A worker can be lost after it did the work: by default another one then does it again. What must
not be done twice says --retry never.")]
pub(crate) struct RequestArguments {
    /// The name of the service
    pub(crate) service: ServiceName,

    /// A frame of the body each; `-` reads one from stdin
    pub(crate) body: Vec<String>,

    /// A frame from a file, after those above; may be repeated
    #[arg(short, long, value_name = "PATH")]
    pub(crate) file: Vec<PathBuf>,

    /// How many requests to send
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,

    /// How many of them may be unanswered at once
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) parallel: u32,

    /// How often the request may be given to a worker: a number, or never again
    #[arg(long, value_name = "never|N", default_value = "3")]
    pub(crate) retry: Retry,

    /// Print the parts of the answer as they come
    #[arg(short, long, conflicts_with_all = ["count", "parallel"])]
    pub(crate) stream: bool,

    /// How many parts the worker may send ahead
    #[arg(long, value_name = "N", default_value_t = 16, requires = "stream", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,

    /// Write the bytes of the answer as they are, without line ends
    #[arg(short, long)]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plant worker org.example.Echo --echo
  plant worker org.example.Upper --exec 'tr a-z A-Z'
  plant worker org.example.Resize --concurrency 4 --exec 'convert - -resize 50% png:-'

A command gets the body on its stdin, several frames one after the other. What it writes to stdout
is the answer. If it fails, the client gets an error with the last it wrote to stderr. If nobody
waits for the answer any more, it is killed.")]
pub(crate) struct WorkerArguments {
    /// The name of the service
    pub(crate) service: ServiceName,

    #[command(flatten)]
    pub(crate) action: ActionArguments,

    /// How many requests to work on at once
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) concurrency: u32,

    /// The name of this worker in the broker's lists
    #[arg(long, default_value = "plant")]
    pub(crate) name: String,

    /// Print a line for each request
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ActionArguments {
    /// Answer a body with the same body
    #[arg(long)]
    pub(crate) echo: bool,

    /// Answer with what a command makes of the body; run by `sh -c`
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PingArguments {
    /// How often to ask; 0 = until Ctrl-C
    #[arg(short = 'n', long, value_name = "N", default_value_t = 4)]
    pub(crate) count: u64,

    /// The time from one question to the next
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(crate) interval: Duration,
}

/// How often a request may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    Never,
    AtMost(u32),
}

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    Plantd,
    Zeromq,
}

impl std::str::FromStr for Retry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("never", _) => Ok(Self::Never),
            (_, Ok(most @ 1..)) => Ok(Self::AtMost(most)),
            (_, _) => Err("write never, or a number from 1"),
        }
    }
}

impl From<Transport> for plantd_client::Transport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Plantd => Self::Plantd,
            Transport::Zeromq => Self::Zeromq,
        }
    }
}

/// The completions of a shell, to be printed.
pub(crate) fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "plant", &mut script);
    script
}

#[cfg(test)]
mod tests;

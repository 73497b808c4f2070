//! The options of `bus`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use plantd_client::{Endpoint, Topic};

use crate::output::units::{parse_duration, parse_timeout};

#[derive(Debug, Args)]
pub(crate) struct BusArguments {
    #[command(subcommand)]
    pub(crate) command: BusCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BusCommand {
    /// List the buses of the broker, with what passes over them
    List,
    /// Print what is published
    Sub(SubArguments),
    /// Publish something
    Pub(PubArguments),
    /// Show topics by what is published on them, again and again
    Top(TopArguments),
}

/// Which bus is meant.
#[derive(Debug, Args)]
pub(crate) struct BusChoice {
    /// The bus, by its name at the broker
    #[arg(long, value_name = "NAME", conflicts_with = "endpoint")]
    pub(crate) bus: Option<String>,

    /// Where the bus is, without asking a broker; may be repeated, or separated by commas
    #[arg(long, value_name = "ENDPOINT", value_delimiter = ',')]
    pub(crate) endpoint: Vec<Endpoint>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plant bus sub                                          all topics of all buses
  plant bus sub --bus metric org.plantd.metric.
  plant bus sub --endpoint tcp://127.0.0.1:11001 --json
  plant bus sub --rate

A topic stands for all that begin with it. What was published and did not come is told where its
publisher counts, as those of plantd's library do.")]
pub(crate) struct SubArguments {
    /// What to subscribe to [default: everything]
    #[arg(value_parser = parse_topic)]
    pub(crate) topic: Vec<Topic>,

    #[command(flatten)]
    pub(crate) choice: BusChoice,

    #[command(flatten)]
    pub(crate) shown: Shown,

    /// End after this many publications
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max: Option<u64>,

    /// End after this time [default: go on until Ctrl-C]
    #[arg(short, long, value_name = "DURATION", value_parser = parse_timeout)]
    pub(crate) duration: Option<Duration>,
}

/// What is printed of publications.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Shown {
    /// Write the bytes of the bodies as they are, without line ends
    #[arg(short, long)]
    pub(crate) raw: bool,

    /// Print JSON, as --output json does
    #[arg(long)]
    pub(crate) json: bool,

    /// Only count, and print the sums at the end
    #[arg(short, long)]
    pub(crate) count: bool,

    /// Only count, and print the rates each second
    #[arg(long)]
    pub(crate) rate: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plant bus pub --bus event org.example.greeting hello
  date | plant bus pub --bus event org.example.date -
  plant bus pub --endpoint tcp://127.0.0.1:12000 org.example.n 1 --count 100 --interval 10ms

Ends when the broker has read everything; who got it is not known.")]
pub(crate) struct PubArguments {
    /// What it is about
    #[arg(value_parser = parse_topic)]
    pub(crate) topic: Topic,

    /// A frame of the body each; `-` reads one from stdin
    pub(crate) body: Vec<String>,

    /// A frame from a file, after those above; may be repeated
    #[arg(short, long, value_name = "PATH")]
    pub(crate) file: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) choice: BusChoice,

    /// A property beside the body; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = parse_property)]
    pub(crate) property: Vec<(String, String)>,

    /// How often to publish it
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,

    /// The time from one to the next
    #[arg(short, long, value_name = "DURATION", default_value = "0", value_parser = parse_duration)]
    pub(crate) interval: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct TopArguments {
    /// What to subscribe to [default: everything]
    #[arg(value_parser = parse_topic)]
    pub(crate) topic: Vec<Topic>,

    #[command(flatten)]
    pub(crate) choice: BusChoice,

    /// The time from one table to the next
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = parse_timeout)]
    pub(crate) interval: Duration,

    /// How many topics to show
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rows: u32,

    /// How many tables to show [default: until Ctrl-C]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

fn parse_topic(text: &str) -> Result<Topic, String> {
    Topic::new(text).map_err(|error| error.to_string())
}

fn parse_property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("write NAME=VALUE".to_owned()),
    }
}

//! `plantd-bench`: the broker and the state service measured side by side with their peers.
//!
//! Every broker is a process of its own, so that its CPU and memory can be read from `/proc`. The
//! load is the same for all of them: encoded beforehand, on plain TCP, many messages to a read and
//! a write.

mod bus;
mod cli;
mod clock;
mod figures;
mod inbound;
mod loops;
mod nats;
mod process;
mod report;
mod request;
mod series;
mod state;
mod table;
mod template;
mod zmtp;

use clap::Parser as _;

use cli::{Cli, Command};

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Request(options) => request::run(&options),
        Command::Bus(options) => bus::run(&options),
        Command::State(options) => state::run(&options),
        Command::StateLarge(options) => state::run_large(&options),
        Command::Peer { broker } => loops::run(broker),
    }
}

//! `bench`: an installation under a load, as its users would see it.

mod bus;
mod latencies;
mod request;
mod ticks;

use tokio::task::JoinError;

use crate::cli::{BenchArguments, BenchCommand, Options};
use crate::failure::Failure;
use crate::output::Output;

use ticks::Ticks;

pub(crate) async fn run(
    options: &Options,
    arguments: BenchArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    match arguments.command {
        BenchCommand::Bus(arguments) => bus::run(options, arguments, output).await,
        BenchCommand::Request(arguments) => request::run(options, arguments, output).await,
    }
}

/// The next tick; never, where a window says when to send.
async fn next(ticks: Option<&Ticks>) {
    match ticks {
        Some(ticks) => ticks.next().await,
        None => std::future::pending().await,
    }
}

fn panicked(error: JoinError) -> Failure {
    Failure::System {
        what: "wait for an answer".to_owned(),
        error: error.into(),
    }
}

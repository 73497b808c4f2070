//! `bench`: an installation under a load, as its users would see it.

mod latencies;
mod request;
mod ticks;

use crate::cli::{BenchArguments, BenchCommand, Options};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) async fn run(
    options: &Options,
    arguments: BenchArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    match arguments.command {
        BenchCommand::Request(arguments) => request::run(options, arguments, output).await,
    }
}

//! Which command is done by which part.

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::output::Output;
use crate::{bench, bus, cli, listing, ping, request, state, worker};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(cli: Cli, output: &mut Output) -> Result<(), Failure> {
    let Cli { options, command } = cli;
    match command {
        Command::Request(arguments) => request::run(&options, arguments, output).await,
        Command::Worker(arguments) => worker::run(&options, arguments, output).await,
        Command::Services => listing::services(&options, output).await,
        Command::Workers { service } => listing::workers(&options, service, output).await,
        Command::Broker => listing::broker(&options, output).await,
        Command::Ping(arguments) => ping::run(&options, &arguments, output).await,
        Command::Bus(arguments) => bus::run(&options, arguments, output).await,
        Command::Bench(arguments) => bench::run(&options, arguments, output).await,
        Command::State(arguments) => state::run(&options, arguments, output).await,
        Command::Completions { shell } => output.bytes(&cli::completions(shell)),
    }
}

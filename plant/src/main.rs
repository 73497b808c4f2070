//! `plant`: calls, serves and looks at the services of a plantd broker.

mod bench;
mod bus;
mod cli;
mod connect;
mod dispatch;
mod failure;
mod input;
mod listing;
mod output;
mod ping;
mod request;
mod signals;
mod state;
mod stopwatch;
mod worker;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use cli::Cli;
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return answer_instead(&error),
    };
    let mut output = Output::stdout(cli.options.output);
    match dispatch::run(cli, &mut output).and_then(|()| output.finish()) {
        Ok(()) | Err(Failure::ReaderLeft) => ExitCode::SUCCESS,
        Err(failure) => {
            // Without a stderr there is nobody left to tell.
            let _ = writeln!(io::stderr(), "plant: {failure}");
            failure.exit_code()
        }
    }
}

/// Prints help, the version, or what is wrong with the arguments.
fn answer_instead(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() {
        failure::USAGE.into()
    } else {
        ExitCode::SUCCESS
    }
}

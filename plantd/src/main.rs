//! `plantd`: the broker and its modules in one process.

mod config;
mod parts;
mod welcome;

use std::process::ExitCode;

use plantd_daemon::run_main;

fn main() -> ExitCode {
    run_main(parts::run)
}

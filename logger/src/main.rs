//! `plantd-logger`: the logger as a process.

use std::process::ExitCode;

use plantd_daemon::run_main;

fn main() -> ExitCode {
    run_main(plantd_logger::run)
}

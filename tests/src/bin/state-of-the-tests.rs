//! The state service as a process that this crate's tests can start.

use std::process::ExitCode;

use plantd_daemon::run_main;

fn main() -> ExitCode {
    run_main(plantd_state::run)
}

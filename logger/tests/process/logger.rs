//! The logger as a process.

use std::path::Path;
use std::process::Command;

/// A logger that is not started yet: no environment, free ports, a short batch.
pub(crate) fn command(bus: &str, database: &str, spool: &Path) -> Command {
    let program = env!("CARGO_BIN_EXE_plantd-logger");
    let mut command = plantd_test_process::program(program, env!("CARGO_TARGET_TMPDIR"));
    command
        .args(["--health-port", "0", "--bus-endpoint", bus])
        .args(["--database", database, "--batch-interval", "50ms"])
        .arg("--spool-directory")
        .arg(spool);
    command
}

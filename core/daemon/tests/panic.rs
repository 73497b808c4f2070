//! A daemon that panics: one line of the log, exit code 1. It is this program, started by itself.

use std::env;
use std::process::{Command, ExitCode};

use plantd_daemon::config::{Settings, Shared};
use plantd_daemon::run_main;
use serde::{Deserialize, Serialize};

const IS_DAEMON: &str = "PLANTD_TESTS_PANIC";

#[derive(Serialize, Deserialize)]
struct Config {
    #[serde(flatten)]
    shared: Shared,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shared: Shared::without_health(),
        }
    }
}

impl Settings for Config {
    const NAME: &'static str = "panic";
    const ABOUT: &'static str = "A daemon that panics.";
    const HELP: &'static [(&'static str, &'static str)] = &[];

    fn shared(&self) -> &Shared {
        &self.shared
    }
}

fn main() -> ExitCode {
    if env::var_os(IS_DAEMON).is_some() {
        return run_main(|_: Config, _| async { panic!("two\nlines") });
    }
    let program = env::current_exe().expect("this program has a path");
    let output = Command::new(program)
        .env_clear()
        .env(IS_DAEMON, "1")
        .output()
        .expect("this program starts");

    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    assert_eq!(
        (stdout.lines().count(), stderr.as_ref()),
        (1, ""),
        "{stdout}"
    );
    assert!(
        stdout.contains(r#""level":"error","service":"panic","context":"daemon.panic""#),
        "{stdout}"
    );
    assert!(
        stdout.contains(r#""message":"panicked: two\nlines""#),
        "{stdout}"
    );
    ExitCode::SUCCESS
}

//! Arguments that cannot be used, help, and completions.

use crate::harness::{Ended, plant};

fn run(arguments: &[&str]) -> Ended {
    Ended::of(plant(arguments).output().unwrap())
}

#[test]
fn wrong_usage_is_exit_code_64() {
    for arguments in [
        &["request"][..],
        &["reqest", "x", "y"],
        &["request", "two words", "x"],
        &["worker", "x"],
        &["services", "--broker", "here"],
        &["services", "--broker", "tcp://127.0.0.1:0"],
        &["request", "x", "-", "-"],
        &["request", "x", "y", "--raw", "--output", "json"],
        &["state", "get", "x", "y", "--raw", "--output", "json"],
        &["state", "set", "x", "y"],
        &["state", "cas", "x", "y", "latest", "1"],
        &["state", "watch", "x", "--from", "3", "--snapshot"],
        &[],
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(64), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let ended = run(&["--help"]);
    assert_eq!(ended.code, Some(0));
    for word in [
        "request",
        "worker",
        "services",
        "workers",
        "broker",
        "ping",
        "bench",
        "state",
        "completions",
        "Exit codes",
    ] {
        assert!(ended.stdout.contains(word), "{word}");
    }
    let version = format!("plant {}\n", env!("CARGO_PKG_VERSION"));
    run(&["--version"]).printed(&version);
}

#[test]
fn completions_are_a_script_of_the_shell() {
    for (shell, mark) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef plant"),
        ("fish", "complete -c plant"),
    ] {
        let ended = run(&["completions", shell]);
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.contains(mark), "{shell}");
    }
}

//! What the command line takes and refuses.

use super::*;

fn parsed(arguments: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(["plant"].iter().chain(arguments))
}

fn is_refused(arguments: &[&str]) -> bool {
    parsed(arguments).is_err_and(|error| error.use_stderr())
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn brokers_are_repeated_or_separated_by_commas() {
    let brokers = |arguments: &[&str]| {
        let cli = parsed(arguments).unwrap();
        cli.options.brokers()
    };
    assert_eq!(
        brokers(&["services", "-b", "tcp://a:1", "-b", "ipc:///tmp/b"]),
        "tcp://a:1, ipc:///tmp/b"
    );
    assert_eq!(
        brokers(&["services", "-b", "tcp://a:1,tcp://b:2"]),
        "tcp://a:1, tcp://b:2"
    );
}

#[test]
fn a_worker_either_echoes_or_executes() {
    assert!(parsed(&["worker", "x", "--echo"]).is_ok());
    assert!(parsed(&["worker", "x", "--exec", "cat"]).is_ok());
    assert!(is_refused(&["worker", "x"]));
    assert!(is_refused(&["worker", "x", "--echo", "--exec", "cat"]));
}

#[test]
fn retry_is_never_or_a_number() {
    assert_eq!("never".parse(), Ok(Retry::Never));
    assert_eq!("1".parse(), Ok(Retry::AtMost(1)));
    for text in ["0", "-1", "Never", ""] {
        assert!(text.parse::<Retry>().is_err(), "{text}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for arguments in [
        &["request"][..],
        &["request", "a b", "x"],
        &["request", "x", "y", "--count", "0"],
        &["request", "x", "y", "--parallel", "5000"],
        &["request", "x", "y", "--stream", "--count", "2"],
        &["request", "x", "y", "--window", "4"],
        &["request", "x", "y", "--timeout", "0"],
        &["bench"],
        &["bench", "request"],
        &["bench", "request", "x", "--rate", "0"],
        &["bench", "request", "x", "--rate", "1", "--window", "1"],
        &["bench", "request", "x", "--window", "0"],
        &["bench", "request", "x", "body", "--size", "5"],
        &["bench", "request", "x", "--duration", "0"],
        &["services", "--broker", "127.0.0.1:9797"],
        &["services", "--output", "yaml"],
        &["services", "extra"],
        &[],
    ] {
        assert!(is_refused(arguments), "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_no_refusals() {
    for arguments in [["--help"], ["--version"]] {
        assert!(
            parsed(&arguments).is_err_and(|error| !error.use_stderr()),
            "{arguments:?}"
        );
    }
}

#[test]
fn completions_know_the_commands() {
    let script = String::from_utf8(completions(Shell::Bash)).unwrap();
    assert!(script.contains("request") && script.contains("--transport"));
}

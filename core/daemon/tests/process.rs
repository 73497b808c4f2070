//! A daemon as a process: what it prints, how signals end it, its exit codes.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::env;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use plantd_test_process::{Process, poll};

/// `examples/daemon.rs`, which cargo builds with the tests.
fn example() -> Command {
    program("daemon")
}

fn program(example: &str) -> Command {
    let tests = env::current_exe().unwrap();
    let path = tests
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples")
        .join(example);
    assert!(
        path.is_file(),
        "{} is built by `cargo test` of the whole package",
        path.display()
    );
    let mut command = plantd_test_process::program(path, ".");
    command.stderr(Stdio::piped());
    command
}

fn finished(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An example that has started.
fn started(arguments: &[&str]) -> Process {
    let process = Process::start(example().args(["--health-port", "0"]).args(arguments));
    process.line_of("example.started");
    process
}

#[test]
fn either_signal_drains_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let mut daemon = started(&[]);
        assert!(daemon.get("/readyz").starts_with("HTTP/1.1 200 "));
        daemon.signal(signal);
        daemon.line_of("daemon.stopped");
        assert_eq!(daemon.exit_code(), Some(0), "{signal}");
    }
}

#[test]
fn a_drain_is_seen_in_readyz_and_a_second_signal_ends_it_with_1() {
    let mut daemon = started(&["--drain", "1h", "--shutdown-timeout", "2h"]);
    daemon.signal("TERM");
    daemon.line_of("daemon.drain");
    poll(|| {
        daemon
            .get("/readyz")
            .starts_with("HTTP/1.1 503 ")
            .then_some(())
    });
    assert!(daemon.get("/livez").starts_with("HTTP/1.1 200 "));
    daemon.signal("INT");
    daemon.line_of("daemon.abort");
    assert_eq!(daemon.exit_code(), Some(1));
}

#[test]
fn a_drain_over_its_deadline_exits_1() {
    let mut daemon = started(&["--drain", "1h", "--shutdown-timeout", "1ms"]);
    daemon.signal("TERM");
    let line = daemon.line_of("daemon.failed");
    assert!(
        line["message"]
            .as_str()
            .unwrap()
            .contains("shutdown_timeout"),
        "{line}"
    );
    assert_eq!(daemon.exit_code(), Some(1));
}

#[test]
fn a_refused_configuration_exits_64_with_every_error() {
    let output = finished(
        example()
            .args(["--broker-endpoint", "here"])
            .env("PLANTD_EXAMPLE_HEALTH_PORT", "x"),
    );
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(text(&output.stdout), "");
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("broker_endpoint = \"here\" (--broker-endpoint): expected tcp://host:port"),
        "{stderr}"
    );
    assert!(
        stderr
            .contains("health_port = \"x\" (PLANTD_EXAMPLE_HEALTH_PORT): expected a whole number"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 3, "{stderr}");
}

#[test]
fn a_taken_health_port_is_one_line_that_names_the_key_and_exits_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = finished(example().args(["--health-port", &port]));
    assert_eq!(output.status.code(), Some(1));
    let stdout = text(&output.stdout);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(
        stdout.contains("health_port") && stdout.contains(&port) && stdout.contains("in use"),
        "{stdout}"
    );
}

#[test]
fn a_log_file_that_cannot_be_opened_is_one_line_and_exits_1() {
    let output = finished(example().args(["--log-file", "/nowhere/example.log"]));
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.lines().count() == 1 && stderr.contains("open log_file /nowhere/example.log: "),
        "{stderr}"
    );
}

#[test]
fn help_and_version_print_and_exit_0() {
    for (argument, expected) in [
        ("--help", "--broker-endpoint"),
        ("--version", "plantd-example 0.1.0"),
    ] {
        let output = finished(example().arg(argument));
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains(expected));
    }
}

#[test]
fn a_reader_of_the_log_that_goes_away_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("example.log");
    let mut daemon = started(&["--log-file", log.to_str().unwrap(), "--log-level", "trace"]);
    daemon.leave_log();
    assert!(daemon.get("/healthz").starts_with("HTTP/1.1 200 "));
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code(), Some(0));
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(
        lines
            .lines()
            .any(|line| line.contains(r#""context":"daemon.stopped""#)),
        "{lines}"
    );
}

#[test]
fn an_unset_health_port_serves_none() {
    let mut child = example()
        .env("PLANTD_EXAMPLE_HEALTH_PORT", "")
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains("example.started"), "{line}");
}

#[test]
fn a_part_has_its_own_configuration_health_and_service() {
    let mut process = Process::start(program("parts").env("PLANTD_PART_ONE_HEALTH_PORT", "0"));
    assert_eq!(process.line_of("part.started")["service"], "part-one");
    assert!(process.get("/readyz").starts_with("HTTP/1.1 200 "));
    process.signal("TERM");
    assert_eq!(process.line_of("daemon.stopped")["service"], "parts");
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn a_refused_configuration_of_a_part_exits_64() {
    let output = finished(program("parts").env("PLANTD_PART_ONE_HEALTH_PROT", "0"));
    assert_eq!(output.status.code(), Some(64));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("the nearest known one is PLANTD_PART_ONE_HEALTH_PORT"),
        "{stderr}"
    );
}

//! A short round of each kind; `cargo run --release -p plantd-faults` plays long ones.

use std::path::Path;
use std::time::Duration;

use plantd_faults::{Report, Round, play};

#[track_caller]
fn keeps_every_promise(round: Round, milliseconds: u64) {
    let program = Path::new(env!("CARGO_BIN_EXE_faults"));
    let time = Duration::from_millis(milliseconds);
    let outcome = play(round, program, 1, time);
    let mut report = Report::new(1);
    let line = report.add(outcome.clone());
    assert_eq!(outcome.violations, [""; 0], "{line}");
    assert!(outcome.strikes > 0 && outcome.answered > 0, "{line}");
}

#[test]
fn requests_outlive_the_workers_that_had_them() {
    keeps_every_promise(Round::WorkersKilled, 2000);
}

#[test]
fn requests_outlive_their_broker() {
    keeps_every_promise(Round::BrokerKilled, 3000);
}

#[test]
fn nobody_is_lost_who_was_stopped() {
    keeps_every_promise(Round::Stopped, 2000);
}

#[test]
fn connections_that_stall_break_and_split_lose_nothing() {
    keeps_every_promise(Round::Proxy, 3000);
}

#[test]
fn a_broker_without_descriptors_serves_whom_it_has() {
    keeps_every_promise(Round::Descriptors, 100);
}

#[test]
fn five_thousand_half_handshakes_cost_nobody_a_request() {
    keeps_every_promise(Round::HalfHandshakes, 100);
}

#[test]
fn clients_that_never_read_cost_nobody_a_request() {
    keeps_every_promise(Round::Unread, 1500);
}

#[test]
fn memory_stays_within_its_limit() {
    keeps_every_promise(Round::Memory, 2000);
}

#[test]
fn sources_and_sinks_are_back_after_their_broker_and_every_gap_is_told() {
    keeps_every_promise(Round::Bus, 3000);
}

#[test]
fn everything_at_once_loses_nothing() {
    keeps_every_promise(Round::Everything, 4000);
}

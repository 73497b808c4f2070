//! Seeds that once showed that something was wrong.
//!
//! What was wrong is among the planted bugs, so that each seed is seen to show it still. A change of
//! what seeds decide makes another seed show it, which `plantd_sim::hunt` finds.

use plantd_sim::{Bug, run};

#[track_caller]
fn assert_shows(seed: u64, bug: Bug) {
    if let Err(failure) = run(seed, None, false) {
        panic!("{failure}");
    }
    let shown = run(seed, Some(bug), false);
    assert!(shown.is_err(), "seed {seed} does not show {bug:?}");
}

/// The broker was stopped for more than a heartbeat, with a turn due in between. It took a worker
/// for silent whose heartbeat it had not read.
#[test]
fn a_turn_that_was_due_in_a_stop_does_not_shorten_it() {
    assert_shows(15, Bug::MeasureStopFromDue);
}

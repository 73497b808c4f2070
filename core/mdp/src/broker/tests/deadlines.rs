//! MDP/0.3: deadlines and the wait for a worker; conformance 64.

use std::time::Duration;

use super::*;

#[test]
fn a_deadline_ends_a_queued_request() {
    let mut plant = Plant::new();
    let client = plant.client();
    plant.asks_with(client, 1, &[("deadline-ms", "100")], "nobody", "hi");

    plant.passes(Duration::from_millis(99));
    plant.assert_silence(client);
    plant.passes(MS);

    assert_eq!(plant.takes_one(client).error(), (1, "timeout".to_owned()));
    plant.assert_failed(ErrorCode::Timeout, 1);
    plant.assert_nothing_is_held();
}

#[test]
fn the_queue_time_ends_before_a_longer_deadline() {
    let mut plant = Plant::new();
    let client = plant.client();
    plant.asks_with(client, 1, &[("deadline-ms", "60000")], "nobody", "hi");

    plant.passes(Duration::from_secs(30));

    assert_eq!(plant.takes_one(client).error(), (1, "no-worker".to_owned()));
}

#[test]
fn case_64_a_final_after_the_deadline_is_dropped_and_the_worker_serves_on() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks_with(client, 1, &[("deadline-ms", "100")], "echo", "hi");
    let request = plant.takes_one(worker);

    plant.passes(Duration::from_millis(100));
    assert_eq!(plant.takes_one(client).error(), (1, "timeout".to_owned()));
    plant.echoes(worker, &request);

    plant.assert_silence(client);
    plant.assert_silence(worker);
    plant.assert_rejected(&[Rejection::Orphaned]);
    plant.asks03(client, 2, "echo", "next");
    assert_eq!(plant.serves(worker), 1);
}

#[test]
fn a_deadline_is_decremented_at_each_dispatch() {
    let mut plant = Plant::new();
    let client = plant.client();
    plant.asks_with(client, 1, &[("deadline-ms", "1000")], "echo", "hi");

    plant.passes(Duration::from_millis(300));
    let first = plant.worker03("echo", 1);
    let request = plant.takes_one(first);
    assert_eq!(request.property("deadline-ms").as_deref(), Some("700"));
    assert_eq!(request.property("attempt"), None);

    plant.passes(Duration::from_millis(300));
    let second = plant.worker03("echo", 1);
    plant.closes(first);
    let request = plant.takes_one(second);
    assert_eq!(request.property("deadline-ms").as_deref(), Some("400"));
    assert_eq!(request.property("attempt").as_deref(), Some("2"));

    plant.passes(Duration::from_millis(400));
    assert_eq!(plant.takes_one(client).error(), (1, "timeout".to_owned()));
}

/// Events of one instant come in any order: the loss of a worker before the timer.
#[test]
fn a_request_whose_deadline_has_passed_is_not_dispatched_again() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker("echo"));
    plant.asks_with(client, 1, &[("deadline-ms", "100")], "echo", "hi");
    plant.takes_one(first);

    plant.now += Duration::from_millis(100);
    plant.closes(first);

    plant.assert_silence(second);
    assert_eq!(plant.takes_one(client).error(), (1, "timeout".to_owned()));
}

#[test]
fn a_deadline_beyond_all_time_is_none() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));

    plant.asks_with(
        client,
        1,
        &[("deadline-ms", "18446744073709551615")],
        "echo",
        "hi",
    );

    assert_eq!(plant.serves(worker), 1);
    assert_eq!(plant.takes(client).len(), 1);
}

#[test]
fn a_queue_time_of_0_fails_at_once() {
    let mut plant = Plant::with(|config| config.queue_timeout = Duration::ZERO);
    let client = plant.client();
    plant.asks03(client, 1, "echo", "hi");
    assert_eq!(plant.takes_one(client).error(), (1, "no-worker".to_owned()));
    plant.assert_nothing_is_held();

    let worker = plant.worker("echo");
    plant.asks03(client, 2, "echo", "hi");
    plant.asks03(client, 3, "echo", "busy");
    assert_eq!(plant.takes_one(client).error(), (3, "no-worker".to_owned()));
    assert_eq!(plant.serves(worker), 1);
    assert_eq!(plant.takes(client).len(), 1);
}

#[test]
fn a_request_that_had_a_worker_fails_as_worker_lost() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks03(client, 1, "echo", "hi");
    plant.closes(worker);

    plant.passes(Duration::from_secs(30));

    assert_eq!(
        plant.takes_one(client).error(),
        (1, "worker-lost".to_owned())
    );
    plant.assert_nothing_is_held();
}

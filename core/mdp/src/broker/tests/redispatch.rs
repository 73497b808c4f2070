//! What becomes of requests whose workers are lost or refuse; conformance 63.

use super::*;

#[test]
fn case_63_a_worker_lost_after_a_partial_ends_the_request() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker("echo"));
    plant.asks03(client, 1, "echo", "hi");
    let request = plant.takes_one(first);
    plant.sends(first, request.partial("part"));

    plant.closes(first);

    let received = plant.takes(client);
    assert_eq!(received.len(), 2);
    assert_eq!(
        received[0],
        frames!["MDPC03", 2, "echo", header(1, &[]), "part"]
    );
    assert_eq!(received[1].error(), (1, "worker-lost".to_owned()));
    plant.assert_silence(second);
    plant.assert_failed(ErrorCode::WorkerLost, 1);
}

#[test]
fn retry_never_forbids_another_attempt() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker("echo"));
    plant.asks_with(client, 1, &[("retry", "never")], "echo", "hi");
    plant.takes_one(first);

    plant.closes(first);

    assert_eq!(
        plant.takes_one(client).error(),
        (1, "worker-lost".to_owned())
    );
    plant.assert_silence(second);
    assert_eq!(plant.broker.tally().dead, 0);
}

#[test]
fn retry_is_a_maximum_within_the_brokers_own() {
    for (retry, attempts) in [("0", 1), ("1", 1), ("2", 2), ("3", 3), ("9", 3)] {
        let mut plant = Plant::new();
        let client = plant.client();
        plant.asks_with(client, 1, &[("retry", retry)], "echo", "hi");
        let mut served = 0;
        for _ in 0..5 {
            let worker = plant.worker("echo");
            served += plant.takes(worker).len();
            plant.closes(worker);
        }
        assert_eq!(served, attempts, "{retry}");
        assert_eq!(
            plant.takes_one(client).error(),
            (1, "worker-lost".to_owned())
        );
    }
}

#[test]
fn no_attempts_at_all_is_one() {
    let mut plant = Plant::with(|config| config.attempts = 0);
    let (client, worker) = (plant.client(), plant.worker("echo"));

    plant.asks_with(client, 1, &[("retry", "2")], "echo", "hi");

    assert_eq!(plant.serves(worker), 1);
    assert_eq!(plant.takes(client).len(), 1);
}

#[test]
fn a_lost_workers_requests_come_before_what_was_asked_later() {
    let mut plant = Plant::new();
    let client = plant.client();
    let lost = plant.worker03("echo", 3);
    for body in ["1", "2", "3", "4", "5"] {
        plant.asks(client, "echo", body);
    }
    assert_eq!(plant.takes(lost).len(), 3);

    plant.closes(lost);
    let other = plant.worker03("echo", 10);

    let bodies: Vec<Vec<u8>> = plant.takes(other).iter().flat_map(Frames::body).collect();
    assert_eq!(bodies, [b"1", b"2", b"3", b"4", b"5"]);
}

#[test]
fn workers_with_room_get_a_lost_workers_requests_in_order() {
    let mut plant = Plant::new();
    let client = plant.client();
    let lost = plant.worker03("echo", 4);
    for body in ["1", "2", "3", "4"] {
        plant.asks(client, "echo", body);
    }
    let requests = plant.takes(lost);
    plant.echoes(lost, &requests[0]);
    let other = plant.worker03("echo", 10);

    plant.closes(lost);

    let bodies: Vec<Vec<u8>> = plant.takes(other).iter().flat_map(Frames::body).collect();
    assert_eq!(bodies, [b"2", b"3", b"4"]);
}

/// The first request fails with its worker, and the service with it: the second must still find
/// its queue.
#[test]
fn the_last_worker_of_a_service_takes_no_request_with_it() {
    let mut plant = Plant::new();
    let client = plant.client();
    let lost = plant.worker03("echo", 3);
    plant.asks_with(client, 1, &[("retry", "never")], "echo", "a");
    plant.asks03(client, 2, "echo", "b");
    plant.asks_with(client, 3, &[("retry", "never")], "echo", "c");
    plant.takes(lost);

    plant.closes(lost);

    let errors: Vec<(u64, String)> = plant.takes(client).iter().map(Frames::error).collect();
    assert_eq!(
        errors,
        [(1, "worker-lost".to_owned()), (3, "worker-lost".to_owned())]
    );
    let other = plant.worker("echo");
    assert_eq!(plant.serves(other), 1);
    assert_eq!(
        plant.takes(client),
        [frames!["MDPC03", 3, "echo", header(2, &[]), "b"]]
    );
}

#[test]
fn all_of_a_lost_workers_requests_may_fail_with_it() {
    let mut plant = Plant::new();
    let client = plant.client();
    let lost = plant.worker03("echo", 3);
    for id in 1..=3 {
        plant.asks_with(client, id, &[("retry", "never")], "echo", "a");
    }
    plant.takes(lost);

    plant.closes(lost);

    assert_eq!(plant.takes(client).len(), 3);
    plant.assert_nothing_is_held();
}

#[test]
fn a_retryable_error_goes_to_another_worker() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");
    let request = plant.takes_one(first);

    plant.sends(
        first,
        request.fails_with(&[("code", "jam"), ("retryable", "true")]),
    );

    plant.assert_silence(first);
    let again = plant.takes_one(second);
    assert_eq!(again.property("attempt").as_deref(), Some("2"));
    plant.echoes(second, &again);
    assert_eq!(
        plant.takes(client),
        [frames!["MDPC03", 3, "echo", header(1, &[]), "hi"]]
    );
}

#[test]
fn a_retryable_error_is_final_when_the_attempts_are_used_up() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks_with(client, 1, &[("retry", "2")], "echo", "hi");
    let error = [("code", "jam"), ("message", "paper"), ("retryable", "true")];

    for _ in 0..2 {
        let request = plant.takes_one(worker);
        plant.sends(worker, request.fails_with(&error));
    }

    plant.assert_silence(worker);
    let told = [
        ("message", "paper"),
        ("retryable", "true"),
        ("worker-code", "jam"),
        ("code", "worker-error"),
    ];
    assert_eq!(
        plant.takes(client),
        [frames!["MDPC03", 4, "echo", header(1, &told)]]
    );
    plant.assert_failed(ErrorCode::WorkerError, 1);
}

#[test]
fn a_retryable_error_after_a_partial_is_final() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");
    let request = plant.takes_one(first);

    plant.sends(first, request.partial("part"));
    plant.sends(
        first,
        request.fails_with(&[("code", "jam"), ("retryable", "true")]),
    );

    plant.assert_silence(second);
    assert_eq!(
        plant.takes(client)[1].error(),
        (1, "worker-error".to_owned())
    );
}

#[test]
fn an_error_of_a_worker_is_final_and_told_with_its_own_code() {
    let mut plant = Plant::new();
    let (older, client) = (plant.client(), plant.client());
    let worker = plant.worker03("echo", 2);
    plant.asks(older, "echo", "hi");
    plant.asks03(client, 1, "echo", "hi");
    let requests = plant.takes(worker);

    plant.sends(worker, requests[0].fails_with(&[("code", "timeout")]));
    plant.sends(
        worker,
        requests[1].fails_with(&[("code", "timeout"), ("message", "m")]),
    );

    plant.assert_silence(older);
    let told = [
        ("message", "m"),
        ("worker-code", "timeout"),
        ("code", "worker-error"),
    ];
    assert_eq!(
        plant.takes(client),
        [frames!["MDPC03", 4, "echo", header(1, &told)]]
    );
    plant.assert_failed(ErrorCode::WorkerError, 2);
    plant.assert_rejected(&[]);
}

#[test]
fn a_worker_that_is_draining_returns_what_crossed_its_credit() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker03("echo", 1));
    plant.asks_with(client, 1, &[("retry", "never")], "echo", "hi");
    let request = plant.takes_one(first);

    plant.sends(first, frames!["MDPW03", 5, header(0, &[("credit", "0")])]);
    plant.sends(first, request.fails_with(&[("code", "draining")]));

    let again = plant.takes_one(second);
    assert_eq!(again.property("attempt"), None);
    plant.echoes(second, &again);
    assert_eq!(
        plant.takes(client),
        [frames!["MDPC03", 3, "echo", header(1, &[]), "hi"]]
    );
    plant.asks03(client, 2, "echo", "more");
    plant.assert_silence(first);
    assert_eq!(plant.serves(second), 1);
}

#[test]
fn a_return_after_a_partial_is_an_error_like_any_other() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");
    let request = plant.takes_one(first);

    plant.sends(first, request.partial("part"));
    plant.sends(first, request.fails_with(&[("code", "draining")]));

    let error = plant.takes(client).remove(1);
    assert_eq!(error.error(), (1, "worker-error".to_owned()));
    assert_eq!(error.property("worker-code").as_deref(), Some("draining"));
    plant.assert_silence(second);
}

#[test]
fn what_a_worker_leaves_behind_may_have_been_begun() {
    let mut plant = Plant::new();
    let client = plant.client();
    let leaving = plant.worker03("echo", 2);
    plant.asks03(client, 1, "echo", "again");
    plant.asks_with(client, 2, &[("retry", "never")], "echo", "once");
    assert_eq!(plant.takes(leaving).len(), 2);
    let other = plant.worker03("echo", 2);

    plant.falls_silent(leaving);
    plant.sends(leaving, frames!["MDPW03", 5, header(0, &[("credit", "0")])]);
    plant.sends(leaving, frames!["MDPW03", 6]);

    let again = plant.takes_one(other);
    assert_eq!(again.body(), [b"again"]);
    assert_eq!(again.property("attempt").as_deref(), Some("2"));
    let told = plant.takes_one(client);
    assert_eq!(told.error(), (2, "worker-lost".to_owned()));
}

#[test]
fn a_worker_may_say_that_a_request_is_too_large() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");
    let request = plant.takes_one(worker);

    plant.sends(
        worker,
        request.fails_with(&[("code", "too-large"), ("message", "m")]),
    );

    let told = header(1, &[("message", "m"), ("code", "too-large")]);
    assert_eq!(plant.takes(client), [frames!["MDPC03", 4, "echo", told]]);
    plant.assert_failed(ErrorCode::TooLarge, 1);
}

#[test]
fn a_request_that_is_returned_again_and_again_has_no_attempts_to_show() {
    let mut plant = Plant::with(|config| config.attempts = 2);
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");
    for _ in 0..50 {
        let request = plant.takes_one(worker);
        plant.sends(worker, request.fails_with(&[("code", "draining")]));
        plant.assert_silence(worker);
        plant.sends(worker, frames!["MDPW03", 5, header(0, &[("credit", "1")])]);
    }

    plant.closes(worker);
    let last = plant.worker("echo");
    plant.closes(last);

    assert_eq!(
        plant.takes_one(client).error(),
        (1, "worker-lost".to_owned())
    );
    plant.asks03(client, 2, "mmi.dead", "");
    let dead: serde_json::Value = serde_json::from_slice(&plant.takes_one(client).0[5]).unwrap();
    assert_eq!(dead["dead"][0]["attempts"].as_array().unwrap().len(), 2);
}

//! PARTIALs for clients that take one reply.

use super::*;

#[test]
fn partials_are_joined_for_mdp01() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.sends(client, frames!["", "MDPC01", "echo", "hi"]);
    let request = plant.takes_one(worker);

    plant.sends(worker, request.partial("1"));
    plant.sends(worker, frames!["MDPW02", 3, request.token(), "", "2", ""]);
    plant.assert_silence(client);
    plant.sends(worker, request.last("3"));

    assert_eq!(
        plant.takes(client),
        [frames!["", "MDPC01", "echo", "1", "2", "", "3"]]
    );
    plant.assert_nothing_is_held_but_workers(1);
}

#[test]
fn partials_are_joined_for_req_sockets() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.opens(true), plant.worker03("echo", 1));
    plant.sends(client, frames!["", "MDPC02", 1, "echo", "hi"]);
    let request = plant.takes_one(worker);

    plant.sends(worker, request.partial("1"));
    plant.sends(worker, request.last("2"));

    assert_eq!(
        plant.takes(client),
        [frames!["", "MDPC02", 3, "echo", "1", "2"]]
    );
}

#[test]
fn a_joined_reply_is_limited_like_any_message() {
    let limits: [fn(&mut Config); 2] = [
        |config| config.limits.body_frames = 3,
        |config| config.limits.body_bytes = 30,
    ];
    for limit in limits {
        let mut plant = Plant::with(limit);
        let (client, worker) = (plant.client(), plant.worker("echo"));
        plant.sends(client, frames!["", "MDPC01", "echo", "hi"]);
        let request = plant.takes_one(worker);
        for _ in 0..3 {
            plant.sends(worker, request.partial("0123456789"));
        }
        plant.assert_failed(ErrorCode::TooLarge, 0);

        plant.sends(worker, request.last("x"));

        plant.assert_silence(client);
        plant.assert_failed(ErrorCode::TooLarge, 1);
        plant.assert_nothing_is_held_but_workers(1);
        plant.sends(client, frames!["", "MDPC01", "echo", "next"]);
        assert_eq!(plant.serves(worker), 1);
    }
}

#[test]
fn parts_over_the_limit_end_the_request_before_its_final() {
    let mut plant = Plant::with(|config| config.limits.body_bytes = 30);
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.sends(client, frames!["", "MDPC01", "echo", "hi"]);
    let request = plant.takes_one(worker);

    for _ in 0..4 {
        plant.sends(worker, request.partial("0123456789"));
    }
    plant.assert_failed(ErrorCode::TooLarge, 1);
    plant.assert_nothing_is_held_but_workers(1);
    plant.sends(worker, request.last("x"));

    plant.assert_silence(client);
    plant.assert_silence(worker);
    plant.assert_rejected(&[Rejection::Orphaned]);
}

/// The limit is of the body, not of the buffers that its parts came in.
#[test]
fn parts_count_by_their_bytes() {
    let mut plant = Plant::with(|config| config.limits.body_bytes = 1000);
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.sends(client, frames!["", "MDPC01", "echo", "hi"]);
    let request = plant.takes_one(worker);
    let part = "x".repeat(100);

    for _ in 0..9 {
        plant.sends(worker, request.partial(&part));
    }
    plant.sends(worker, request.last(&part));

    assert_eq!(plant.takes(client)[0].0.len(), 3 + 10);
}

#[test]
fn joined_parts_do_not_forbid_another_attempt_and_are_forgotten_with_theirs() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker("echo"));
    plant.sends(client, frames!["", "MDPC01", "echo", "hi"]);
    let held_bytes = plant.broker.tally().held_bytes;
    let request = plant.takes_one(first);
    plant.sends(first, request.partial("lost"));
    assert!(plant.broker.tally().held_bytes > held_bytes);

    plant.closes(first);

    assert_eq!(plant.broker.tally().held_bytes, held_bytes);
    let again = plant.takes_one(second);
    plant.sends(second, again.partial("kept"));
    plant.sends(second, again.last("."));
    assert_eq!(
        plant.takes(client),
        [frames!["", "MDPC01", "echo", "kept", "."]]
    );
}

#[test]
fn a_retryable_error_forgets_joined_parts() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker03("echo", 1));
    plant.sends(client, frames!["", "MDPC01", "echo", "hi"]);
    let held_bytes = plant.broker.tally().held_bytes;
    let request = plant.takes_one(first);
    plant.sends(first, request.partial("lost"));

    plant.sends(first, request.fails_with(&[("retryable", "true")]));

    assert_eq!(plant.broker.tally().held_bytes, held_bytes);
    assert_eq!(plant.serves(second), 1);
    assert_eq!(plant.takes(client), [frames!["", "MDPC01", "echo", "hi"]]);
}

#[test]
fn joined_parts_stop_at_the_memory_limit() {
    let mut plant = Plant::with(|config| config.limits.memory_bytes = 4000);
    let worker = plant.worker03("echo", 10);
    let clients = [(); 3].map(|()| plant.client());
    for client in clients {
        plant.sends(client, frames!["", "MDPC01", "echo", "hi"]);
    }
    let requests = plant.takes(worker);
    let part = "x".repeat(1000);

    for request in requests.iter().cycle().take(9) {
        plant.sends(worker, request.partial(&part));
    }

    assert!(plant.broker.tally().held_bytes <= 4000);
    assert!(plant.broker.tally().failed(ErrorCode::Busy) > 0);
}

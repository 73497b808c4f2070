//! MDP/0.3: requests that end before their attempts; conformance 65.

use super::*;

#[test]
fn cancel_is_answered_at_once_and_told_to_the_worker() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 9, "echo", "hi");
    let request = plant.takes_one(worker);

    plant.sends(client, frames!["MDPC03", 5, "echo", header(9, &[])]);

    assert_eq!(plant.takes_one(client).error(), (9, "cancelled".to_owned()));
    let cancel = frames!["MDPW03", 9, request.token(), header(request.id(), &[])];
    assert_eq!(plant.takes(worker), [cancel]);
    plant.assert_failed(ErrorCode::Cancelled, 1);

    plant.asks03(client, 10, "echo", "waits for the slot");
    plant.assert_silence(worker);
    plant.sends(worker, request.fails_with(&[("code", "cancelled")]));
    assert_eq!(plant.serves(worker), 1);
    let reply = frames!["MDPC03", 3, "echo", header(10, &[]), "waits for the slot"];
    assert_eq!(plant.takes(client), [reply]);
    plant.assert_rejected(&[Rejection::Orphaned]);
}

#[test]
fn cancel_of_a_queued_request_leaves_nothing() {
    let mut plant = Plant::new();
    let client = plant.client();
    plant.asks03(client, 9, "echo", "hi");

    plant.sends(client, frames!["MDPC03", 5, "echo", header(9, &[])]);

    assert_eq!(plant.takes_one(client).error(), (9, "cancelled".to_owned()));
    plant.assert_nothing_is_held();
}

#[test]
fn case_65_cancel_after_final_is_ignored() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");
    assert_eq!(plant.serves(worker), 1);

    plant.sends(client, frames!["MDPC03", 5, "echo", header(1, &[])]);

    assert_eq!(
        plant.takes(client),
        [frames!["MDPC03", 3, "echo", header(1, &[]), "hi"]]
    );
    plant.assert_silence(worker);
    plant.assert_rejected(&[]);
}

#[test]
fn case_65_final_after_cancel_is_dropped() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");
    let request = plant.takes_one(worker);

    plant.sends(client, frames!["MDPC03", 5, "echo", header(1, &[])]);
    plant.echoes(worker, &request);

    assert_eq!(plant.takes_one(client).error(), (1, "cancelled".to_owned()));
    assert!(
        plant
            .takes(worker)
            .iter()
            .all(|received| !received.is_disconnect())
    );
    plant.assert_rejected(&[Rejection::Orphaned]);
}

#[test]
fn an_older_worker_is_not_told_of_a_cancel() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks03(client, 1, "echo", "hi");
    let request = plant.takes_one(worker);

    plant.sends(client, frames!["MDPC03", 5, "echo", header(1, &[])]);
    plant.assert_silence(worker);
    plant.sends(worker, request.partial("part"));
    plant.echoes(worker, &request);

    plant.assert_silence(worker);
    plant.assert_rejected(&[Rejection::Orphaned; 2]);
}

#[test]
fn an_orphaned_attempt_ends_only_once() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");
    let request = plant.takes_one(worker);
    plant.closes(client);
    plant.takes(worker);

    plant.echoes(worker, &request);
    plant.echoes(worker, &request);

    assert!(plant.takes_one(worker).is_disconnect());
    plant.assert_rejected(&[Rejection::Orphaned, Rejection::UnknownToken]);
}

#[test]
fn an_orphaned_attempt_is_not_given_to_another_worker() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker("echo"));
    plant.asks(client, "echo", "hi");
    plant.takes_one(first);
    plant.closes(client);

    plant.closes(first);

    plant.assert_silence(second);
    assert_eq!(plant.broker.tally().redispatches, 0);
    plant.assert_nothing_is_held_but_workers(1);
}

#[test]
fn tokens_die_with_their_connection() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks(client, "echo", "hi");
    let request = plant.takes_one(worker);
    plant.closes(worker);
    let again = plant.worker("echo");
    plant.takes_one(again);

    plant.echoes(again, &request);

    assert_eq!(plant.takes(again), [frames!["MDPW02", 6]]);
    plant.assert_silence(client);
    plant.assert_rejected(&[Rejection::UnknownToken]);
}

#[test]
fn each_attempt_has_a_token_of_its_own() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    let mut tokens = BTreeSet::new();
    for _ in 0..100 {
        plant.asks(client, "echo", "hi");
        let request = plant.takes_one(worker);
        plant.echoes(worker, &request);
        tokens.insert(request.token());
    }
    assert_eq!(tokens.len(), 100);
}

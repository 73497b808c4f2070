//! Conformance 71, and the broker's own drain.

use std::time::Duration;

use super::*;

#[test]
fn case_71_a_worker_drains_under_load_and_nothing_is_lost() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [leaving, staying] = [(); 2].map(|()| plant.worker03("echo", 4));
    for id in 1..=20 {
        plant.asks03(client, id, "echo", "hi");
    }
    let held = plant.takes(leaving);
    assert_eq!(held.len(), 4);

    plant.echoes(leaving, &held[0]);
    let crossing = plant.takes_one(leaving);
    plant.sends(leaving, frames!["MDPW03", 5, header(0, &[("credit", "0")])]);
    plant.sends(leaving, crossing.fails_with(&[("code", "draining")]));
    for request in &held[1..] {
        plant.echoes(leaving, request);
    }
    plant.assert_silence(leaving);
    plant.falls_silent(leaving);
    plant.sends(leaving, frames!["MDPW03", 6]);

    let mut served = held.len();
    while let requests = plant.takes(staying)
        && !requests.is_empty()
    {
        for request in requests {
            assert_eq!(request.property("attempt"), None);
            plant.echoes(staying, &request);
            served += 1;
        }
    }
    assert_eq!(served, 20);
    let mut ids: Vec<u64> = plant.takes(client).iter().map(Frames::id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
    plant.assert_rejected(&[]);
    assert_eq!(plant.broker.tally().failed(ErrorCode::WorkerLost), 0);
}

#[test]
fn a_drain_without_requests_dismisses_every_worker_at_once() {
    let mut plant = Plant::new();
    let (older, newer) = (plant.worker("a"), plant.worker03("b", 1));

    plant.drains();
    plant.passes(H);

    assert_eq!(plant.drained, 1);
    let heard = plant.hears(older);
    assert_eq!(heard, [(Duration::ZERO, frames!["MDPW02", 6])]);
    let heard = plant.hears(newer);
    assert_eq!(heard.len(), 1);
    assert_eq!(
        heard[0].1.property("message").as_deref(),
        Some("the broker is stopping")
    );
    assert!(
        plant
            .departures()
            .iter()
            .all(|(_, _, why)| *why == Departure::Draining)
    );
    plant.assert_nothing_is_held();
}

#[test]
fn a_drain_finishes_what_is_under_way() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "dispatched");
    plant.asks03(client, 2, "echo", "queued");
    let request = plant.takes_one(worker);

    plant.drains();
    assert_eq!(plant.drained, 0);
    plant.asks03(client, 3, "echo", "late");
    assert_eq!(plant.takes_one(client).error(), (3, "draining".to_owned()));
    plant.echoes(worker, &request);
    let request = plant.takes_one(worker);
    plant.echoes(worker, &request);

    assert_eq!(plant.takes(client).len(), 2);
    assert!(plant.takes_one(worker).is_disconnect());
    assert_eq!(plant.drained, 1);
    plant.assert_nothing_is_held();
}

#[test]
fn a_drain_fails_what_no_worker_can_take() {
    let mut plant = Plant::new();
    let client = plant.client();
    plant.asks03(client, 1, "nobody", "x");
    plant.asks03(client, 2, "nothing", "x");

    plant.drains();

    let errors: Vec<(u64, String)> = plant.takes(client).iter().map(Frames::error).collect();
    assert_eq!(
        errors,
        [(1, "draining".to_owned()), (2, "draining".to_owned())]
    );
    assert_eq!(plant.drained, 1);
}

#[test]
fn a_drain_outlives_the_loss_of_workers() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker("echo"));
    plant.asks03(client, 1, "echo", "x");
    plant.asks03(client, 2, "echo", "x");
    plant.asks03(client, 3, "echo", "x");
    plant.takes(first);
    plant.drains();

    plant.closes(first);
    assert_eq!(plant.drained, 0);
    plant.closes(second);

    let errors: Vec<String> = plant.takes(client).iter().map(|it| it.error().1).collect();
    assert_eq!(errors, ["draining"; 3]);
    assert_eq!(plant.drained, 1);
    plant.assert_nothing_is_held();
}

#[test]
fn a_draining_broker_takes_no_new_worker() {
    let mut plant = Plant::new();
    let (client, _worker) = (plant.client(), plant.worker("echo"));
    plant.asks(client, "echo", "hi");
    plant.drains();
    let late = plant.opens(false);

    plant.sends(late, frames!["MDPW02", 1, "echo"]);

    assert_eq!(plant.takes(late), [frames!["MDPW02", 6]]);
    plant.assert_rejected(&[Rejection::Draining]);
}

#[test]
fn a_draining_broker_answers_management() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks(client, "echo", "hi");
    plant.drains();
    assert!(plant.is_served("echo"));
    assert_eq!(plant.serves(worker), 1);
    assert!(!plant.is_served("echo"));
}

#[test]
fn the_deadline_of_a_drain_fails_what_is_left() {
    let mut plant = Plant::new();
    let (older, client) = (plant.client(), plant.client());
    let worker = plant.worker03("echo", 1);
    plant.asks(older, "echo", "dispatched");
    plant.asks03(client, 1, "echo", "queued");
    plant.takes_one(worker);
    plant.drains();

    plant.drain_deadline_passes();

    assert_eq!(plant.takes_one(client).error(), (1, "draining".to_owned()));
    plant.assert_silence(older);
    plant.assert_failed(ErrorCode::Draining, 2);
    let received = plant.takes(worker);
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].0[1], [9]);
    assert!(received[1].is_disconnect());
    assert_eq!(plant.drained, 1);
    plant.assert_nothing_is_held();
}

#[test]
fn a_drain_is_said_once() {
    let mut plant = Plant::new();
    let client = plant.client();

    plant.drains();
    plant.drains();
    plant.drain_deadline_passes();
    plant.asks03(client, 1, "echo", "late");

    assert_eq!(plant.drained, 1);
    assert_eq!(plant.takes_one(client).error(), (1, "draining".to_owned()));
}

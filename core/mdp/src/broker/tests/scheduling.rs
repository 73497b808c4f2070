//! Who is dispatched to: credit, outboxes, and the ring of clients.

use super::*;

#[test]
fn a_worker_holds_as_many_requests_as_its_credit() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 3));
    for _ in 0..5 {
        plant.asks(client, "echo", "hi");
    }

    let requests = plant.takes(worker);
    assert_eq!(requests.len(), 3);
    plant.echoes(worker, &requests[1]);
    assert_eq!(plant.takes(worker).len(), 1);
    plant.echoes(worker, &requests[0]);
    plant.echoes(worker, &requests[2]);
    assert_eq!(plant.takes(worker).len(), 1);
    assert_eq!(plant.broker.tally().queued, 0);
}

#[test]
fn the_worker_with_fewest_unanswered_comes_first() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [a, b] = [(); 2].map(|()| plant.worker03("echo", 10));
    let held = |plant: &mut Plant| [a, b].map(|worker| plant.takes(worker).len());

    for _ in 0..4 {
        plant.asks(client, "echo", "hi");
    }
    let requests = plant.takes(a);
    assert_eq!((requests.len(), plant.takes(b).len()), (2, 2));

    plant.echoes(a, &requests[0]);
    plant.asks(client, "echo", "hi");
    assert_eq!(held(&mut plant), [1, 0]);
}

#[test]
fn of_equals_the_worker_that_waits_longest_comes_first() {
    let mut plant = Plant::new();
    let client = plant.client();
    let workers = [(); 3].map(|()| plant.worker("echo"));
    for _ in 0..3 {
        plant.asks(client, "echo", "hi");
    }
    let requests = workers.map(|worker| plant.takes_one(worker));

    for index in [1, 2, 0] {
        plant.echoes(workers[index], &requests[index]);
    }

    for index in [1, 2, 0] {
        plant.asks(client, "echo", "next");
        plant.takes_one(workers[index]);
    }
}

#[test]
fn credit_changes_with_a_heartbeat() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    for _ in 0..9 {
        plant.asks(client, "echo", "hi");
    }
    assert_eq!(plant.takes(worker).len(), 1);

    plant.sends(worker, frames!["MDPW03", 5, header(0, &[("credit", "4")])]);
    assert_eq!(plant.takes(worker).len(), 3);

    plant.sends(
        worker,
        frames!["MDPW03", 5, header(0, &[("credit", "99999999")])],
    );
    assert_eq!(plant.takes(worker).len(), 5);

    plant.sends(
        worker,
        frames!["MDPW03", 5, header(0, &[("credit", "few")])],
    );
    plant.sends(worker, frames!["MDPW03", 5, header(0, &[])]);
    plant.assert_rejected(&[Rejection::BadProperty]);
    plant.assert_silence(worker);
}

/// After the answer nothing that crossed the change is on its way.
#[test]
fn a_change_of_credit_is_answered_before_what_it_brings() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks(client, "echo", "1");
    plant.asks(client, "echo", "2");
    plant.hears(worker);

    plant.sends(worker, frames!["MDPW03", 5]);
    assert_eq!(plant.hears(worker), []);
    plant.sends(worker, frames!["MDPW03", 5, header(0, &[("credit", "2")])]);

    let heard: Vec<Frames> = plant.hears(worker).into_iter().map(|(_, it)| it).collect();
    assert_eq!(heard[0], frames!["MDPW03", 5]);
    assert_eq!(heard[1].body(), [b"2"]);
}

#[test]
fn a_heartbeat_of_an_older_worker_carries_no_credit() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));

    plant.sends(worker, frames!["MDPW02", 5, header(0, &[("credit", "9")])]);
    plant.asks(client, "echo", "1");
    plant.asks(client, "echo", "2");

    plant.takes_one(worker);
}

#[test]
fn a_worker_with_a_full_outbox_gets_no_further_request() {
    let mut plant = Plant::with(|config| config.limits.dispatch_bytes = 1000);
    let client = plant.client();
    let [slow, other] = [(); 2].map(|()| plant.worker03("echo", 100));
    plant.stops_reading(slow);
    let body = "x".repeat(600);

    for _ in 0..10 {
        plant.asks(client, "echo", &body);
    }

    assert_eq!(plant.takes(slow).len(), 2);
    assert_eq!(plant.takes(other).len(), 8);
}

#[test]
fn one_request_always_fits_an_empty_outbox() {
    let mut plant = Plant::with(|config| config.limits.dispatch_bytes = 10);
    let (client, worker) = (plant.client(), plant.worker03("echo", 100));
    plant.stops_reading(worker);
    for _ in 0..3 {
        plant.asks(client, "echo", "hello");
    }
    assert_eq!(plant.takes(worker).len(), 1);

    plant.reads_again(worker);

    assert_eq!(plant.takes(worker).len(), 2);
}

#[test]
fn a_queue_is_a_ring_of_its_clients() {
    let mut plant = Plant::new();
    let [a, b, c] = [(); 3].map(|()| plant.client());
    for body in ["a1", "a2", "a3", "a4"] {
        plant.asks(a, "echo", body);
    }
    for body in ["b1", "b2"] {
        plant.asks(b, "echo", body);
    }
    plant.asks(c, "echo", "c1");

    let worker = plant.worker03("echo", 10);

    let bodies: Vec<Vec<u8>> = plant.takes(worker).iter().flat_map(Frames::body).collect();
    assert_eq!(
        bodies,
        ["a1", "b1", "c1", "a2", "b2", "a3", "a4"].map(str::as_bytes)
    );
}

#[test]
fn a_client_that_leaves_the_ring_gives_its_turn_away() {
    let mut plant = Plant::new();
    let [a, b] = [(); 2].map(|()| plant.client());
    plant.asks03(a, 1, "echo", "a1");
    plant.asks(b, "echo", "b1");
    plant.sends(a, frames!["MDPC03", 5, "echo", header(1, &[])]);
    plant.asks03(a, 2, "echo", "a2");

    let worker = plant.worker03("echo", 10);

    let bodies: Vec<Vec<u8>> = plant.takes(worker).iter().flat_map(Frames::body).collect();
    assert_eq!(bodies, [b"b1", b"a2"]);
}

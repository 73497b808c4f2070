//! Conformance 13–24: how workers come and go.

use std::time::Duration;

use super::*;

#[test]
fn case_13_a_second_ready_removes_the_worker() {
    let mut plant = Plant::new();
    let worker = plant.worker("echo");

    plant.sends(worker, frames!["MDPW02", 1, "echo"]);

    assert_eq!(plant.takes(worker), [frames!["MDPW02", 6]]);
    assert!(!plant.is_served("echo"));
    plant.assert_rejected(&[Rejection::AlreadyReady]);
    plant.assert_nothing_is_held();
}

#[test]
fn case_14_a_command_before_ready_is_answered_by_one_disconnect() {
    let token = vec![9; 16];
    let commands = [
        frames!["MDPW02", 5],
        frames!["MDPW02", 3, &token, "", "x"],
        frames!["MDPW02", 4, &token, "", "x"],
        frames!["MDPW03", 7, &token, header(1, &[])],
    ];
    for command in commands {
        let mut plant = Plant::new();
        let peer = plant.opens(false);

        plant.sends(peer, command.clone());
        plant.sends(peer, command.clone());

        let received = plant.takes_one(peer);
        assert!(received.is_disconnect(), "{received:?}");
        plant.assert_rejected(&[Rejection::NotReady, Rejection::Dismissed]);
        plant.assert_nothing_is_held();
        plant.assert_alive();
    }
}

#[test]
fn case_15_a_worker_that_left_gets_no_other_frame() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));

    plant.falls_silent(worker);
    plant.sends(worker, frames!["MDPW02", 6]);
    plant.asks(client, "echo", "hi");
    plant.passes(20 * H);

    assert_eq!(plant.hears(worker), []);
    assert_eq!(
        plant.departures(),
        [(Duration::ZERO, worker, Departure::Left)]
    );
    plant.assert_rejected(&[]);
}

#[test]
fn case_16_disconnect_before_ready_is_not_answered() {
    let mut plant = Plant::new();
    let peer = plant.opens(false);

    plant.sends(peer, frames!["MDPW02", 6]);
    plant.passes(H);

    assert_eq!(plant.hears(peer), []);
    plant.assert_alive();
}

#[test]
fn case_17_a_busy_worker_that_leaves_gives_its_request_to_another() {
    let mut plant = Plant::new();
    let client = plant.client();
    let first = plant.worker("echo");
    plant.asks(client, "echo", "hi");
    plant.takes_one(first);
    let second = plant.worker03("echo", 1);

    plant.falls_silent(first);
    plant.sends(first, frames!["MDPW02", 6]);

    let request = plant.takes_one(second);
    assert_eq!(request.property("attempt").as_deref(), Some("2"));
    plant.echoes(second, &request);
    assert_eq!(plant.takes(client), [frames!["MDPC02", 3, "echo", "hi"]]);
    plant.assert_silence(first);
}

#[test]
fn case_18_a_busy_worker_whose_connection_is_gone_is_replaced_at_once() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker("echo"));
    plant.asks(client, "echo", "hi");
    plant.takes_one(first);

    plant.closes(first);

    assert_eq!(plant.serves(second), 1);
    assert_eq!(plant.takes(client), [frames!["MDPC02", 3, "echo", "hi"]]);
}

#[test]
fn case_18_a_busy_worker_that_falls_silent_is_replaced() {
    let mut plant = Plant::new();
    let client = plant.client();
    let first = plant.worker03("echo", 1);
    plant.asks(client, "echo", "hi");
    plant.takes_one(first);
    let second = plant.worker03("echo", 1);

    plant.falls_silent(first);
    plant.passes(H03 * LIVENESS);

    assert_eq!(plant.serves(second), 1);
    assert_eq!(plant.takes(client), [frames!["MDPC02", 3, "echo", "hi"]]);
}

#[test]
fn case_19_a_request_that_kills_its_workers_is_remembered_as_dead() {
    let mut plant = Plant::new();
    let client = plant.client();
    plant.asks03(client, 1, "echo", "poison");
    for _ in 0..3 {
        let worker = plant.worker("echo");
        assert_eq!(plant.takes_one(worker).body(), [b"poison"]);
        plant.passes(MS);
        plant.closes(worker);
    }

    assert_eq!(
        plant.takes_one(client).error(),
        (1, "worker-lost".to_owned())
    );
    plant.asks03(client, 2, "echo", "good");
    let worker = plant.worker("echo");
    assert_eq!(plant.serves(worker), 1);
    assert_eq!(
        plant.takes_one(client),
        frames!["MDPC03", 3, "echo", header(2, &[]), "good"]
    );

    plant.asks03(client, 3, "mmi.dead", "");
    let dead: serde_json::Value = serde_json::from_slice(&plant.takes_one(client).0[5]).unwrap();
    assert_eq!(dead["total"], 1);
    let dead = &dead["dead"][0];
    assert_eq!(dead["service"], "echo");
    assert_eq!(dead["code"], "worker-lost");
    assert_eq!(dead["body_bytes"], 6);
    let attempts = dead["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3);
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt["outcome"] == "closed"),
        "{attempts:?}"
    );
    assert_eq!(plant.broker.tally().dead, 1);
    let died = Event::RequestDied {
        request: 1,
        service: "echo".parse().unwrap(),
        attempts: 3,
    };
    assert!(plant.events.iter().any(|(_, event)| *event == died));
}

#[test]
fn case_19_the_newest_dead_requests_are_kept() {
    let mut plant = Plant::with(|config| {
        config.attempts = 2;
        config.limits.dead = 3;
    });
    let client = plant.client();
    for id in 1..=5 {
        plant.asks03(client, id, "echo", "poison");
        for _ in 0..2 {
            let worker = plant.worker("echo");
            plant.closes(worker);
        }
    }
    plant.takes(client);

    plant.asks03(client, 6, "mmi.dead", "");
    let dead: serde_json::Value = serde_json::from_slice(&plant.takes_one(client).0[5]).unwrap();

    assert_eq!(dead["total"], 3);
    let ids: Vec<u64> = dead["dead"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dead| dead["request"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [5, 4, 3]);
    assert_eq!(plant.broker.tally().dead, 5);
}

#[test]
fn case_20_a_stalled_worker_that_wakes_late_is_dismissed() {
    let mut plant = Plant::with(|config| config.busy_liveness = 3);
    let client = plant.client();
    let stalled = plant.worker("echo");
    plant.asks(client, "echo", "hi");
    let request = plant.takes_one(stalled);
    let other = plant.worker("echo");
    plant.falls_silent(stalled);
    plant.passes(3 * H);
    assert_eq!(plant.serves(other), 1);

    plant.echoes(stalled, &request);

    assert_eq!(plant.takes(client), [frames!["MDPC02", 3, "echo", "hi"]]);
    assert_eq!(plant.takes(stalled), [frames!["MDPW02", 6]]);
    plant.assert_rejected(&[Rejection::NotReady]);
}

#[test]
fn case_21_the_brokers_own_names_cannot_be_registered() {
    for service in ["mmi.service", "mmi.mine", "mmi.", "org.plantd.Broker"] {
        let mut plant = Plant::new();
        let peer = plant.opens(false);

        plant.sends(peer, frames!["MDPW02", 1, service]);

        assert_eq!(plant.takes(peer), [frames!["MDPW02", 6]], "{service}");
        plant.assert_rejected(&[Rejection::ReservedService]);
        plant.assert_nothing_is_held();
    }
}

#[test]
fn case_22_ready_with_a_bad_name_is_answered_by_disconnect() {
    let (long, longer) = ("x".repeat(129), "x".repeat(256));
    for service in ["", &long, &longer, "a b", "a\n", "é"] {
        let mut plant = Plant::new();
        let peer = plant.opens(false);

        plant.sends(peer, frames!["MDPW02", 1, service]);

        assert_eq!(plant.takes(peer), [frames!["MDPW02", 6]], "{service}");
        plant.assert_rejected(&[Rejection::BadService]);
        plant.assert_nothing_is_held();
        plant.assert_alive();
    }
}

#[test]
fn case_23_a_dismissed_worker_may_come_back_on_a_new_connection() {
    let mut plant = Plant::new();
    let worker = plant.worker("echo");
    plant.sends(worker, frames!["MDPW02", 1, "echo"]);
    assert_eq!(plant.takes(worker), [frames!["MDPW02", 6]]);

    plant.closes(worker);
    let again = plant.worker("echo");

    assert!(plant.is_served("echo"));
    plant.assert_silence(again);
}

/// Case 24 as far as it reaches the core: names of peers are for display only.
#[test]
fn case_24_peers_of_one_name_are_isolated() {
    let mut plant = Plant::new();
    let twins = [(); 2].map(|()| {
        let peer = plant.ids.insert(());
        let origin = Origin {
            address: "twin".to_owned(),
            joins_partials: false,
            may_serve: true,
        };
        plant.broker.handle_opened(peer, origin, plant.now);
        plant.inboxes.insert(peer, Vec::new());
        peer
    });
    let worker = plant.worker("echo");

    plant.asks(twins[0], "echo", "a");
    plant.asks(twins[1], "echo", "b");
    plant.closes(twins[0]);

    assert_eq!(plant.serves(worker), 2);
    assert_eq!(plant.takes(twins[1]), [frames!["MDPC02", 3, "echo", "b"]]);
    plant.assert_silence(twins[0]);
}

#[test]
fn a_dismissed_peer_is_closed_after_its_time() {
    let mut plant = Plant::new();
    let [dismissed, left] = [(); 2].map(|()| plant.worker("echo"));
    plant.sends(dismissed, frames!["MDPW02", 1, "echo"]);
    plant.falls_silent(left);
    plant.sends(left, frames!["MDPW02", 6]);

    plant.passes(H * LIVENESS - MS);
    assert!(plant.closed.is_empty());
    plant.passes(MS);

    assert_eq!(plant.closed[&dismissed], CloseReason::Dismissed);
    assert_eq!(plant.closed[&left], CloseReason::Dismissed);
}

#[test]
fn what_a_dismissed_peer_still_sends_is_dropped_and_counted() {
    let mut plant = Plant::new();
    let worker = plant.worker("echo");
    plant.sends(worker, frames!["MDPW02", 1, "echo"]);
    plant.takes(worker);

    plant.sends(worker, frames!["MDPW02", 1, "echo"]);
    plant.sends(worker, frames!["MDPC02", 1, "mmi.service", "echo"]);
    plant.sends(worker, frames!["junk"]);

    assert_eq!(plant.hears(worker), []);
    let mut expected = vec![Rejection::AlreadyReady];
    expected.extend([Rejection::Dismissed; 3]);
    plant.assert_rejected(&expected);
}

#[test]
fn a_worker_that_asks_is_refused_and_served_on() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));

    plant.asks(worker, "echo", "myself");

    plant.assert_rejected(&[Rejection::RoleChanged]);
    plant.assert_silence(worker);
    plant.asks(client, "echo", "hi");
    assert_eq!(plant.serves(worker), 1);
}

#[test]
fn a_client_that_serves_is_refused_and_served_on() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks(client, "echo", "hi");

    plant.sends(client, frames!["MDPW02", 1, "echo"]);

    plant.assert_rejected(&[Rejection::RoleChanged]);
    assert_eq!(plant.serves(worker), 1);
    assert_eq!(plant.takes(client), [frames!["MDPC02", 3, "echo", "hi"]]);
}

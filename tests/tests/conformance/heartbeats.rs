//! Heartbeats in real time, each kind once (cases 25 to 29).
//!
//! The broker's own heartbeats are the clock of these tests. How long anything takes is shown in
//! virtual time by `core/mdp/src/broker/tests`.

use std::time::Duration;

use plantd_tests::{Frames, Peer, Plant, T, frames};
use serde_json::Value;

const LIVENESS: usize = 3;

fn plant() -> Plant {
    Plant::with(|config| {
        config.heartbeat_interval = Duration::from_millis(150).into();
        config.liveness = LIVENESS as u32;
        config.busy_liveness = LIVENESS as u32;
    })
}

fn heartbeat() -> Frames {
    frames!["MDPW02", 5]
}

/// Sends `message` at each heartbeat of the broker, for as many of them.
fn at_each_heartbeat(worker: &Peer, heartbeats: usize, message: &Frames) {
    for _ in 0..heartbeats {
        worker.expect(heartbeat());
        worker.send(message.clone());
    }
}

fn services(plant: &Plant) -> Vec<Value> {
    let (_, listed) = plant.mmi("services", "");
    listed["services"].as_array().unwrap().clone()
}

#[test]
fn case_25_an_idle_worker_hears_heartbeats_and_stays_by_its_own() {
    let plant = plant();
    let worker = plant.worker("echo");
    at_each_heartbeat(&worker, 3 * LIVENESS, &heartbeat());
    assert_eq!(plant.mmi("service", "echo").0, "200");
    plant.assert_rejected(&[]);
}

#[test]
fn case_26_a_silent_worker_is_removed_and_its_later_heartbeat_refused() {
    let mut plant = plant();
    let worker = plant.worker("echo");
    plant.until("it is expired", |reading| reading.value("workers") == 0);
    assert_eq!(plant.mmi("service", "echo").0, "404");
    assert!(services(&plant).is_empty());

    worker.send(heartbeat());
    plant.until("it is refused", |reading| {
        reading.rejected("not_ready") == 1
    });
    plant.stop();
    let heard = worker.until_end();
    let (last, before) = heard.split_last().unwrap();
    assert_eq!(*last, frames!["MDPW02", 6]);
    assert!(
        before.iter().all(|message| *message == heartbeat()),
        "{heard:?}"
    );
}

#[test]
fn case_27_a_busy_worker_that_sends_parts_is_not_expired() {
    let plant = plant();
    let worker = plant.worker("echo");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = request_of(&worker);
    at_each_heartbeat(
        &worker,
        3 * LIVENESS,
        &frames!["MDPW02", 3, &token, "", "part"],
    );
    worker.send(frames!["MDPW02", 4, &token, "", "end"]);

    for _ in 0..3 * LIVENESS {
        client.expect(frames!["MDPC02", 2, "echo", "part"]);
    }
    client.expect(frames!["MDPC02", 3, "echo", "end"]);
    plant.assert_rejected(&[]);
}

#[test]
fn case_28_a_busy_worker_that_only_heartbeats_is_not_expired() {
    let plant = plant();
    let worker = plant.worker("echo");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = request_of(&worker);
    at_each_heartbeat(&worker, 3 * LIVENESS, &heartbeat());
    worker.send(frames!["MDPW02", 4, &token, "", "end"]);

    client.expect(frames!["MDPC02", 3, "echo", "end"]);
    assert_eq!(plant.metrics().value("redispatches_total"), 0);
}

#[test]
fn case_28_a_busy_and_silent_worker_is_expired_and_another_gets_its_request() {
    let plant = plant();
    let silent = plant.worker("echo");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    request_of(&silent);
    plant.until("it is expired", |reading| reading.value("workers") == 0);

    let worker = plant.worker("echo");
    let token = request_of(&worker);
    worker.send(frames!["MDPW02", 4, &token, "", "end"]);
    client.expect(frames!["MDPC02", 3, "echo", "end"]);
}

#[test]
fn case_29_of_three_workers_exactly_the_silent_ones_are_removed() {
    let plant = plant();
    let workers = ["a", "b", "c"].map(|service| (service, plant.worker(service)));
    let mut alive: Vec<_> = workers.iter().collect();
    for silent in ["b", "c", "a"] {
        alive.retain(|(service, _)| *service != silent);
        while plant.mmi("service", silent).0 == "200" {
            for (_, worker) in &alive {
                worker.send(heartbeat());
            }
        }
        let mut listed = services(&plant);
        listed.sort_by_key(|service| service["name"].to_string());
        let names: Vec<_> = listed
            .iter()
            .map(|service| service["name"].as_str().unwrap())
            .collect();
        let left: Vec<_> = alive.iter().map(|(service, _)| *service).collect();
        assert_eq!(names, left);
    }
}

/// The token of the one request that comes, before which there may be heartbeats.
fn request_of(worker: &Peer) -> Vec<u8> {
    loop {
        let message = worker.recv();
        if message != heartbeat() {
            return message.token_of(&frames!["MDPW02", 2, T, "", "hi"]);
        }
    }
}

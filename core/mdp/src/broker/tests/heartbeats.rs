//! Conformance 25–31: who is alive.

use std::time::Duration;

use super::*;

fn beats(heard: &[(Duration, Frames)]) -> Vec<Duration> {
    heard
        .iter()
        .filter(|(_, it)| it.is_heartbeat())
        .map(|(at, _)| *at)
        .collect()
}

#[test]
fn case_25_an_idle_worker_hears_a_heartbeat_every_interval() {
    let mut plant = Plant::new();
    let worker = plant.worker("echo");

    plant.passes(10 * H);

    let expected: Vec<Duration> = (1..=10).map(|n| n * H).collect();
    assert_eq!(beats(&plant.hears(worker)), expected);
}

#[test]
fn case_25_a_worker_hears_no_heartbeat_while_requests_flow() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));

    for _ in 0..20 {
        plant.asks(client, "echo", "hi");
        let heard = plant.hears(worker);
        assert_eq!(beats(&heard), []);
        plant.echoes(worker, &heard[0].1);
        plant.passes(H / 2);
    }

    assert_eq!(plant.takes(client).len(), 20);
}

#[test]
fn case_26_a_silent_worker_is_expired() {
    let mut plant = Plant::new();
    let worker = plant.worker("echo");

    plant.falls_silent(worker);
    plant.passes(H * LIVENESS - MS);
    assert!(plant.is_served("echo"));
    plant.passes(H + MS);

    assert!(!plant.is_served("echo"));
    assert_eq!(
        plant.departures(),
        [(H * LIVENESS, worker, Departure::Expired)]
    );
    plant.assert_silence(worker);
    plant.assert_nothing_is_held();

    plant.sends(worker, frames!["MDPW02", 5]);
    assert_eq!(plant.takes(worker), [frames!["MDPW02", 6]]);
    plant.assert_rejected(&[Rejection::NotReady]);
}

#[test]
fn an_expired_worker_is_no_stranger() {
    let wakes_with = |command: Frames| {
        let mut plant = Plant::new();
        let worker = plant.worker("echo");
        plant.falls_silent(worker);
        plant.passes(H * LIVENESS);
        plant.hears(worker);
        plant.sends(worker, command);
        plant.assert_nothing_is_held();
        (plant.takes(worker), plant)
    };

    let (received, plant) = wakes_with(frames!["MDPW02", 1, "echo"]);
    assert_eq!(received, [frames!["MDPW02", 6]]);
    plant.assert_rejected(&[Rejection::AlreadyReady]);

    let (received, plant) = wakes_with(frames!["MDPC02", 1, "mmi.service", "echo"]);
    assert_eq!(received, []);
    plant.assert_rejected(&[Rejection::RoleChanged]);

    let (received, plant) = wakes_with(frames!["", "MDPW02", 5]);
    assert_eq!(received, []);
    plant.assert_rejected(&[Rejection::DialectChanged]);

    let (received, plant) = wakes_with(frames!["MDPW02", 6]);
    assert_eq!(received, []);
    plant.assert_rejected(&[Rejection::NotReady]);
}

#[test]
fn case_27_a_busy_worker_that_sends_only_partials_is_alive() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");
    let request = plant.takes_one(worker);
    plant.falls_silent(worker);

    for _ in 0..3 * LIVENESS {
        plant.passes(H03);
        plant.sends(worker, request.partial("more"));
    }
    plant.echoes(worker, &request);

    assert_eq!(plant.takes(client).len() as u32, 3 * LIVENESS + 1);
    assert_eq!(plant.departures(), []);
}

#[test]
fn case_28_a_busy_worker_that_only_heartbeats_is_alive() {
    let mut plant = Plant::new();
    let client = plant.client();
    let (older, newer) = (plant.worker("old"), plant.worker03("new", 1));
    plant.asks(client, "old", "hi");
    plant.asks(client, "new", "hi");

    plant.passes(60 * H);

    assert_eq!(plant.departures(), []);
    assert_eq!(plant.serves(older) + plant.serves(newer), 2);
    assert_eq!(plant.takes(client).len(), 2);
}

#[test]
fn case_28_a_busy_and_silent_worker_is_expired_as_its_dialect_allows() {
    let mut plant = Plant::new();
    let client = plant.client();
    let (older, newer) = (plant.worker("old"), plant.worker03("new", 1));
    plant.asks(client, "old", "hi");
    plant.asks(client, "new", "hi");
    plant.falls_silent(older);
    plant.falls_silent(newer);

    plant.passes(25 * H);

    let expected = [
        (H03 * LIVENESS, newer, Departure::Expired),
        (H * 24, older, Departure::Expired),
    ];
    assert_eq!(plant.departures(), expected);
    assert_eq!(plant.broker.tally().redispatches, 2);
}

#[test]
fn case_28_an_older_worker_that_ends_its_work_is_idle_again() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks(client, "echo", "hi");
    let request = plant.takes_one(worker);
    plant.falls_silent(worker);
    plant.passes(10 * H);

    plant.echoes(worker, &request);
    plant.passes(4 * H);

    assert_eq!(plant.departures(), [(13 * H, worker, Departure::Expired)]);
}

#[test]
fn case_29_each_of_three_workers_is_expired_on_time() {
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut plant = Plant::new();
        let workers = [(); 3].map(|()| plant.worker("echo"));
        let mut expected = Vec::new();
        for index in order {
            plant.passes(H);
            let last_heard = plant.now - plant.began;
            plant.falls_silent(workers[index]);
            expected.push((
                last_heard + H * LIVENESS,
                workers[index],
                Departure::Expired,
            ));
        }

        plant.passes(5 * H);

        assert_eq!(plant.departures(), expected, "{order:?}");
        assert!(!plant.is_served("echo"));
    }
}

#[test]
fn case_31_a_stopped_broker_does_not_take_it_for_the_workers_silence() {
    let mut plant = Plant::new();
    plant.worker("echo");
    plant.passes(H);

    plant.is_stopped_for(2 * H * LIVENESS);
    plant.passes(10 * H);

    assert_eq!(plant.departures(), []);
    assert!(plant.is_served("echo"));
}

#[test]
fn case_31_after_a_stop_silence_counts_from_anew() {
    let mut plant = Plant::new();
    let worker = plant.worker("echo");
    plant.passes(2 * H);
    plant.falls_silent(worker);

    plant.passes(H);
    plant.is_stopped_for(10 * H);
    plant.passes(5 * H);

    let expired = (2 * H + 10 * H + H * LIVENESS, worker, Departure::Expired);
    assert_eq!(plant.departures(), [expired]);
}

#[test]
fn a_short_gap_moves_no_expiry() {
    let mut plant = Plant::new();
    let worker = plant.worker("echo");
    plant.falls_silent(worker);
    plant.passes(2 * H + H / 2);
    plant.client();

    plant.is_stopped_for(H - MS);
    plant.broker.handle_timeout(plant.now);
    plant.settle();

    assert!(!plant.is_served("echo"));
}

#[test]
fn a_turn_that_was_due_in_the_gap_does_not_shorten_it() {
    let mut plant = Plant::new();
    let worker = plant.worker("echo");
    plant.passes(BEAT);
    plant.falls_silent(worker);
    plant.passes(2 * H - BEAT);

    plant.is_stopped_for(H + H / 2);
    plant.broker.handle_timeout(plant.now);
    plant.settle();

    assert_eq!(plant.departures(), []);
}

#[test]
fn a_worker_agrees_on_its_own_heartbeat() {
    let mut plant = Plant::new();
    let worker = plant.opens(false);
    let offer = header(0, &[("heartbeat-ms", "200"), ("liveness", "5")]);
    plant.sends(worker, frames!["MDPW03", 1, "echo", offer]);

    plant.passes(Duration::from_secs(2));

    let expected: Vec<Duration> = (1..5).map(|n| n * Duration::from_millis(200)).collect();
    assert_eq!(beats(&plant.hears(worker)), expected);
    let expired = (Duration::from_secs(1), worker, Departure::Expired);
    assert_eq!(plant.departures(), [expired]);
}

#[test]
fn heartbeats_are_written_in_each_dialect() {
    let mut plant = Plant::new();
    let beats = [
        (frames!["", "MDPW01", 1, "a"], frames!["", "MDPW01", 4]),
        (frames!["MDPW01", 1, "a"], frames!["MDPW01", 4]),
        (frames!["", "MDPW02", 1, "a"], frames!["", "MDPW02", 5]),
        (
            frames!["", "MDPW02", "READY", "a"],
            frames!["MDPW02", "HEARTBEAT"],
        ),
        (
            frames!["MDPW03", 1, "a", header(0, &[("heartbeat-ms", "2500")])],
            frames!["MDPW03", 5],
        ),
    ];
    for (ready, beat) in beats {
        let worker = plant.opens(false);
        plant.sends(worker, ready);
        plant.takes(worker);
        plant.passes(H);
        let heard: Vec<Frames> = plant.hears(worker).into_iter().map(|(_, it)| it).collect();
        assert_eq!(heard, [beat]);
    }
}

#[test]
fn a_worker_that_is_not_read_from_is_not_taken_for_silent() {
    let mut plant = Plant::with(|config| config.limits.outbox_bytes = 1000);
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.stops_reading(worker);
    plant.falls_silent(worker);
    plant.asks(client, "echo", &"x".repeat(2000));
    assert!(plant.paused.contains(&worker));

    plant.passes(40 * H);
    assert_eq!(plant.departures(), []);

    plant.reads_again(worker);
    assert!(plant.paused.is_empty());
    assert_eq!(plant.serves(worker), 1);
    assert_eq!(plant.takes(client).len(), 1);
}

//! Conformance 56, 57, 68 and 69: what is bounded, and what is told where a bound is reached.

use std::time::Duration;

use super::*;

/// A million distinct names in the paper; the bound is the same for as many as fit a test.
#[test]
fn case_56_names_that_only_requests_hold_are_bounded() {
    let mut plant = Plant::with(|config| config.limits.names = 100);
    let (hostile, honest) = (plant.client(), plant.client());
    let worker = plant.worker("echo");

    for n in 0..1000 {
        plant.asks(hostile, &format!("name-{n}"), "x");
    }

    assert_eq!(plant.broker.tally().services, 101);
    plant.assert_failed(ErrorCode::Busy, 900);
    plant.asks03(honest, 1, "fresh", "x");
    assert_eq!(plant.takes_one(honest).error(), (1, "busy".to_owned()));
    plant.asks03(honest, 2, "echo", "hi");
    assert_eq!(plant.serves(worker), 1);
    assert_eq!(plant.takes(honest).len(), 1);

    let new = plant.worker("brand-new");
    plant.asks03(honest, 3, "brand-new", "hi");
    assert_eq!(plant.serves(new), 1);
    assert_eq!(plant.takes(honest).len(), 1);

    plant.passes(Duration::from_secs(30));
    plant.asks03(honest, 4, "fresh", "x");
    assert_eq!(plant.broker.tally().services, 3);
    plant.assert_silence(honest);
}

#[test]
fn case_57_a_client_that_does_not_read_is_disconnected_at_the_limit() {
    let mut plant = Plant::with(|config| {
        config.limits.outbox_bytes = 10_000;
        config.limits.outbox_max_bytes = 50_000;
    });
    let (deaf, other) = (plant.client(), plant.client());
    let worker = plant.worker03("echo", 100);
    plant.stops_reading(deaf);
    let body = "x".repeat(1000);
    for _ in 0..100 {
        plant.asks(deaf, "echo", &body);
    }
    let requests = plant.takes(worker);

    for request in &requests[..9] {
        plant.echoes(worker, request);
    }
    assert!(!plant.paused.contains(&deaf));
    plant.echoes(worker, &requests[9]);
    assert!(plant.paused.contains(&deaf));
    for request in &requests[10..] {
        plant.echoes(worker, request);
    }

    assert_eq!(
        plant.closed,
        BTreeMap::from([(deaf, CloseReason::OutboxFull)])
    );
    plant.asks(other, "echo", "hi");
    plant.takes(worker).iter().for_each(|it| {
        if it.0[1] == [2] {
            plant.echoes(worker, it);
        }
    });
    assert_eq!(plant.takes(other), [frames!["MDPC02", 3, "echo", "hi"]]);
    plant.assert_nothing_is_held_but_workers(1);
    assert_eq!(plant.broker.tally().backlog_bytes, 0);
}

#[test]
fn case_57_a_client_that_reads_again_is_read_from_again() {
    let mut plant = Plant::with(|config| config.limits.outbox_bytes = 1000);
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.stops_reading(client);
    plant.asks(client, "echo", &"x".repeat(2000));
    assert_eq!(plant.serves(worker), 1);
    assert!(plant.paused.contains(&client));

    plant.reads_again(client);

    assert!(plant.paused.is_empty());
    assert_eq!(plant.takes(client).len(), 1);
}

#[test]
fn case_57_a_client_is_disconnected_once_however_much_comes_at_once() {
    let mut plant = Plant::with(|config| config.limits.outbox_max_bytes = 500);
    let (deaf, worker) = (plant.client(), plant.worker03("echo", 20));
    plant.stops_reading(deaf);
    for id in 1..=20 {
        plant.asks_with(deaf, id, &[("retry", "never")], "echo", "hi");
    }

    plant.closes(worker);

    let closed = BTreeMap::from([(deaf, CloseReason::OutboxFull)]);
    assert_eq!(plant.closed, closed);
    plant.assert_nothing_is_held();
}

#[test]
fn a_worker_that_does_not_read_loses_its_requests_to_others() {
    let mut plant = Plant::with(|config| config.limits.outbox_max_bytes = 5000);
    let client = plant.client();
    let deaf = plant.worker03("echo", 100);
    plant.stops_reading(deaf);
    let body = "x".repeat(1000);
    for _ in 0..4 {
        plant.asks(client, "echo", &body);
    }
    assert!(plant.closed.is_empty());
    let other = plant.worker03("echo", 100);
    plant.sends(deaf, frames!["MDPW03", 5]);

    plant.broker.handle_backlog(deaf, 4990, plant.now);
    plant.asks(client, "mmi.service", "echo");
    plant.passes(2 * H03);

    assert_eq!(plant.closed.get(&deaf), Some(&CloseReason::OutboxFull));
    assert_eq!(plant.serves(other), 4);
    assert_eq!(plant.takes(client).len(), 5);
}

#[test]
fn case_68_a_body_at_the_limit_is_echoed() {
    let mut plant = Plant::with(|config| {
        config.limits.frame_bytes = 1000;
        config.limits.body_bytes = 1500;
        config.limits.body_frames = 3;
    });
    let (client, worker) = (plant.client(), plant.worker("echo"));
    let (frame, rest) = (vec![1; 1000], vec![2; 500]);
    let whole = frames!["MDPC03", 1, "echo", header(1, &[]), &frame, &rest, ""];

    plant.sends(client, whole);

    assert_eq!(plant.serves(worker), 1);
    let reply = frames!["MDPC03", 3, "echo", header(1, &[]), &frame, &rest, ""];
    assert_eq!(plant.takes(client), [reply]);
}

#[test]
fn case_68_a_request_over_the_limit_is_refused() {
    let over = [
        frames!["MDPC03", 1, "echo", header(1, &[]), vec![1; 1001]],
        frames![
            "MDPC03",
            1,
            "echo",
            header(1, &[]),
            vec![1; 1000],
            vec![1; 501]
        ],
        frames!["MDPC03", 1, "echo", header(1, &[]), "", "", "", ""],
    ];
    for message in over {
        let mut plant = Plant::with(|config| {
            config.limits.frame_bytes = 1000;
            config.limits.body_bytes = 1500;
            config.limits.body_frames = 3;
        });
        let (client, worker) = (plant.client(), plant.worker("echo"));

        plant.sends(client, message);

        assert_eq!(plant.takes_one(client).error(), (1, "too-large".to_owned()));
        plant.assert_failed(ErrorCode::TooLarge, 1);
        plant.assert_silence(worker);
        plant.assert_nothing_is_held_but_workers(1);
    }
}

#[test]
fn case_68_a_reply_over_the_limit_ends_the_request_once() {
    for verb in [3, 4] {
        let mut plant = Plant::with(|config| config.limits.frame_bytes = 1000);
        let (client, worker) = (plant.client(), plant.worker03("echo", 1));
        plant.asks03(client, 1, "echo", "hi");
        let request = plant.takes_one(worker);
        let large = frames![
            "MDPW03",
            verb,
            request.token(),
            header(1, &[]),
            vec![0; 1001]
        ];

        plant.sends(worker, large);

        assert_eq!(plant.takes_one(client).error(), (1, "too-large".to_owned()));
        if verb == 3 {
            assert_eq!(plant.takes_one(worker).0[1], [9]);
            plant.echoes(worker, &request);
        }
        plant.asks03(client, 2, "echo", "next");
        assert_eq!(plant.serves(worker), 1);
        assert_eq!(
            plant.takes(client),
            [frames!["MDPC03", 3, "echo", header(2, &[]), "next"]]
        );
        plant.assert_failed(ErrorCode::TooLarge, 1);
    }
}

#[test]
fn case_69_large_bodies_at_a_large_credit_stay_within_the_memory() {
    let memory_bytes = 40 << 20;
    let mut plant = Plant::with(|config| config.limits.memory_bytes = memory_bytes);
    let clients = [(); 3].map(|()| plant.client());
    let worker = plant.worker03("echo", 500);
    plant.stops_reading(worker);
    let body = vec![0; 1 << 20];

    for id in 1..=20 {
        for client in clients {
            plant.sends(client, frames!["MDPC03", 1, "echo", header(id, &[]), &body]);
            let tally = plant.broker.tally();
            assert!(tally.held_bytes + tally.backlog_bytes <= memory_bytes + 2 * body.len());
        }
    }

    assert!(plant.closed.is_empty());
    assert!(plant.broker.tally().failed(ErrorCode::Busy) > 0);
    let accepted = plant.broker.tally().unanswered;
    plant.reads_again(worker);
    assert_eq!(plant.serves(worker), accepted);
    assert_eq!(plant.departures(), []);
    plant.assert_nothing_is_held_but_workers(1);
}

#[test]
fn an_mdp03_client_at_its_limit_is_told_so() {
    let mut plant = Plant::with(|config| config.limits.client_requests = 2);
    let (client, other) = (plant.client(), plant.client());
    for id in 1..=3 {
        plant.asks03(client, id, "echo", "hi");
    }

    assert_eq!(plant.takes_one(client).error(), (3, "busy".to_owned()));
    assert!(plant.paused.is_empty());
    plant.asks03(other, 1, "echo", "hi");
    plant.assert_silence(other);
}

#[test]
fn an_mdp03_client_with_too_many_bytes_is_told_so_but_one_request_always_fits() {
    let mut plant = Plant::with(|config| config.limits.client_bytes = 1000);
    let client = plant.client();

    plant.asks03(client, 1, "echo", &"x".repeat(2000));
    plant.assert_silence(client);
    plant.asks03(client, 2, "echo", "x");

    assert_eq!(plant.takes_one(client).error(), (2, "busy".to_owned()));
}

#[test]
fn an_older_client_at_its_limit_is_not_read_from_until_it_is_below() {
    let mut plant = Plant::with(|config| config.limits.client_requests = 2);
    let client = plant.client();
    plant.asks(client, "echo", "1");
    assert!(plant.paused.is_empty());
    plant.asks(client, "echo", "2");
    assert!(plant.paused.contains(&client));

    let worker = plant.worker("echo");
    let request = plant.takes_one(worker);
    plant.echoes(worker, &request);

    assert!(plant.paused.is_empty());
    plant.assert_failed(ErrorCode::Busy, 0);
}

#[test]
fn an_older_client_with_too_many_bytes_is_not_read_from() {
    let mut plant = Plant::with(|config| config.limits.client_bytes = 1000);
    let client = plant.client();
    plant.asks(client, "echo", &"x".repeat(2000));
    assert!(plant.paused.contains(&client));

    plant.passes(Duration::from_secs(30));

    assert!(plant.paused.is_empty());
}

#[test]
fn what_was_read_before_the_pause_is_still_taken() {
    let mut plant = Plant::with(|config| config.limits.client_requests = 2);
    let client = plant.client();
    for _ in 0..4 {
        plant.asks(client, "echo", "x");
    }

    let worker = plant.worker("echo");

    assert_eq!(plant.serves(worker), 4);
    assert_eq!(plant.takes(client).len(), 4);
    assert!(plant.paused.is_empty());
}

#[test]
fn a_full_queue_refuses_what_is_new_and_keeps_what_returns() {
    let mut plant = Plant::with(|config| config.limits.queue_requests = 2);
    let (client, worker) = (plant.client(), plant.worker03("echo", 2));
    for id in 1..=5 {
        plant.asks03(client, id, "echo", "hi");
    }
    assert_eq!(plant.takes_one(client).error(), (5, "busy".to_owned()));

    plant.closes(worker);

    assert_eq!(plant.broker.tally().queued, 4);
    plant.asks03(client, 6, "echo", "hi");
    assert_eq!(plant.takes_one(client).error(), (6, "busy".to_owned()));
    let worker = plant.worker("echo");
    assert_eq!(plant.serves(worker), 4);
}

#[test]
fn a_queue_is_limited_in_bytes_but_one_request_always_fits() {
    let mut plant = Plant::with(|config| config.limits.queue_bytes = 1000);
    let client = plant.client();

    plant.asks03(client, 1, "echo", &"x".repeat(2000));
    plant.assert_silence(client);
    plant.asks03(client, 2, "echo", "x");

    assert_eq!(plant.takes_one(client).error(), (2, "busy".to_owned()));
    plant.asks03(client, 3, "other", "x");
    plant.assert_silence(client);
}

#[test]
fn outboxes_count_against_the_memory() {
    let mut plant = Plant::with(|config| config.limits.memory_bytes = 5000);
    let (deaf, client) = (plant.client(), plant.client());
    let worker = plant.worker("echo");
    plant.stops_reading(deaf);
    for _ in 0..2 {
        plant.asks(deaf, "echo", &"x".repeat(2000));
        plant.serves(worker);
    }
    assert_eq!(plant.broker.tally().held_bytes, 0);

    plant.asks03(client, 1, "echo", &"x".repeat(1000));
    assert_eq!(plant.takes_one(client).error(), (1, "busy".to_owned()));
    plant.closes(deaf);
    plant.asks03(client, 2, "echo", &"x".repeat(1000));

    assert_eq!(plant.serves(worker), 1);
}

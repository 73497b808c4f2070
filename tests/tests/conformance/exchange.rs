//! Requests and replies (cases 1 to 12).

use std::time::Duration;

use plantd_tests::{Frames, Plant, Site, T, frames, header, numbered};

fn exchange_at(site: Site) {
    let mut plant = Plant::at(site, |_| {});
    let worker = plant.worker("echo");
    let client = plant.dealer();

    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    worker.send(frames!["MDPW02", 4, token, "", "hi"]);
    client.expect(frames!["MDPC02", 3, "echo", "hi"]);

    plant.stop();
    client.expect_end(&[]);
    worker.expect_end(&[frames!["MDPW02", 6]]);
    plant.assert_rejected(&[]);
}

#[test]
fn case_01_a_request_reaches_a_worker_and_its_reply_comes_back_and_nothing_more() {
    exchange_at(Site::Tcp);
}

#[test]
fn case_01_the_same_over_a_unix_socket() {
    exchange_at(Site::Ipc);
}

#[test]
fn case_02_every_frame_of_a_body_is_kept_both_ways() {
    let plant = Plant::start();
    let worker = plant.worker("echo");
    let client = plant.dealer();

    client.send(frames!["MDPC02", 1, "echo", "", "a", ""]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "", "a", ""]);
    worker.send(frames!["MDPW02", 4, token, "", "", "a", ""]);
    client.expect(frames!["MDPC02", 3, "echo", "", "a", ""]);
}

#[test]
fn case_03_partials_come_before_the_final_and_the_worker_gets_nothing_between_them() {
    let plant = Plant::start();
    let worker = plant.worker("echo");
    let client = plant.dealer();

    client.send(frames!["MDPC02", 1, "echo", "first"]);
    client.send(frames!["MDPC02", 1, "echo", "second"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "first"]);
    worker.send(frames!["MDPW02", 3, &token, "", "1"]);
    worker.send(frames!["MDPW02", 3, &token, "", "2"]);
    client.expect(frames!["MDPC02", 2, "echo", "1"]);
    client.expect(frames!["MDPC02", 2, "echo", "2"]);
    assert_eq!(plant.metrics().value("dispatches_total"), 1);
    assert_eq!(plant.metrics().value("requests_queued"), 1);

    worker.send(frames!["MDPW02", 4, &token, "", "3"]);
    client.expect(frames!["MDPC02", 3, "echo", "3"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "second"]);
    worker.send(frames!["MDPW02", 4, token, "", "4"]);
    client.expect(frames!["MDPC02", 3, "echo", "4"]);
}

#[test]
fn case_04_a_partial_after_the_final_reaches_nobody_and_ends_the_worker() {
    let mut plant = Plant::start();
    let worker = plant.worker("echo");
    let client = plant.dealer();

    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    worker.send(frames!["MDPW02", 4, &token, "", "hi"]);
    worker.send(frames!["MDPW02", 3, &token, "", "late"]);
    client.expect(frames!["MDPC02", 3, "echo", "hi"]);
    worker.expect(frames!["MDPW02", 6]);
    client.expect_nothing();

    plant.stop();
    client.expect_end(&[]);
    worker.expect_end(&[]);
    plant.assert_rejected(&[("unknown_token", 1)]);
}

#[test]
fn case_05_bodies_of_every_byte_and_of_many_sizes_are_intact() {
    let plant = Plant::start();
    let worker = plant.worker("echo");
    let client = plant.dealer();

    let every_byte: Vec<u8> = (0..=255).collect();
    for size in [0, 1, 254, 255, 256, 65_535, 65_536, 1 << 20] {
        let body: Vec<u8> = every_byte.iter().copied().cycle().take(size).collect();
        client.send(frames!["MDPC02", 1, "echo", &body]);
        let token = worker.expect_token(frames!["MDPW02", 2, T, "", &body]);
        worker.send(frames!["MDPW02", 4, token, "", &body]);
        client.expect(frames!["MDPC02", 3, "echo", &body]);
    }
}

#[test]
fn case_06_a_hundred_requests_at_once_are_answered_in_their_order() {
    let plant = Plant::start();
    let worker = plant.worker("echo");
    let client = plant.dealer();

    let bodies: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for body in &bodies {
        client.send(frames!["MDPC02", 1, "echo", &body[..]]);
    }
    for body in &bodies {
        let token = worker.expect_token(frames!["MDPW02", 2, T, "", &body[..]]);
        worker.send(frames!["MDPW02", 4, token, "", &body[..]]);
    }
    for body in &bodies {
        client.expect(frames!["MDPC02", 3, "echo", &body[..]]);
    }
}

#[test]
fn case_07_three_workers_get_three_each_of_nine_requests() {
    let plant = Plant::start();
    let workers = [
        plant.worker("echo"),
        plant.worker("echo"),
        plant.worker("echo"),
    ];
    let client = plant.dealer();

    for _ in 0..3 {
        // The one that has waited longest is the next.
        for worker in &workers {
            client.send(frames!["MDPC02", 1, "echo", "hi"]);
            let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
            worker.send(frames!["MDPW02", 4, token, "", "hi"]);
            client.expect(frames!["MDPC02", 3, "echo", "hi"]);
        }
    }
}

#[test]
fn case_07_a_busy_worker_gets_no_second_request() {
    let plant = Plant::start();
    let workers = [plant.worker("echo"), plant.worker("echo")];
    let client = plant.dealer();

    for body in ["1", "2", "3"] {
        client.send(frames!["MDPC02", 1, "echo", body]);
    }
    let first = workers[0].expect_token(frames!["MDPW02", 2, T, "", "1"]);
    let second = workers[1].expect_token(frames!["MDPW02", 2, T, "", "2"]);
    client.expect_nothing();
    assert_eq!(plant.metrics().value("requests_queued"), 1);

    workers[1].send(frames!["MDPW02", 4, second, "", "2"]);
    let third = workers[1].expect_token(frames!["MDPW02", 2, T, "", "3"]);
    workers[1].send(frames!["MDPW02", 4, third, "", "3"]);
    workers[0].send(frames!["MDPW02", 4, first, "", "1"]);
    for body in ["2", "3", "1"] {
        client.expect(frames!["MDPC02", 3, "echo", body]);
    }
}

#[test]
fn case_08_two_clients_that_flood_a_service_take_turns() {
    let plant = Plant::start();
    let worker = plant.worker("echo");
    let clients = [plant.dealer(), plant.dealer()];

    for (client, name) in clients.iter().zip(["a", "b"]) {
        for _ in 0..50 {
            client.send(frames!["MDPC02", 1, "echo", name]);
        }
        client.expect_nothing();
    }
    let mut served = Vec::new();
    for _ in 0..100 {
        let request = worker.recv();
        let body = request.0[4].clone();
        worker.send(frames!["MDPW02", 4, &request.0[2], "", &body]);
        served.push(body);
    }
    for turns in served[2..98].chunks(2) {
        assert_ne!(turns[0], turns[1], "{served:?}");
    }
}

#[test]
fn case_09_each_reply_names_its_own_service() {
    let plant = Plant::start();
    let a = plant.worker("a");
    let b = plant.worker("b");
    let client = plant.dealer();

    client.send(frames!["MDPC02", 1, "a", "to a"]);
    client.send(frames!["MDPC02", 1, "b", "to b"]);
    let token_a = a.expect_token(frames!["MDPW02", 2, T, "", "to a"]);
    let token_b = b.expect_token(frames!["MDPW02", 2, T, "", "to b"]);
    b.send(frames!["MDPW02", 4, token_b, "", "from b"]);
    client.expect(frames!["MDPC02", 3, "b", "from b"]);
    a.send(frames!["MDPW02", 4, token_a, "", "from a"]);
    client.expect(frames!["MDPC02", 3, "a", "from a"]);
}

#[test]
fn case_10_a_request_waits_for_its_first_worker() {
    let plant = Plant::start();
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "early"]);
    client.expect_nothing();

    let worker = plant.worker("echo");
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "early"]);
    worker.send(frames!["MDPW02", 4, token, "", "served"]);
    client.expect(frames!["MDPC02", 3, "echo", "served"]);
}

#[test]
fn case_11_a_request_that_no_worker_takes_in_time_expires() {
    let mut plant = Plant::with(|config| {
        config.queue_timeout = Duration::from_millis(100).into();
    });
    let old = plant.dealer();
    let new = plant.dealer();
    old.send(frames!["MDPC02", 1, "nowhere", "hi"]);
    new.send(frames!["MDPC03", 1, "nowhere", numbered(7), "hi"]);
    let message = "no worker took the request within the queue time";
    let properties = header(7, &[("code", "no-worker"), ("message", message)]);
    new.expect(frames!["MDPC03", 4, "nowhere", properties]);
    plant.until("both have expired", |reading| {
        reading.failed("no-worker") == 2
    });

    let late = plant.worker("nowhere");
    old.expect_nothing();
    plant.stop();
    late.expect_end(&[frames!["MDPW02", 6]]);
    old.expect_end(&[]);
    plant.assert_rejected(&[]);
}

/// Shows that a worker whose request lost its client serves the next one.
fn assert_serves_on(plant: &Plant, worker: &plantd_tests::Peer) {
    let next = plant.dealer();
    next.send(frames!["MDPC02", 1, "echo", "next"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "next"]);
    worker.send(frames!["MDPW02", 4, token, "", "next"]);
    next.expect(frames!["MDPC02", 3, "echo", "next"]);
}

#[test]
fn case_12_the_reply_to_a_client_that_is_gone_is_dropped_and_frees_its_worker() {
    let mut plant = Plant::start();
    let worker = plant.worker("echo");
    let gone = plant.dealer();
    gone.send(frames!["MDPC02", 1, "echo", "dispatched"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "dispatched"]);
    drop(gone);
    plant.until("the client is gone", |reading| {
        reading.value("requests_unanswered") == 0
    });

    worker.send(frames!["MDPW02", 3, &token, "", "part"]);
    worker.send(frames!["MDPW02", 4, &token, "", "end"]);
    assert_serves_on(&plant, &worker);
    plant.assert_rejected(&[("orphaned", 2)]);

    plant.stop();
    worker.expect_end(&[frames!["MDPW02", 6]]);
}

#[test]
fn case_12_a_queued_request_of_a_client_that_is_gone_reaches_nobody() {
    let mut plant = Plant::start();
    let worker = plant.worker("echo");
    let holder = plant.dealer();
    holder.send(frames!["MDPC02", 1, "echo", "held"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "held"]);
    let gone = plant.dealer();
    gone.send(frames!["MDPC02", 1, "echo", "queued"]);
    gone.expect_nothing();
    drop(gone);
    plant.until("the client is gone", |reading| {
        reading.value("requests_queued") == 0
    });

    worker.send(frames!["MDPW02", 4, token, "", "held"]);
    holder.expect(frames!["MDPC02", 3, "echo", "held"]);
    assert_serves_on(&plant, &worker);
    plant.stop();
    worker.expect_end(&[frames!["MDPW02", 6]]);
    plant.assert_rejected(&[]);
}

#[test]
fn a_client_gets_nothing_after_the_broker_has_drained_what_it_asked() {
    let mut plant = Plant::start();
    let worker = plant.worker("echo");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    plant.request_stop();
    worker.send(frames!["MDPW02", 4, token, "", "drained"]);

    plant.stop();
    client.expect_end(&[frames!["MDPC02", 3, "echo", "drained"]]);
    worker.expect_end(&[frames!["MDPW02", 6] as Frames]);
}

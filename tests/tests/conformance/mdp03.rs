//! MDP/0.3 (cases 63 to 69, 71 and 72).

use plantd_tests::{Frames, Peer, Plant, T, frames, header, numbered, properties};

/// The id and the code of the ERROR that comes.
#[track_caller]
fn error(client: &Peer) -> (u64, String) {
    let answer = client.recv();
    assert_eq!(answer.0[..2], frames!["MDPC03", 4].0, "{answer:?}");
    let (id, properties) = properties(&answer.0[3]);
    (id, properties["code"].clone())
}

/// Takes a request with this body as an MDP/0.3 worker, and returns its token and header.
#[track_caller]
fn take(worker: &Peer, body: &str) -> (Vec<u8>, Vec<u8>) {
    let request = worker.recv();
    let header = request.0[3].clone();
    (
        request.token_of(&frames!["MDPW03", 2, T, &header, body]),
        header,
    )
}

/// Shows that a worker still gets requests, and that its client hears of them.
#[track_caller]
fn serves_on(plant: &Plant, worker: &Peer) {
    let client = plant.dealer();
    client.send(frames!["MDPC03", 1, "echo", numbered(1), "next"]);
    let (token, id) = take(worker, "next");
    worker.send(frames!["MDPW03", 4, token, id, "served"]);
    client.expect(frames!["MDPC03", 3, "echo", numbered(1), "served"]);
}

#[test]
fn case_63_a_worker_lost_after_a_part_of_the_answer_is_an_error() {
    let plant = Plant::start();
    let worker = plant.worker03("echo", &[]);
    let client = plant.dealer();
    client.send(frames!["MDPC03", 1, "echo", numbered(5), "hi"]);
    let (token, id) = take(&worker, "hi");
    worker.send(frames!["MDPW03", 3, token, id, "part"]);
    client.expect(frames!["MDPC03", 2, "echo", numbered(5), "part"]);
    drop(worker);
    assert_eq!(error(&client), (5, "worker-lost".into()));

    let next = plant.worker03("echo", &[]);
    serves_on(&plant, &next);
    client.expect_nothing03();
    assert_eq!(plant.metrics().value("redispatches_total"), 0);
}

#[test]
fn case_64_an_answer_after_the_deadline_is_dropped_and_the_worker_serves_on() {
    let mut plant = Plant::start();
    let worker = plant.worker03("echo", &[]);
    let client = plant.dealer();
    client.send(frames![
        "MDPC03",
        1,
        "echo",
        header(5, &[("deadline-ms", "150")]),
        "hi"
    ]);
    let request = worker.recv();
    let (id, terms) = properties(&request.0[3]);
    assert!(
        (1..=150).contains(&terms["deadline-ms"].parse::<u64>().unwrap()),
        "{terms:?}"
    );
    let token = &request.0[2];
    assert_eq!(error(&client), (5, "timeout".into()));
    worker.expect(frames!["MDPW03", 9, token, numbered(id)]);

    worker.send(frames!["MDPW03", 4, token, numbered(id), "late"]);
    serves_on(&plant, &worker);
    client.expect_nothing03();
    plant.stop();
    let farewell = worker.until_end();
    assert_eq!(farewell.len(), 1, "{farewell:?}");
    plant.assert_rejected(&[("orphaned", 1)]);
}

#[test]
fn case_65_cancel_that_crosses_the_answer_ends_the_request_once() {
    let plant = Plant::start();
    let worker = plant.worker03("echo", &[("credit", "4")]);
    let client = plant.dealer();
    for round in 1..=100 {
        client.send(frames!["MDPC03", 1, "echo", numbered(round), "hi"]);
        let (token, id) = take(&worker, "hi");
        worker.send(frames!["MDPW03", 4, token, &id, "done"]);
        client.send(frames!["MDPC03", 5, "echo", numbered(round)]);
        let answer = client.recv();
        if answer != frames!["MDPC03", 3, "echo", numbered(round), "done"] {
            assert_eq!(answer.0[..2], frames!["MDPC03", 4].0, "{answer:?}");
            let (answered, terms) = properties(&answer.0[3]);
            assert_eq!((answered, terms["code"].as_str()), (round, "cancelled"));
            let cancel = worker.recv();
            assert_eq!(cancel.0[..2], frames!["MDPW03", 9].0, "{cancel:?}");
        }
        client.expect_nothing03();
    }
    serves_on(&plant, &worker);
}

#[test]
fn case_65_a_cancelled_request_is_an_error_at_once_and_its_worker_is_told() {
    let mut plant = Plant::start();
    let worker = plant.worker03("echo", &[]);
    let client = plant.dealer();
    client.send(frames!["MDPC03", 1, "echo", numbered(5), "hi"]);
    let (token, id) = take(&worker, "hi");
    client.send(frames!["MDPC03", 5, "echo", numbered(5)]);
    assert_eq!(error(&client), (5, "cancelled".into()));
    worker.expect(frames!["MDPW03", 9, &token, &id]);
    let code = [("code", "cancelled")];
    worker.send(frames![
        "MDPW03",
        7,
        &token,
        header(properties(&id).0, &code)
    ]);
    serves_on(&plant, &worker);
    client.send(frames!["MDPC03", 5, "echo", numbered(5)]);
    client.expect_nothing03();
    plant.stop();
    plant.assert_rejected(&[("orphaned", 1)]);
}

#[test]
fn case_66_an_id_that_is_unanswered_closes_the_connection_of_who_uses_it_again() {
    let mut plant = Plant::start();
    let worker = plant.worker03("echo", &[("credit", "2")]);
    let honest = plant.dealer();
    let careless = plant.dealer();
    honest.send(frames!["MDPC03", 1, "echo", numbered(5), "honest"]);
    let (kept, kept_id) = take(&worker, "honest");
    careless.send(frames!["MDPC03", 1, "echo", numbered(5), "first"]);
    let (token, id) = take(&worker, "first");
    careless.send(frames!["MDPC03", 1, "echo", numbered(5), "second"]);
    careless.expect_end(&[]);
    worker.expect(frames!["MDPW03", 9, &token, &id]);

    worker.send(frames!["MDPW03", 4, token, id, "for nobody"]);
    worker.send(frames!["MDPW03", 4, kept, kept_id, "for the honest"]);
    honest.expect(frames!["MDPC03", 3, "echo", numbered(5), "for the honest"]);
    plant.stop();
    plant.assert_rejected(&[("duplicate_id", 1), ("orphaned", 1)]);
}

#[test]
fn case_67_what_only_the_broker_may_say_is_taken_away() {
    let plant = Plant::start();
    let worker = plant.worker03("echo", &[]);
    let client = plant.dealer();
    let lies = [
        ("principal", "root"),
        ("attempt", "9"),
        ("broker-x", "y"),
        ("content-type", "text/plain"),
        ("x-unknown", "kept"),
    ];
    client.send(frames!["MDPC03", 1, "echo", header(5, &lies), "hi"]);
    let request = worker.recv();
    let (id, seen) = properties(&request.0[3]);
    let seen: Vec<_> = seen
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        seen,
        [("content-type", "text/plain"), ("x-unknown", "kept")]
    );

    let reply = [
        ("broker-x", "y"),
        ("content-type", "text/plain"),
        ("principal", "root"),
    ];
    worker.send(frames![
        "MDPW03",
        4,
        &request.0[2],
        header(id, &reply),
        "hi"
    ]);
    let kept = header(5, &[("content-type", "text/plain")]);
    client.expect(frames!["MDPC03", 3, "echo", kept, "hi"]);
}

#[test]
fn case_67_a_property_that_must_be_understood_and_is_not_is_unsupported() {
    let plant = Plant::start();
    let client = plant.dealer();
    client.send(frames![
        "MDPC03",
        1,
        "echo",
        header(5, &[("+nope", "1")]),
        "hi"
    ]);
    assert_eq!(error(&client), (5, "unsupported".into()));
    assert_eq!(plant.metrics().value("requests_total"), 0);

    let worker = plant.dealer();
    worker.send(frames!["MDPW03", 1, "echo", header(0, &[("+nope", "1")])]);
    assert_eq!(worker.recv().0[..2], frames!["MDPW03", 6].0);
    assert_eq!(plant.metrics().rejected("unsupported_property"), 1);
}

#[test]
fn a_request_that_cannot_be_is_told_why() {
    let plant = Plant::start();
    let client = plant.dealer();
    let refused = |message: Frames, expected: (u64, &str)| {
        client.send(message);
        assert_eq!(error(&client), (expected.0, expected.1.to_owned()));
    };
    let bad = |name, value| header(5, &[(name, value)]);
    refused(
        frames!["MDPC03", 1, "echo", numbered(0), "x"],
        (0, "bad-request"),
    );
    refused(
        frames!["MDPC03", 1, "echo", bad("deadline-ms", "0"), "x"],
        (5, "bad-request"),
    );
    refused(
        frames!["MDPC03", 1, "echo", bad("deadline-ms", "+1"), "x"],
        (5, "bad-request"),
    );
    refused(
        frames!["MDPC03", 1, "echo", bad("retry", "often"), "x"],
        (5, "bad-request"),
    );
    refused(
        frames!["MDPC03", 1, "echo", bad("Upper", "1"), "x"],
        (5, "bad-request"),
    );
    refused(
        frames!["MDPC03", 1, "echo", numbered(5)],
        (5, "bad-request"),
    );
    refused(
        frames!["MDPC03", 1, "", numbered(5), "x"],
        (5, "bad-request"),
    );
    client.expect_nothing03();
}

#[test]
fn case_68_a_body_at_the_limit_is_echoed_and_one_over_it_is_too_large() {
    let plant = Plant::with(|config| {
        config.limits.frame = plantd_daemon::config::ByteSize::from_bytes(64 * 1024);
        config.limits.body = plantd_daemon::config::ByteSize::from_bytes(128 * 1024);
        config.limits.body_frames = 4;
    });
    let worker = plant.worker03("echo", &[]);
    let client = plant.dealer();
    let full = vec![b'x'; 64 * 1024];
    let over = vec![b'x'; 64 * 1024 + 1];

    client.send(frames![
        "MDPC03",
        1,
        "echo",
        numbered(1),
        &full,
        "",
        "",
        &full
    ]);
    let request = worker.recv();
    let (token, id) = (&request.0[2], &request.0[3]);
    assert_eq!(
        request,
        frames!["MDPW03", 2, token, id, &full, "", "", &full]
    );
    worker.send(frames!["MDPW03", 4, token, id, &full, "", "", &full]);
    client.expect(frames![
        "MDPC03",
        3,
        "echo",
        numbered(1),
        &full,
        "",
        "",
        &full
    ]);

    for body in [
        frames![&over],
        frames!["", "", "", "", ""],
        frames![&full, &full, "x"],
    ] {
        client.send(frames!["MDPC03", 1, "echo", numbered(2)].and(&body.0));
        assert_eq!(error(&client), (2, "too-large".into()));
    }
    for (id, body) in [(3, frames![&over]), (4, frames![&full, &full, "x"])] {
        client.send(frames!["MDPC03", 1, "echo", numbered(id), "small"]);
        let (token, header) = take(&worker, "small");
        worker.send(frames!["MDPW03", 4, &token, &header].and(&body.0));
        assert_eq!(error(&client), (id, "too-large".into()));
    }
    client.expect_nothing03();
    serves_on(&plant, &worker);
}

#[test]
fn case_69_large_bodies_at_a_high_credit_do_not_end_a_slow_worker() {
    const REQUESTS: u64 = 32;
    let mut plant = Plant::with(|config| {
        config.limits.client_bytes = plantd_daemon::config::ByteSize::from_bytes(64 << 20);
    });
    let worker = plant.worker03("echo", &[("credit", "500")]);
    let client = plant.dealer();
    let body = vec![b'x'; 1 << 20];
    for id in 1..=REQUESTS {
        client.send(frames!["MDPC03", 1, "echo", numbered(id), &body]);
    }
    client.expect_nothing03();
    let backlog = plant.metrics().value("outboxes_bytes");
    assert!(backlog < 4 << 20, "{backlog} bytes wait for one worker");
    for _ in 0..REQUESTS {
        let request = worker.recv();
        assert_eq!(request.0[..2], frames!["MDPW03", 2].0);
        worker.send(frames![
            "MDPW03",
            4,
            &request.0[2],
            &request.0[3],
            &request.0[4]
        ]);
    }
    for id in 1..=REQUESTS {
        client.expect(frames!["MDPC03", 3, "echo", numbered(id), &body]);
    }
    plant.stop();
    plant.assert_rejected(&[]);
}

#[test]
fn case_71_a_worker_that_drains_returns_what_crossed_and_no_attempt_counts() {
    let plant = Plant::start();
    let leaving = plant.worker03("echo", &[("credit", "2")]);
    let client = plant.dealer();
    for (id, body) in [(1, "held"), (2, "crossed"), (3, "queued")] {
        client.send(frames!["MDPC03", 1, "echo", numbered(id), body]);
    }
    let (held, held_id) = take(&leaving, "held");
    let (crossed, crossed_id) = take(&leaving, "crossed");
    leaving.send(frames!["MDPW03", 5, header(0, &[("credit", "0")])]);
    let returned = header(properties(&crossed_id).0, &[("code", "draining")]);
    leaving.send(frames!["MDPW03", 7, crossed, returned]);
    leaving.send(frames!["MDPW03", 4, held, held_id, "done"]);
    client.expect(frames!["MDPC03", 3, "echo", numbered(1), "done"]);
    leaving.send(frames!["MDPW03", 6]);

    let next = plant.worker03("echo", &[]);
    for (id, body) in [(2, "crossed"), (3, "queued")] {
        let (token, header) = take(&next, body);
        assert!(properties(&header).1.is_empty(), "it is the first attempt");
        next.send(frames!["MDPW03", 4, token, header, body]);
        client.expect(frames!["MDPC03", 3, "echo", numbered(id), body]);
    }
    plant.assert_rejected(&[]);
}

#[test]
fn case_72_a_window_goes_to_the_worker_and_streams_do_not_take_its_credit() {
    let plant = Plant::start();
    let worker = plant.worker03("echo", &[("credit", "1")]);
    let client = plant.dealer();
    client.send(frames![
        "MDPC03",
        1,
        "echo",
        header(1, &[("window", "2")]),
        "many"
    ]);
    let request = worker.recv();
    let (id, terms) = properties(&request.0[3]);
    assert_eq!(terms["window"], "2");
    let token = &request.0[2];
    for part in ["1", "2"] {
        worker.send(frames!["MDPW03", 3, token, numbered(id), part]);
    }
    // The worker waits for MORE; the client has yet to read.
    serves_on(&plant, &worker);
    for part in ["1", "2"] {
        client.expect(frames!["MDPC03", 2, "echo", numbered(1), part]);
    }
    client.send(frames!["MDPC03", 7, "echo", header(1, &[("more", "1")])]);
    worker.expect(frames!["MDPW03", 10, token, header(id, &[("more", "1")])]);
    worker.send(frames!["MDPW03", 3, token, numbered(id), "3"]);
    worker.send(frames!["MDPW03", 4, token, numbered(id), "end"]);
    client.expect(frames!["MDPC03", 2, "echo", numbered(1), "3"]);
    client.expect(frames!["MDPC03", 3, "echo", numbered(1), "end"]);
}

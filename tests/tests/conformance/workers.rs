//! How workers come, go and are lost (cases 13 to 24).

use std::time::Duration;

use plantd_tests::{Frames, Peer, Plant, T, frames, header, numbered, properties};
use serde_json::json;

const DISCONNECT: fn() -> Frames = || frames!["MDPW02", 6];

#[test]
fn case_13_a_second_ready_ends_the_worker() {
    let mut plant = Plant::start();
    let worker = plant.worker("echo");
    assert_eq!(plant.mmi("service", "echo").0, "200");

    worker.send(frames!["MDPW02", 1, "echo"]);
    worker.expect(DISCONNECT());
    assert_eq!(plant.mmi("service", "echo").0, "404");

    plant.stop();
    worker.expect_end(&[]);
    plant.assert_rejected(&[("already_ready", 1)]);
}

#[test]
fn case_14_who_has_not_said_ready_is_told_once_to_go() {
    let token = [7; 16];
    let messages = [
        frames!["MDPW02", 5],
        frames!["MDPW02", 3, &token[..], "", "x"],
        frames!["MDPW02", 4, &token[..], "", "x"],
    ];
    let mut plant = Plant::start();
    let strangers: Vec<Peer> = messages.iter().map(|_| plant.dealer()).collect();
    for (stranger, message) in strangers.iter().zip(messages) {
        stranger.send(message.clone());
        stranger.send(message);
        stranger.expect(DISCONNECT());
    }
    plant.until("the second ones are dropped", |reading| {
        reading.rejected("dismissed") == 3
    });
    assert_eq!(plant.metrics().value("services"), 0);

    plant.stop();
    strangers
        .iter()
        .for_each(|stranger| stranger.expect_end(&[]));
    plant.assert_rejected(&[("not_ready", 3), ("dismissed", 3)]);
}

#[test]
fn case_15_a_worker_that_said_goodbye_never_gets_another_frame() {
    let mut plant = Plant::with(|config| {
        config.heartbeat_interval = Duration::from_millis(100).into();
        config.liveness = 2;
    });
    let worker = plant.worker("echo");
    worker.send(frames!["MDPW02", 6]);
    plant.until("it is gone", |reading| reading.value("workers") == 0);
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "nobody"]);
    client.expect_nothing();

    // After H·L the broker closes the connection.
    let heard = worker.until_end();
    let farewell = heard
        .iter()
        .position(|message| *message != frames!["MDPW02", 5]);
    assert_eq!(
        farewell, None,
        "only heartbeats came before the goodbye: {heard:?}"
    );
    drop(client);
    plant.stop();
    plant.assert_rejected(&[]);
}

#[test]
fn case_16_a_goodbye_before_ready_is_not_answered() {
    let mut plant = Plant::start();
    let stranger = plant.dealer();
    stranger.send(frames!["MDPW02", 6]);
    plant.until("it is counted", |reading| {
        reading.rejected("not_ready") == 1
    });

    plant.assert_alive();
    plant.stop();
    stranger.expect_end(&[]);
}

/// A client of MDP/0.3 has asked, and the one worker there was has the request.
fn dispatched(plant: &Plant) -> (Peer, Peer) {
    let client = plant.dealer();
    let worker = plant.worker("echo");
    client.send(frames!["MDPC03", 1, "echo", numbered(1), "hi"]);
    worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    (client, worker)
}

/// The next worker has the request as attempt 2, and answers it.
fn answered_by_the_next(plant: &Plant, client: &Peer) {
    let worker = plant.worker03("echo", &[]);
    let request = worker.recv();
    let (id, terms) = properties(&request.0[3]);
    assert_eq!(
        terms.get("attempt").map(String::as_str),
        Some("2"),
        "{request:?}"
    );
    worker.send(frames!["MDPW03", 4, &request.0[2], numbered(id), "done"]);
    client.expect(frames!["MDPC03", 3, "echo", numbered(1), "done"]);
    client.expect_nothing03();
    assert_eq!(plant.metrics().value("redispatches_total"), 1);
}

#[test]
fn case_17_what_a_worker_held_that_says_goodbye_goes_to_another() {
    let plant = Plant::start();
    let (client, worker) = dispatched(&plant);
    worker.send(frames!["MDPW02", 6]);
    answered_by_the_next(&plant, &client);
}

#[test]
fn case_18_what_a_worker_held_whose_connection_ends_goes_to_another() {
    let plant = Plant::start();
    let (client, worker) = dispatched(&plant);
    drop(worker);
    answered_by_the_next(&plant, &client);
}

#[test]
fn case_18_what_a_worker_held_whose_connection_is_reset_goes_to_another() {
    let plant = Plant::start();
    let mut worker = plant.wire();
    worker.handshake(3, 1);
    worker.send(&frames!["MDPW02", 1, "echo"]);
    let client = plant.dealer();
    client.send(frames!["MDPC03", 1, "echo", numbered(1), "hi"]);
    worker.recv().token_of(&frames!["MDPW02", 2, T, "", "hi"]);
    worker.reset();
    answered_by_the_next(&plant, &client);
}

#[test]
fn case_18_what_a_silent_worker_held_goes_to_another() {
    let plant = Plant::start();
    let client = plant.dealer();
    let silent = plant.worker03("echo", &[("heartbeat-ms", "100"), ("liveness", "2")]);
    client.send(frames!["MDPC03", 1, "echo", numbered(1), "hi"]);
    silent.expect_token(frames!["MDPW03", 2, T, numbered(1), "hi"]);
    answered_by_the_next(&plant, &client);
}

#[test]
fn case_19_a_request_that_kills_its_workers_is_given_up_and_shown() {
    let plant = Plant::start();
    let client = plant.dealer();
    client.send(frames!["MDPC03", 1, "echo", numbered(1), "poison"]);
    client.send(frames!["MDPC03", 1, "echo", numbered(2), "harmless"]);
    for _ in 0..3 {
        let victim = plant.worker("echo");
        victim.expect_token(frames!["MDPW02", 2, T, "", "poison"]);
        drop(victim);
        plant.until("it is gone", |reading| reading.value("workers") == 0);
    }
    let answer = client.recv();
    assert_eq!(answer.0[..3], frames!["MDPC03", 4, "echo"].0, "{answer:?}");
    let (id, error) = properties(&answer.0[3]);
    assert_eq!((id, error["code"].as_str()), (1, "worker-lost"));

    let (status, dead) = plant.mmi("dead", "");
    assert_eq!((status.as_str(), &dead["total"]), ("200", &json!(1)));
    assert_eq!(dead["dead"][0]["service"], "echo");
    assert_eq!(dead["dead"][0]["body_bytes"], 6);
    let attempts = dead["dead"][0]["attempts"].as_array().unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["closed"; 3]);

    let worker = plant.worker("echo");
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "harmless"]);
    worker.send(frames!["MDPW02", 4, token, "", "alive"]);
    client.expect(frames!["MDPC03", 3, "echo", numbered(2), "alive"]);
    client.expect_nothing03();
}

#[test]
fn case_20_a_stalled_worker_that_wakes_up_cannot_answer_a_second_time() {
    let mut plant = Plant::with(|config| {
        config.heartbeat_interval = Duration::from_millis(100).into();
        config.busy_liveness = 3;
    });
    let stalled = plant.worker("echo");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let late = loop {
        let message = stalled.recv();
        if message != frames!["MDPW02", 5] {
            break message.token_of(&frames!["MDPW02", 2, T, "", "hi"]);
        }
    };
    plant.until("it is expired", |reading| reading.value("workers") == 0);

    let fresh = plant.worker("echo");
    let token = fresh.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    fresh.send(frames!["MDPW02", 4, token, "", "in time"]);
    client.expect(frames!["MDPC02", 3, "echo", "in time"]);
    stalled.send(frames!["MDPW02", 4, late, "", "late"]);
    plant.until("it is refused", |reading| {
        reading.rejected("not_ready") == 1
    });
    client.expect_nothing();

    plant.stop();
    client.expect_end(&[]);
    let heard = stalled.until_end();
    assert_eq!(heard.last(), Some(&DISCONNECT()), "{heard:?}");
}

#[test]
fn case_21_the_names_of_the_broker_cannot_be_served() {
    let mut plant = Plant::start();
    for name in ["mmi.service", "mmi.x", "mmi.", "org.plantd.Broker"] {
        let impostor = plant.dealer();
        impostor.send(frames!["MDPW02", 1, name]);
        impostor.expect(DISCONNECT());
    }
    assert_eq!(plant.metrics().value("workers"), 0);
    plant.assert_alive();
    plant.stop();
    plant.assert_rejected(&[("reserved_service", 4)]);
}

#[test]
fn case_21_an_identity_is_no_service_name() {
    let plant = Plant::start();
    let worker = plant.peer(zmq::DEALER, |socket| socket.set_identity(b"mmi.w").unwrap());
    worker.send(frames!["MDPW02", 1, "echo"]);
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    worker.send(frames!["MDPW02", 4, token, "", "hi"]);
    client.expect(frames!["MDPC02", 3, "echo", "hi"]);
}

#[test]
fn case_22_a_service_needs_a_printable_name_of_at_most_128_bytes() {
    let mut plant = Plant::start();
    let bad = [
        "".to_owned(),
        "a".repeat(129),
        "a".repeat(256),
        "a b".into(),
        "\u{7f}".into(),
    ];
    for name in &bad {
        let worker = plant.dealer();
        worker.send(frames!["MDPW02", 1, &name[..]]);
        worker.expect(DISCONNECT());
    }
    plant.worker(&"a".repeat(128));
    plant.assert_alive();
    plant.stop();
    plant.assert_rejected(&[("bad_service", bad.len() as u64)]);
}

#[test]
fn case_23_a_dismissed_worker_registers_on_a_new_connection() {
    let plant = Plant::start();
    let clumsy = plant.worker("echo");
    clumsy.send(frames!["MDPW02", 1, "echo"]);
    clumsy.expect(DISCONNECT());
    clumsy.send(frames!["MDPW02", 1, "echo"]);
    plant.until("the old one is deaf", |reading| {
        reading.rejected("dismissed") == 1
    });

    let again = plant.worker("echo");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = again.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    again.send(frames!["MDPW02", 4, token, "", "hi"]);
    client.expect(frames!["MDPC02", 3, "echo", "hi"]);
}

#[test]
fn case_24_two_connections_with_one_identity_do_not_disturb_each_other() {
    let plant = Plant::start();
    let named = || plant.peer(zmq::DEALER, |socket| socket.set_identity(b"twin").unwrap());
    let worker = plant.worker("echo");
    let twins = [named(), named()];
    for (twin, body) in twins.iter().zip(["1", "2"]) {
        twin.send(frames!["MDPC02", 1, "echo", body]);
    }
    for _ in 0..2 {
        let request = worker.recv();
        worker.send(frames!["MDPW02", 4, &request.0[2], "", &request.0[4]]);
    }
    for (twin, body) in twins.iter().zip(["1", "2"]) {
        twin.expect(frames!["MDPC02", 3, "echo", body]);
        twin.expect_nothing();
    }
    let workers = [named(), named()];
    for twin in &workers {
        twin.send(frames!["MDPW02", 1, "twins"]);
    }
    plant.until("both are registered", |reading| {
        reading.value("workers") == 3
    });
    let client = plant.dealer();
    for body in ["1", "2"] {
        client.send(frames!["MDPC02", 1, "twins", body]);
    }
    for twin in &workers {
        let request = twin.recv();
        twin.send(frames!["MDPW02", 4, &request.0[2], "", &request.0[4]]);
    }
    let mut answers = [client.recv(), client.recv()];
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        answers,
        [
            frames!["MDPC02", 3, "twins", "1"],
            frames!["MDPC02", 3, "twins", "2"]
        ]
    );
    let (_, listed) = plant.mmi("workers", "twins");
    let addresses: Vec<_> = listed["workers"].as_array().unwrap().iter().collect();
    assert!(
        addresses
            .iter()
            .all(|worker| worker["address"].as_str().unwrap().contains("twin"))
    );
}

#[test]
fn a_worker_of_mdp03_says_what_it_offers_and_is_told_what_holds() {
    let plant = Plant::start();
    let worker = plant.dealer();
    let offer = [
        ("credit", "100000"),
        ("heartbeat-ms", "1"),
        ("liveness", "99"),
        ("name", "w"),
    ];
    worker.send(frames!["MDPW03", 1, "echo", header(0, &offer)]);
    let welcome = worker.recv();
    let (id, terms) = properties(&welcome.0[3]);
    assert_eq!(welcome.0[..3], frames!["MDPW03", 8, "echo"].0);
    let terms: Vec<_> = terms
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let agreed = [
        ("credit", "4096"),
        ("heartbeat-ms", "100"),
        ("liveness", "20"),
        ("streams", "1024"),
    ];
    assert_eq!((id, &terms[..]), (0, &agreed[..]));
}

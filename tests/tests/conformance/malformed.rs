//! Messages that are none (cases 38 to 54). After each the broker serves others as before.

use plantd_tests::{Frames, Peer, Plant, T, frames, numbered};

const DISCONNECT: fn() -> Frames = || frames!["MDPW02", 6];

/// Sends each message on a connection of its own, and shows that nobody is answered, that each is
/// counted by its reason, and that the broker is alive.
fn dropped(reason: &str, messages: &[Frames]) {
    let mut plant = Plant::start();
    let peers: Vec<Peer> = messages.iter().map(|_| plant.dealer()).collect();
    for (peer, message) in peers.iter().zip(messages) {
        peer.send(message.clone());
        peer.expect_nothing();
    }
    plant.assert_alive();
    plant.stop();
    peers.iter().for_each(|peer| peer.expect_end(&[]));
    plant.assert_rejected(&[(reason, messages.len() as u64)]);
}

/// The same for messages by which a peer calls itself a worker: each is told to go.
fn dismissed(reason: &str, messages: &[Frames]) {
    let mut plant = Plant::start();
    let peers: Vec<Peer> = messages.iter().map(|_| plant.dealer()).collect();
    for (peer, message) in peers.iter().zip(messages) {
        peer.send(message.clone());
        peer.expect(DISCONNECT());
    }
    plant.assert_alive();
    plant.stop();
    peers.iter().for_each(|peer| peer.expect_end(&[]));
    plant.assert_rejected(&[(reason, messages.len() as u64)]);
}

/// Sends a message as a worker that holds a request, and shows that it is told to go, that its
/// request is served by the next, and that the broker is alive.
fn removed(reason: &str, message: impl Fn(&[u8]) -> Frames) {
    let mut plant = Plant::start();
    let worker = plant.worker("echo");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    worker.send(message(&token));
    worker.expect(DISCONNECT());

    let next = plant.worker("echo");
    let token = next.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    next.send(frames!["MDPW02", 4, token, "", "done"]);
    client.expect(frames!["MDPC02", 3, "echo", "done"]);
    plant.assert_alive();
    plant.stop();
    client.expect_end(&[]);
    worker.expect_end(&[]);
    plant.assert_rejected(&[(reason, 1)]);
}

#[test]
fn case_38_one_empty_frame() {
    dropped("unknown_protocol", &[frames![""]]);
}

#[test]
fn case_39_one_frame_that_is_no_header() {
    dropped("unknown_protocol", &[frames!["x"]]);
}

#[test]
fn case_40_a_frame_and_then_nothing() {
    dropped("unknown_protocol", &[frames!["x", ""], frames!["", "", ""]]);
}

#[test]
fn case_41_a_client_header_alone() {
    dropped("no_command", &[frames!["MDPC02"], frames!["", "MDPC02"]]);
}

#[test]
fn case_42_a_worker_header_alone() {
    dropped("no_command", &[frames!["MDPW02"], frames!["", "MDPW02"]]);
}

#[test]
fn case_43_a_request_without_a_service() {
    dropped(
        "no_service",
        &[frames!["MDPC02", 1], frames!["", "MDPC02", 1]],
    );
}

#[test]
fn case_44_a_request_without_a_body() {
    dropped(
        "no_body",
        &[
            frames!["MDPC02", 1, "echo"],
            frames!["MDPC02", 1, "org.plantd.Broker"],
        ],
    );
}

#[test]
fn case_45_a_request_to_an_empty_service() {
    dropped("bad_service", &[frames!["MDPC02", 1, "", "x"]]);
}

#[test]
fn case_46_a_client_command_that_there_is_not() {
    let command = |command: &[u8]| frames!["MDPC02", command, "echo", "x"];
    let commands: [&[u8]; 7] = [&[0], &[2], &[3], &[4], &[0xff], &[], &[1, 1]];
    dropped("unknown_command", &commands.map(command));
}

#[test]
fn case_47_a_ready_without_a_service() {
    dropped(
        "no_service",
        &[frames!["MDPW02", 1], frames!["", "MDPW02", 1]],
    );
}

#[test]
fn case_48_a_reply_without_a_token_changes_nothing() {
    let mut plant = Plant::start();
    let worker = plant.worker("echo");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    worker.send(frames!["MDPW02", 3]);
    worker.send(frames!["MDPW02", 4]);
    worker.send(frames!["MDPW02", 4, token, "", "done"]);
    client.expect(frames!["MDPC02", 3, "echo", "done"]);
    plant.assert_alive();
    plant.stop();
    worker.expect_end(&[DISCONNECT()]);
    plant.assert_rejected(&[("no_token", 2)]);
}

#[test]
fn case_49_a_reply_without_a_body() {
    removed("no_body", |token| frames!["MDPW02", 4, token]);
    removed("no_body", |token| frames!["MDPW02", 4, token, ""]);
}

#[test]
fn case_50_a_reply_whose_delimiter_is_not_empty() {
    removed("no_delimiter", |token| {
        frames!["MDPW02", 4, token, "x", "y"]
    });
}

#[test]
fn case_51_a_worker_command_that_there_is_not() {
    removed("unknown_command", |token| {
        frames!["MDPW02", 2, token, "", "x"]
    });
    removed("unknown_command", |_| frames!["MDPW02", 7]);
    let token = [7; 16];
    dismissed(
        "unknown_command",
        &[
            frames!["MDPW02", 2, &token[..], "", "x"],
            frames!["MDPW02", 7],
        ],
    );
}

#[test]
fn case_52_a_header_of_no_known_version() {
    let headers = ["mdpc02", "MDPC0", "MDPC020", "MDPC04", "MDPW00", "MDPX02"];
    dropped(
        "unknown_protocol",
        &headers.map(|header| frames![header, 1, "echo", "x"]),
    );
}

#[test]
fn case_52_a_header_frame_that_is_too_short() {
    dropped(
        "bad_header",
        &[
            frames!["MDPC03", 1, "echo", "x"],
            frames!["MDPC03", 1, "echo"],
        ],
    );
}

#[test]
fn case_53_a_token_that_was_not_given_to_this_worker() {
    let mut plant = Plant::start();
    let honest = plant.worker("echo");
    let thief = plant.worker("other");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = honest.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    thief.send(frames!["MDPW02", 4, &token, "", "stolen"]);
    thief.expect(DISCONNECT());
    client.expect_nothing();
    honest.send(frames!["MDPW02", 4, &token, "", "mine"]);
    client.expect(frames!["MDPC02", 3, "echo", "mine"]);
    plant.assert_alive();
    plant.stop();
    client.expect_end(&[]);
    thief.expect_end(&[]);
    plant.assert_rejected(&[("unknown_token", 1)]);
}

#[test]
fn case_53_a_token_that_has_ended_or_was_never_given() {
    removed("unknown_token", |token| {
        let mut other = token.to_vec();
        other[15] ^= 1;
        frames!["MDPW02", 4, other, "", "guessed"]
    });
    removed("unknown_token", |_| {
        frames!["MDPW02", 4, &[0; 16][..], "", "zero"]
    });
    removed("unknown_token", |_| {
        frames!["MDPW02", 3, "short", "", "short"]
    });
    removed("unknown_token", |token| {
        frames!["MDPW02", 4, &[token, &[0]].concat(), "", "long"]
    });

    let mut plant = Plant::start();
    let worker = plant.worker("echo");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    worker.send(frames!["MDPW02", 4, &token, "", "once"]);
    worker.send(frames!["MDPW02", 4, &token, "", "twice"]);
    client.expect(frames!["MDPC02", 3, "echo", "once"]);
    worker.expect(DISCONNECT());
    client.expect_nothing();
    plant.stop();
    worker.expect_end(&[]);
    plant.assert_rejected(&[("unknown_token", 1)]);
}

#[test]
fn case_54_frames_that_nobody_needs_are_ignored() {
    let mut plant = Plant::start();
    let worker = plant.registered(frames!["MDPW02", 1, "echo", "junk", "more junk"]);
    worker.send(frames!["MDPW02", 5, "junk"]);
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    worker.send(frames!["MDPW02", 4, token, "", "hi"]);
    client.expect(frames!["MDPC02", 3, "echo", "hi"]);
    worker.send(frames!["MDPW02", 6, "junk"]);
    plant.until("it is gone", |reading| reading.value("workers") == 0);
    plant.stop();
    worker.expect_end(&[]);
    plant.assert_rejected(&[]);
}

#[test]
fn a_connection_keeps_its_dialect_its_delimiter_and_its_role() {
    let mut plant = Plant::start();
    let client = plant.dealer();
    client.expect_nothing();
    client.send(frames!["", "MDPC02", 1, "mmi.heartbeat", "delimited"]);
    client.send(frames!["MDPC03", 1, "mmi.heartbeat", numbered(1), "newer"]);
    client.send(frames!["MDPC02", "REQUEST", "mmi.heartbeat", "in words"]);
    client.send(frames!["MDPW02", 1, "echo"]);
    client.expect_nothing();
    assert_eq!(plant.metrics().value("workers"), 0);
    plant.stop();
    client.expect_end(&[]);
    plant.assert_rejected(&[("dialect_changed", 3), ("role_changed", 1)]);
}

//! Conformance 59 and 60: each dialect, alone and with each other; what a connection pins.

use super::*;

/// How a client of a dialect asks, and what it is answered.
struct Asker {
    name: &'static str,
    request: Frames,
    reply: Frames,
}

/// How a worker of a dialect registers, and what it is given, with `T` for the token.
struct Server {
    name: &'static str,
    ready: Frames,
    request: Frames,
}

fn askers() -> [Asker; 4] {
    [
        Asker {
            name: "MDP/0.1",
            request: frames!["", "MDPC01", "echo", "a", "b"],
            reply: frames!["", "MDPC01", "echo", "a", "b"],
        },
        Asker {
            name: "MDP/0.2",
            request: frames!["MDPC02", 1, "echo", "a", "b"],
            reply: frames!["MDPC02", 3, "echo", "a", "b"],
        },
        Asker {
            name: "words",
            request: frames!["", "MDPC02", "REQUEST", "echo", "a", "b"],
            reply: frames!["MDPC02", "FINAL", "echo", "a", "b"],
        },
        Asker {
            name: "MDP/0.3",
            request: frames!["MDPC03", 1, "echo", header(77, &[]), "a", "b"],
            reply: frames!["MDPC03", 3, "echo", header(77, &[]), "a", "b"],
        },
    ]
}

fn servers() -> [Server; 4] {
    [
        Server {
            name: "MDP/0.1",
            ready: frames!["", "MDPW01", 1, "echo"],
            request: frames!["", "MDPW01", 2, "T", "", "a", "b"],
        },
        Server {
            name: "MDP/0.2",
            ready: frames!["MDPW02", 1, "echo"],
            request: frames!["MDPW02", 2, "T", "", "a", "b"],
        },
        Server {
            name: "words",
            ready: frames!["", "MDPW02", "READY", "echo"],
            request: frames!["MDPW02", "REQUEST", "T", "", "a", "b"],
        },
        Server {
            name: "MDP/0.3",
            ready: frames!["MDPW03", 1, "echo", header(0, &[])],
            request: frames!["MDPW03", 2, "T", header(1, &[]), "a", "b"],
        },
    ]
}

/// The request with the token that the broker gave in place of `T`.
fn with_token(request: &Frames, token: &[u8]) -> Frames {
    let place = |frame: &Vec<u8>| {
        if frame == b"T" {
            token.to_vec()
        } else {
            frame.clone()
        }
    };
    Frames(request.0.iter().map(place).collect())
}

#[test]
fn case_59_the_go_plantd_cycle_byte_for_byte() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.opens(false));
    plant.sends(worker, frames!["", "MDPW02", "READY", "org.plantd.Echo"]);
    plant.assert_silence(worker);

    plant.sends(
        client,
        frames!["", "MDPC02", "REQUEST", "org.plantd.Echo", "echo", "{}"],
    );
    let request = plant.takes_one(worker);
    let token = request.token();
    assert_eq!(
        request,
        frames!["MDPW02", "REQUEST", &token, "", "echo", "{}"]
    );

    plant.sends(worker, frames!["", "MDPW02", "PARTIAL", &token, "1"]);
    plant.sends(worker, frames!["", "MDPW02", "FINAL", &token, "2"]);
    let received = plant.takes(client);
    assert_eq!(
        received,
        [
            frames!["MDPC02", "PARTIAL", "org.plantd.Echo", "1"],
            frames!["MDPC02", "FINAL", "org.plantd.Echo", "2"],
        ]
    );

    plant.sends(worker, frames!["", "MDPW02", "HEARTBEAT"]);
    plant.sends(worker, frames!["", "MDPW02", "DISCONNECT"]);
    plant.assert_silence(worker);
    assert!(!plant.is_served("org.plantd.Echo"));
    plant.assert_rejected(&[]);
}

#[test]
fn case_59_words_skip_an_empty_frame_only_before_another() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.opens(false));
    plant.sends(worker, frames!["", "MDPW02", "READY", "echo"]);
    let bodies = [
        (vec!["", "x"], frames!["MDPC02", 3, "echo", "x"]),
        (vec![""], frames!["MDPC02", 3, "echo", ""]),
        (vec!["", ""], frames!["MDPC02", 3, "echo", ""]),
        (vec!["x", ""], frames!["MDPC02", 3, "echo", "x", ""]),
    ];
    for (body, expected) in bodies {
        plant.asks(client, "echo", "?");
        let mut reply = frames!["", "MDPW02", "FINAL", plant.takes_one(worker).token()];
        reply
            .0
            .extend(body.iter().map(|frame| frame.as_bytes().to_vec()));
        plant.sends(worker, reply);
        assert_eq!(plant.takes(client), [expected]);
    }
}

#[test]
fn case_60_each_client_is_served_by_each_worker() {
    for asker in askers() {
        for server in servers() {
            let pair = format!("{} by {}", asker.name, server.name);
            let mut plant = Plant::new();
            let (client, worker) = (plant.client(), plant.opens(false));
            plant.sends(worker, server.ready);
            plant.takes(worker);

            plant.sends(client, asker.request.clone());
            let request = plant.takes_one(worker);
            assert_eq!(
                request,
                with_token(&server.request, &request.token()),
                "{pair}"
            );
            plant.echoes(worker, &request);

            assert_eq!(
                plant.takes(client),
                std::slice::from_ref(&asker.reply),
                "{pair}"
            );
            plant.assert_rejected(&[]);
        }
    }
}

#[test]
fn case_60_a_req_client_is_served_by_an_mdp01_worker() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.opens(true), plant.opens(false));
    plant.sends(worker, frames!["", "MDPW01", 1, "echo"]);

    plant.sends(client, frames!["", "MDPC01", "echo", "hi"]);

    assert_eq!(plant.serves(worker), 1);
    assert_eq!(plant.takes(client), [frames!["", "MDPC01", "echo", "hi"]]);
}

#[test]
fn a_leading_empty_frame_is_mirrored_in_every_frame() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.opens(false));
    plant.sends(worker, frames!["", "MDPW02", 1, "echo"]);
    plant.sends(client, frames!["", "MDPC02", 1, "echo", "hi"]);

    let request = plant.takes_one(worker);
    assert_eq!(request, frames!["", "MDPW02", 2, request.token(), "", "hi"]);
    plant.sends(worker, request.partial("1"));
    plant.sends(worker, request.last("2"));
    let received = plant.takes(client);
    let expected = [
        frames!["", "MDPC02", 2, "echo", "1"],
        frames!["", "MDPC02", 3, "echo", "2"],
    ];
    assert_eq!(received, expected);

    plant.passes(H);
    assert_eq!(plant.hears(worker)[0].1, frames!["", "MDPW02", 5]);
    plant.sends(worker, frames!["", "MDPW02", 1, "echo"]);
    assert_eq!(plant.takes(worker), [frames!["", "MDPW02", 6]]);
}

#[test]
fn mdp01_without_the_empty_frame_is_answered_without_it() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.opens(false));
    plant.sends(worker, frames!["MDPW01", 1, "echo"]);
    plant.sends(client, frames!["MDPC01", "echo", "hi"]);

    let request = plant.takes_one(worker);
    assert_eq!(request, frames!["MDPW01", 2, request.token(), "", "hi"]);
    plant.sends(worker, frames!["MDPW01", 3, request.token(), "", "ho"]);
    assert_eq!(plant.takes(client), [frames!["MDPC01", "echo", "ho"]]);
}

#[test]
fn mdp01_numbers_its_commands_differently() {
    let mut plant = Plant::new();
    let worker = plant.opens(false);
    plant.sends(worker, frames!["", "MDPW01", 1, "echo"]);

    plant.passes(2 * H);
    plant.sends(worker, frames!["", "MDPW01", 4]);
    plant.passes(2 * H);
    assert!(plant.is_served("echo"));

    plant.sends(worker, frames!["", "MDPW01", 5]);
    plant.assert_silence(worker);
    assert!(!plant.is_served("echo"));

    let other = plant.opens(false);
    plant.sends(other, frames!["", "MDPW01", 4]);
    assert_eq!(plant.takes(other), [frames!["", "MDPW01", 5]]);
}

#[test]
fn a_client_keeps_to_its_first_form() {
    for first in askers() {
        let mut plant = Plant::new();
        let (client, worker) = (plant.client(), plant.worker("echo"));
        plant.sends(client, first.request.clone());
        plant.takes(worker);
        let others = [
            frames!["", "MDPC01", "echo", "x"],
            frames!["MDPC01", "echo", "x"],
            frames!["MDPC02", 1, "echo", "x"],
            frames!["", "MDPC02", 1, "echo", "x"],
            frames!["", "MDPC02", "REQUEST", "echo", "x"],
            frames!["MDPC03", 1, "echo", header(78, &[]), "x"],
        ];
        let others = others
            .into_iter()
            .filter(|it| it.0[..3] != first.request.0[..3]);
        // MDP/0.1 is told by fewer frames than the others.
        let others: Vec<Frames> = others
            .filter(|it| it.0[..2] != frames!["", "MDPC01"].0 || first.name != "MDP/0.1")
            .collect();
        assert_eq!(others.len(), 5);

        for other in &others {
            plant.sends(client, other.clone());
        }

        plant.assert_rejected(&[Rejection::DialectChanged; 5]);
        plant.assert_silence(client);
        assert_eq!(plant.broker.tally().requests, 1);
    }
}

#[test]
fn a_worker_keeps_to_its_first_form() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks(client, "echo", "hi");
    let request = plant.takes_one(worker);
    let token = request.token();

    plant.sends(worker, frames!["", "MDPW02", 4, &token, "", "x"]);
    plant.sends(worker, frames!["MDPW02", "FINAL", &token, "x"]);
    plant.sends(worker, frames!["MDPW01", 3, &token, "", "x"]);
    plant.sends(worker, frames!["MDPW03", 4, &token, header(1, &[]), "x"]);
    plant.sends(worker, frames!["MDPW01", 1, "echo"]);

    plant.assert_rejected(&[Rejection::DialectChanged; 5]);
    plant.assert_silence(client);
    plant.echoes(worker, &request);
    assert_eq!(plant.takes(client), [frames!["MDPC02", 3, "echo", "hi"]]);
}

#[test]
fn headers_are_added_and_dropped_between_versions() {
    let mut plant = Plant::new();
    let (older, newer) = (plant.client(), plant.client());
    let worker = plant.worker03("echo", 2);

    plant.asks(older, "echo", "hi");
    let request = plant.takes_one(worker);
    assert_eq!(
        request,
        frames!["MDPW03", 2, request.token(), header(1, &[]), "hi"]
    );
    let answer = header(1, &[("content-type", "text/plain")]);
    plant.sends(worker, frames!["MDPW03", 4, request.token(), answer, "ho"]);
    assert_eq!(plant.takes(older), [frames!["MDPC02", 3, "echo", "ho"]]);

    let worker = plant.worker("old");
    plant.asks_with(
        newer,
        5,
        &[("content-type", "text/plain"), ("deadline-ms", "90")],
        "old",
        "hi",
    );
    let request = plant.takes_one(worker);
    assert_eq!(request, frames!["MDPW02", 2, request.token(), "", "hi"]);
    plant.echoes(worker, &request);
    assert_eq!(
        plant.takes(newer),
        [frames!["MDPC03", 3, "old", header(5, &[]), "hi"]]
    );
}

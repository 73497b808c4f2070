//! Peers of every version, with each other (cases 59, 60 and 70).

use plantd_tests::{CratePeer, Frames, Peer, Plant, Site, T, frames, numbered, properties};

/// How a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Mdp01,
    Mdp02,
    Words,
    Mdp03,
}

const ALL: [Dialect; 4] = [
    Dialect::Mdp01,
    Dialect::Mdp02,
    Dialect::Words,
    Dialect::Mdp03,
];

impl Dialect {
    fn request(self, id: u64, body: &str) -> Frames {
        match self {
            Self::Mdp01 => frames!["", "MDPC01", "echo", body],
            Self::Mdp02 => frames!["MDPC02", 1, "echo", body],
            Self::Words => frames!["", "MDPC02", "REQUEST", "echo", body],
            Self::Mdp03 => frames!["MDPC03", 1, "echo", numbered(id), body],
        }
    }

    fn reply(self, id: u64, body: &[&str]) -> Frames {
        let envelope = match self {
            Self::Mdp01 => frames!["", "MDPC01", "echo"],
            Self::Mdp02 => frames!["MDPC02", 3, "echo"],
            Self::Words => frames!["MDPC02", "FINAL", "echo"],
            Self::Mdp03 => frames!["MDPC03", 3, "echo", numbered(id)],
        };
        let body: Vec<Vec<u8>> = body.iter().map(|frame| frame.as_bytes().to_vec()).collect();
        envelope.and(&body)
    }

    /// The PARTIAL that a client sees; a client of MDP/0.1 sees none.
    fn part(self, id: u64, body: &str) -> Option<Frames> {
        match self {
            Self::Mdp01 => None,
            Self::Mdp02 => Some(frames!["MDPC02", 2, "echo", body]),
            Self::Words => Some(frames!["MDPC02", "PARTIAL", "echo", body]),
            Self::Mdp03 => Some(frames!["MDPC03", 2, "echo", numbered(id), body]),
        }
    }

    fn ready(self) -> Frames {
        match self {
            Self::Mdp01 => frames!["", "MDPW01", 1, "echo"],
            Self::Mdp02 => frames!["MDPW02", 1, "echo"],
            Self::Words => frames!["", "MDPW02", "READY", "echo"],
            Self::Mdp03 => frames!["MDPW03", 1, "echo", numbered(0)],
        }
    }

    /// What a worker gets, but for the header of MDP/0.3, which the broker numbers.
    fn work(self, header: &[u8], body: &str) -> Frames {
        match self {
            Self::Mdp01 => frames!["", "MDPW01", 2, T, "", body],
            Self::Mdp02 => frames!["MDPW02", 2, T, "", body],
            Self::Words => frames!["MDPW02", "REQUEST", T, "", body],
            Self::Mdp03 => frames!["MDPW03", 2, T, header, body],
        }
    }

    fn work_part(self, token: &[u8], header: &[u8], body: &str) -> Option<Frames> {
        match self {
            Self::Mdp01 => None,
            Self::Mdp02 => Some(frames!["MDPW02", 3, token, "", body]),
            Self::Words => Some(frames!["", "MDPW02", "PARTIAL", token, body]),
            Self::Mdp03 => Some(frames!["MDPW03", 3, token, header, body]),
        }
    }

    fn work_end(self, token: &[u8], header: &[u8], body: &str) -> Frames {
        match self {
            Self::Mdp01 => frames!["", "MDPW01", 3, token, "", body],
            Self::Mdp02 => frames!["MDPW02", 4, token, "", body],
            Self::Words => frames!["", "MDPW02", "FINAL", token, body],
            Self::Mdp03 => frames!["MDPW03", 4, token, header, body],
        }
    }

    fn goodbye(self) -> Frames {
        match self {
            Self::Mdp01 => frames!["", "MDPW01", 5],
            Self::Mdp02 => frames!["MDPW02", 6],
            Self::Words => frames!["MDPW02", "DISCONNECT"],
            Self::Mdp03 => frames!["MDPW03", 6],
        }
    }
}

/// Takes a request as a worker, and returns its token and header.
fn take(worker: &Peer, dialect: Dialect, body: &str) -> (Vec<u8>, Vec<u8>) {
    let request = worker.recv();
    let header = match dialect {
        Dialect::Mdp03 => request.0[3].clone(),
        Dialect::Mdp01 | Dialect::Mdp02 | Dialect::Words => Vec::new(),
    };
    (request.token_of(&dialect.work(&header, body)), header)
}

#[test]
fn case_60_clients_of_every_version_are_served_by_workers_of_every_version() {
    for worker_speaks in ALL {
        let mut plant = Plant::start();
        let worker = plant.registered(worker_speaks.ready());
        if worker_speaks == Dialect::Mdp03 {
            assert_eq!(worker.recv().0[..3], frames!["MDPW03", 8, "echo"].0);
        }
        let clients = ALL.map(|dialect| (dialect, plant.dealer()));
        for (client_speaks, client) in &clients {
            client.send(client_speaks.request(7, "hi"));
            let (token, header) = take(&worker, worker_speaks, "hi");
            if let Some(part) = worker_speaks.work_part(&token, &header, "a") {
                worker.send(part);
                if let Some(part) = client_speaks.part(7, "a") {
                    client.expect(part);
                }
            }
            worker.send(worker_speaks.work_end(&token, &header, "b"));
            let joined = worker_speaks != Dialect::Mdp01 && *client_speaks == Dialect::Mdp01;
            let body: &[&str] = if joined { &["a", "b"] } else { &["b"] };
            client.expect(client_speaks.reply(7, body));
        }
        plant.stop();
        for (dialect, client) in &clients {
            assert_eq!(
                client.until_end(),
                [],
                "{dialect:?} client, {worker_speaks:?} worker"
            );
        }
        let mut heard = worker.until_end();
        if worker_speaks == Dialect::Mdp03 {
            // It also says why.
            heard[0].0.truncate(2);
        }
        assert_eq!(heard, [worker_speaks.goodbye()]);
        plant.assert_rejected(&[]);
    }
}

#[test]
fn case_60_a_req_socket_of_mdp01_is_served_by_a_worker_of_mdp01() {
    let plant = Plant::start();
    let worker = plant.registered(Dialect::Mdp01.ready());
    let client = plant.peer(zmq::REQ, |_| {});
    for body in ["1", "2"] {
        // The socket adds the empty frame and takes it away.
        client.send(frames!["MDPC01", "echo", body]);
        let (token, _) = take(&worker, Dialect::Mdp01, body);
        worker.send(Dialect::Mdp01.work_end(&token, &[], body));
        client.expect(frames!["MDPC01", "echo", body]);
    }
}

#[test]
fn case_60_a_req_socket_gets_the_parts_of_an_answer_as_one() {
    let plant = Plant::start();
    let worker = plant.worker("echo");
    let client = plant.peer(zmq::REQ, |_| {});
    for _ in 0..2 {
        client.send(frames!["MDPC02", 1, "echo", "hi"]);
        let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
        for (command, body) in [(3, "a"), (3, "b"), (4, "c")] {
            worker.send(frames!["MDPW02", command, &token, "", body]);
        }
        client.expect(frames!["MDPC02", 3, "echo", "a", "b", "c"]);
    }
}

#[test]
fn case_60_an_empty_frame_is_mirrored_in_all_that_a_peer_gets() {
    let mut plant = Plant::start();
    let worker = plant.registered(frames!["", "MDPW02", 1, "echo"]);
    let client = plant.dealer();
    client.send(frames!["", "MDPC02", 1, "echo", "hi"]);
    let token = worker.expect_token(frames!["", "MDPW02", 2, T, "", "hi"]);
    worker.send(frames!["", "MDPW02", 3, &token, "", "a"]);
    worker.send(frames!["", "MDPW02", 4, &token, "", "b"]);
    client.expect(frames!["", "MDPC02", 2, "echo", "a"]);
    client.expect(frames!["", "MDPC02", 3, "echo", "b"]);
    plant.stop();
    worker.expect_end(&[frames!["", "MDPW02", 6]]);
}

#[test]
fn case_60_peers_of_the_zeromq_crate_in_every_version() {
    let plant = Plant::start();
    for dialect in ALL {
        let mut worker: CratePeer = plant.crate_peer();
        let before = plant.metrics().value("workers");
        worker.send(dialect.ready());
        plant.until("it is registered", |reading| {
            reading.value("workers") == before + 1
        });
        if dialect == Dialect::Mdp03 {
            assert_eq!(worker.recv().0[..3], frames!["MDPW03", 8, "echo"].0);
        }
        let mut client = plant.crate_peer();
        client.send(dialect.request(1, "hi"));
        let request = worker.recv();
        let header = match dialect {
            Dialect::Mdp03 => request.0[3].clone(),
            Dialect::Mdp01 | Dialect::Mdp02 | Dialect::Words => Vec::new(),
        };
        let token = request.token_of(&dialect.work(&header, "hi"));
        worker.send(dialect.work_end(&token, &header, "hi"));
        client.expect(dialect.reply(1, &["hi"]));
        drop(worker);
        plant.until("it is gone", |reading| reading.value("workers") == before);
    }
    plant.assert_rejected(&[]);
}

#[test]
fn case_60_the_zeromq_crate_over_a_unix_socket() {
    let plant = Plant::at(Site::Ipc, |_| {});
    let worker = plant.worker("echo");
    let mut client = plant.crate_peer();
    client.send(Dialect::Mdp02.request(0, "hi"));
    let (token, _) = take(&worker, Dialect::Mdp02, "hi");
    worker.send(Dialect::Mdp02.work_end(&token, &[], "hi"));
    client.expect(Dialect::Mdp02.reply(0, &["hi"]));
}

#[test]
fn case_59_the_cycle_of_the_go_plantd() {
    let mut plant = Plant::start();
    let worker = plant.registered(frames!["", "MDPW02", "READY", "org.plantd.State"]);
    let client = plant.dealer();
    let body = [b"{}".to_vec(), Vec::new()];
    client.send(frames!["", "MDPC02", "REQUEST", "org.plantd.State", "state-get"].and(&body));
    let token = worker.expect_token(frames!["MDPW02", "REQUEST", T, "", "state-get"].and(&body));
    worker.send(frames!["", "MDPW02", "HEARTBEAT"]);
    worker.send(frames!["", "MDPW02", "PARTIAL", &token, "part"]);
    worker.send(frames!["", "MDPW02", "FINAL", &token, "{\"success\":true}"]);
    client.expect(frames!["MDPC02", "PARTIAL", "org.plantd.State", "part"]);
    client.expect(frames![
        "MDPC02",
        "FINAL",
        "org.plantd.State",
        "{\"success\":true}"
    ]);

    client.send(frames![
        "",
        "MDPC02",
        "REQUEST",
        "org.plantd.State",
        "again"
    ]);
    let token = worker.expect_token(frames!["MDPW02", "REQUEST", T, "", "again"]);
    // An empty frame after the token is skipped if another follows it, and a body if none does.
    worker.send(frames!["", "MDPW02", "PARTIAL", &token, "", "skipped"]);
    worker.send(frames!["", "MDPW02", "FINAL", &token, ""]);
    client.expect(frames!["MDPC02", "PARTIAL", "org.plantd.State", "skipped"]);
    client.expect(frames!["MDPC02", "FINAL", "org.plantd.State", ""]);

    worker.send(frames!["", "MDPW02", "DISCONNECT"]);
    plant.until("it is gone", |reading| reading.value("workers") == 0);
    plant.stop();
    worker.expect_end(&[]);
    client.expect_end(&[]);
    plant.assert_rejected(&[]);
}

#[test]
fn case_59_the_go_plantd_asks_the_broker_about_its_services() {
    let plant = Plant::start();
    let _worker = plant.worker("org.plantd.State");
    let client = plant.dealer();
    let query = "{\"service\":\"org.plantd.State\"}";
    client.send(frames![
        "",
        "MDPC02",
        "REQUEST",
        "org.plantd.Broker",
        "service",
        query
    ]);
    let answer = client.recv();
    assert_eq!(
        answer.0[..3],
        frames!["MDPC02", "FINAL", "org.plantd.Broker"].0
    );
    let answer: serde_json::Value = serde_json::from_slice(&answer.0[3]).unwrap();
    assert_eq!(answer["success"], true);
    assert_eq!(answer["data"]["workers"], 1);
}

#[test]
fn case_70_peers_of_zmtp_3_0_and_of_later_versions_are_served() {
    let plant = Plant::start();
    let worker = plant.worker("echo");
    for (major, minor) in [(3, 0), (3, 1), (3, 9), (4, 0), (255, 255)] {
        let mut client = plant.wire();
        client.handshake(major, minor);
        client.send(&Dialect::Mdp03.request(1, "hi"));
        let (token, _) = take(&worker, Dialect::Mdp02, "hi");
        worker.send(Dialect::Mdp02.work_end(&token, &[], "hi"));
        client.expect(Dialect::Mdp03.reply(1, &["hi"]));
    }
    plant.assert_rejected(&[]);
}

#[test]
fn case_70_a_peer_that_greets_byte_by_byte_is_served() {
    let plant = Plant::start();
    let mut client = plant.wire();
    for byte in plantd_tests::Wire::greeting(3, 1) {
        client.write(&[byte]);
    }
    client.handshake_after_greeting();
    for byte in frames!["MDPC02", 1, "mmi.heartbeat", "x"].encoded() {
        client.write(&[byte]);
    }
    client.expect(frames!["MDPC02", 3, "mmi.heartbeat", "200", "{}"]);
}

#[test]
fn ids_towards_workers_are_the_brokers_own() {
    let plant = Plant::start();
    let worker = plant.worker03("echo", &[("credit", "2")]);
    let clients = [plant.dealer(), plant.dealer()];
    for client in &clients {
        client.send(Dialect::Mdp03.request(1, "hi"));
    }
    let requests = [worker.recv(), worker.recv()];
    let ids = requests
        .each_ref()
        .map(|request| properties(&request.0[3]).0);
    assert_ne!(ids[0], ids[1]);
    for request in &requests {
        worker.send(frames!["MDPW03", 4, &request.0[2], &request.0[3], "hi"]);
    }
    for client in &clients {
        client.expect(Dialect::Mdp03.reply(1, &["hi"]));
    }
}

#[test]
fn case_70_idle_peers_stay_connected_if_they_answer_a_ping_or_know_none() {
    let plant = Plant::start();
    let mut of_the_crate = plant.crate_peer();
    let of_libzmq = plant.dealer();
    let mut old = plant.wire();
    old.handshake(3, 0);
    let mut dead = plant.wire();
    dead.handshake(3, 1);
    let mut silent = plant.wire();

    // One is closed after 4.5 s of silence, the other when its handshake took 5 s.
    assert!(dead.until_closed().ends_with(b"\x04PING\0\0"));
    silent.until_closed();
    let alive = frames!["MDPC02", 3, "mmi.heartbeat", "200", "{}"];
    for _ in 0..2 {
        of_the_crate.send(frames!["MDPC02", 1, "mmi.heartbeat", "x"]);
        of_the_crate.expect(alive.clone());
        of_libzmq.expect_nothing();
        old.send(&frames!["MDPC02", 1, "mmi.heartbeat", "x"]);
        old.expect(alive.clone());
    }
    plant.assert_rejected(&[("handshake_timeout", 1), ("silent", 1)]);
}

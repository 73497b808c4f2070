//! Clients of every dialect and library, and what only a broker's machine answers.

use std::time::Duration;

use plantd_client::RequestError;
use plantd_tests::{CratePeer, Frames, frames, header, numbered};
use serde_json::Value;

use crate::{Own, failure};

#[test]
fn clients_of_every_dialect_are_answered_in_their_own() {
    let own = Own::start();
    for (request, reply) in [
        (
            frames!["", "MDPC01", "echo", "hi"],
            frames!["", "MDPC01", "echo", "hi"],
        ),
        (
            frames!["MDPC02", 1, "echo", "hi"],
            frames!["MDPC02", 3, "echo", "hi"],
        ),
        (
            frames!["", "MDPC02", "REQUEST", "echo", "hi"],
            frames!["MDPC02", "FINAL", "echo", "hi"],
        ),
        (
            frames!["MDPC03", 1, "echo", numbered(7), "hi", ""],
            frames!["MDPC03", 3, "echo", numbered(7), "hi", ""],
        ),
    ] {
        let client = own.dealer();
        client.send(request.clone());
        client.expect(reply.clone());

        let mut client = CratePeer::connect(own.runtime.handle(), own.endpoint());
        client.send(request);
        assert_eq!(client.recv(), reply);
    }
    own.stop();
}

#[test]
fn a_req_socket_gets_parts_joined_and_a_dealer_one_by_one() {
    let own = Own::start();
    let req = own.peers.peer(zmq::REQ, |_| {});
    req.send(frames!["MDPC02", 1, "echo", "parts"]);
    req.expect(frames!["MDPC02", 3, "echo", "a", "b", "c", "end"]);
    let dealer = own.dealer();
    dealer.send(frames!["MDPC02", 1, "echo", "parts"]);
    for part in ["a", "b", "c"] {
        dealer.expect(frames!["MDPC02", 2, "echo", part]);
    }
    dealer.expect(frames!["MDPC02", 3, "echo", "end"]);
    own.stop();
}

#[test]
fn the_librarys_client_needs_no_change() {
    let own = Own::start();
    let client = own.client();
    own.block_on(async {
        let reply = client.request("echo", "hi").await.unwrap();
        assert_eq!(reply.body.text().unwrap(), "hi");
        let failed = client.request("echo", "fail").await.unwrap_err();
        assert_eq!(failed.code(), "worker-error");
        let many: Vec<_> = (0..500)
            .map(|n| client.request("echo", n.to_string()))
            .collect();
        for (n, request) in many.into_iter().enumerate() {
            assert_eq!(request.await.unwrap().body.text().unwrap(), n.to_string());
        }
        let timeout = Duration::from_millis(50);
        let late = client.request("echo", "wait").timeout(timeout).await;
        assert_eq!(late.unwrap_err(), RequestError::Timeout);
    });
    own.until("nobody waits", |status| status.tally.unanswered == 0);
    own.stop();
}

#[test]
fn management_is_answered_and_another_service_is_not_waited_for() {
    let own = Own::start();
    let client = own.dealer();
    let ask = |service: &str, argument: &str| {
        client.send(frames!["MDPC02", 1, service, argument]);
        client.recv()
    };
    let served = frames!["MDPC02", 3, "mmi.service", "200"];
    assert_eq!(ask("mmi.service", "echo"), served);
    let unknown = frames!["MDPC02", 3, "mmi.service", "404"];
    assert_eq!(ask("mmi.service", "nobody"), unknown);
    assert_eq!(ask("mmi.later", "").0[3], *b"501");
    let json = |frames: &Frames| serde_json::from_slice::<Value>(&frames.0[4]).unwrap();
    let broker = json(&ask("mmi.broker", ""));
    assert_eq!(broker["endpoints"][0], own.endpoint());
    let workers = json(&ask("mmi.workers", "echo"));
    assert_eq!(workers["workers"][0]["name"], "own");
    assert_eq!(workers["workers"][0]["address"], "this process");

    let client = own.dealer();
    client.send(frames!["MDPC03", 1, "nobody", numbered(1), "hi"]);
    assert_eq!(failure(&client), "no-worker");
    own.stop();
}

#[test]
fn cancelled_requests_free_their_handlers() {
    let own = Own::start();
    let client = own.dealer();
    for id in 1..=4 {
        client.send(frames!["MDPC03", 1, "echo", numbered(id), "wait"]);
    }
    for id in 1..=4 {
        client.send(frames!["MDPC03", 5, "echo", numbered(id)]);
        assert_eq!(failure(&client), "cancelled");
    }
    client.send(frames!["MDPC03", 1, "echo", numbered(5), "hi"]);
    client.expect(frames!["MDPC03", 3, "echo", numbered(5), "hi"]);
    own.stop();
}

#[test]
fn nobody_can_register_and_who_tries_is_sent_disconnect() {
    let own = Own::start();
    let why = header(0, &[("message", "may_not_serve")]);
    for (ready, disconnect) in [
        (frames!["", "MDPW01", 1, "echo"], frames!["", "MDPW01", 5]),
        (frames!["MDPW02", 1, "echo"], frames!["MDPW02", 6]),
        (
            frames!["", "MDPW02", "READY", "echo"],
            frames!["MDPW02", "DISCONNECT"],
        ),
        (
            frames!["MDPW03", 1, "other", numbered(0)],
            frames!["MDPW03", 6, why],
        ),
    ] {
        let worker = own.dealer();
        worker.send(ready);
        worker.expect(disconnect);
    }
    own.until("they are counted", |status| {
        status.rejected()["may_not_serve"] == 4
    });
    assert_eq!(own.status().tally.workers, 1);
    own.stop();
}

#[test]
fn what_is_beyond_its_concurrency_waits_and_clients_take_turns() {
    let own = Own::with(Default::default(), |worker| worker.concurrency(1));
    let (eager, modest) = (own.dealer(), own.dealer());
    for id in 1..=3 {
        eager.send(frames!["MDPC03", 1, "echo", numbered(id), "wait"]);
    }
    own.until("two wait", |status| status.tally.queued == 2);
    modest.send(frames!["MDPC03", 1, "echo", numbered(1), "wait"]);
    own.until("three wait", |status| status.tally.queued == 3);
    own.open(1);
    eager.expect(frames!["MDPC03", 3, "echo", numbered(1), "wait"]);
    own.open(2);
    eager.expect(frames!["MDPC03", 3, "echo", numbered(2), "wait"]);
    modest.expect(frames!["MDPC03", 3, "echo", numbered(1), "wait"]);
    own.open(1);
    eager.expect(frames!["MDPC03", 3, "echo", numbered(3), "wait"]);
    own.stop();
}

//! Many connections, and those over the limits.

use plantd_client::ListenerLimits;
use plantd_tests::{Wire, frames, header, numbered};

use crate::{Own, failure};

#[test]
fn two_thousand_that_are_idle_cost_nobody_a_request() {
    let own = Own::start();
    let mut idle: Vec<Wire> = (0..2_000).map(|_| own.wire()).collect();
    for wire in &mut idle {
        // Of ZMTP 3.0, since nobody here answers a PING.
        wire.handshake(3, 0);
    }
    let client = own.dealer();
    for _ in 0..100 {
        client.send(frames!["MDPC02", 1, "echo", "hi"]);
        client.expect(frames!["MDPC02", 3, "echo", "hi"]);
    }
    assert!(own.status().connections > 2_000);
    drop(idle);
    own.until("they are gone", |status| status.connections <= 2);
    own.stop();
}

#[test]
fn connections_over_the_limit_are_closed_and_counted() {
    let limits = ListenerLimits {
        connections: 4,
        ..ListenerLimits::default()
    };
    let own = Own::with(limits, |worker| worker);
    let client = own.dealer();
    client.expect_nothing();
    let mut wires: Vec<Wire> = (0..10).map(|_| own.wire()).collect();
    for wire in &mut wires[..3] {
        wire.handshake(3, 1);
    }
    for wire in &mut wires[3..] {
        assert_eq!(wire.until_closed(), b"");
    }
    drop(wires);
    while own.status().connections > 1 {
        client.expect_nothing();
    }
    assert_eq!(own.rejected("connections"), 7);
    own.stop();
}

#[test]
fn requests_over_the_limit_of_memory_are_refused_as_busy() {
    let limits = ListenerLimits {
        memory_bytes: 4 << 20,
        ..ListenerLimits::default()
    };
    let own = Own::with(limits, |worker| worker.concurrency(1));
    let client = own.dealer();
    let bulk = vec![0; 1 << 20];
    for id in 1..=8 {
        client.send(frames!["MDPC03", 1, "echo", numbered(id), "wait", &bulk]);
    }
    assert_eq!(failure(&client), "busy");
    assert!(own.status().tally.held_bytes <= 4 << 20);
    drop(client);
    own.until("nobody waits", |status| status.tally.unanswered == 0);
    own.stop();
}

#[test]
fn a_deadline_is_kept_for_what_waits_for_a_handler() {
    let own = Own::with(ListenerLimits::default(), |worker| worker.concurrency(1));
    let client = own.dealer();
    client.send(frames!["MDPC03", 1, "echo", numbered(1), "wait"]);
    let soon = header(2, &[("deadline-ms", "50")]);
    client.send(frames!["MDPC03", 1, "echo", soon, "hi"]);
    assert_eq!(failure(&client), "timeout");
    own.open(1);
    client.expect(frames!["MDPC03", 3, "echo", numbered(1), "wait"]);
    own.stop();
}

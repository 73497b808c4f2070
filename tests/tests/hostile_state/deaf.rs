//! Clients that ask for much and read nothing, and those over the limits.

use plantd_tests::{Wire, frames, numbered};

use crate::Besieged;

const MIB: usize = 1 << 20;

#[test]
fn clients_that_never_read_are_disconnected_and_memory_is_bounded() {
    let besieged = Besieged::start();
    let service = "org.plantd.State";
    let bulk = "x".repeat(MIB - 64);
    let set = format!(r#"{{"scope":"org.example","key":"bulk","value":"{bulk}","echo":false}}"#);
    let client = besieged.peers().dealer();
    client.send(frames!["MDPC02", 1, service, "state-set", set]);
    client.recv();
    let get = r#"{"scope":"org.example","key":"bulk"}"#;
    let mut deaf: Vec<Wire> = (0..3).map(|_| besieged.peers().wire()).collect();
    for wire in &mut deaf {
        wire.handshake(3, 1);
        // Each asks for 400 MiB.
        for id in 1..=400 {
            let request = frames!["MDPC03", 1, service, numbered(id), "state-get", get];
            if !wire.try_write(&request.encoded()) {
                break;
            }
        }
    }
    besieged.until("they are disconnected", |reading| {
        reading.rejected("stalled") + reading.rejected("outbox_full") == 3
    });
    drop((deaf, client));
    // Outboxes of all three together are within the limit of memory; the allocator keeps some. The
    // store keeps the readers that it has opened.
    besieged.stays_within((256 + 64) << 20);
    assert_eq!(besieged.broker.metrics().value("requests_held_bytes"), 0);
}

#[test]
fn connections_over_the_limit_are_closed_and_the_others_served() {
    let besieged = Besieged::with(&["--limits-connections", "10"]);
    let mut wires: Vec<Wire> = (0..30).map(|_| besieged.peers().wire()).collect();
    besieged.until("those over the limit are refused", |reading| {
        reading.rejected("connections") == 21
    });
    for wire in &mut wires[..9] {
        wire.handshake(3, 1);
    }
    for wire in &mut wires[9..] {
        assert_eq!(wire.until_closed(), b"");
    }
    drop(wires);
    besieged.survives();
}

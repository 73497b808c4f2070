//! Messages over the limits (case 55).

use plantd_tests::{Frames, Wire, frames};

use crate::Besieged;

/// Sends what is over a limit on connections that have shaken hands, and waits for their ends.
fn closed(besieged: &Besieged, reason: &str, attack: &[u8]) {
    const EACH: u64 = 20;
    let before = besieged.broker.metrics().rejected(reason);
    let mut wires: Vec<Wire> = Vec::new();
    for _ in 0..EACH {
        let mut wire = besieged.peers().wire();
        wire.handshake(3, 1);
        wire.try_write(attack);
        wires.push(wire);
    }
    besieged.honest_exchange();
    for wire in &mut wires {
        assert_eq!(wire.until_closed(), b"", "nothing more is said");
    }
    besieged.until("all are counted", |reading| {
        reading.rejected(reason) == before + EACH
    });
}

#[test]
fn case_55_a_frame_that_announces_more_than_the_limit_is_not_waited_for() {
    let besieged = Besieged::start();
    for length in [
        8 << 20 | 1,
        1 << 40,
        1 << 46,
        1 << 62,
        1_u64 << 63,
        u64::MAX,
    ] {
        let header = length.to_be_bytes();
        closed(&besieged, "frame_too_large", &[&[2][..], &header].concat());
        closed(
            &besieged,
            "frame_too_large",
            &[&[3][..], &header, b"some"].concat(),
        );
    }
    closed(
        &besieged,
        "command_too_large",
        &[&[6][..], &(1_u64 << 46).to_be_bytes()].concat(),
    );
    closed(
        &besieged,
        "command_too_large",
        &[&[6][..], &1025_u64.to_be_bytes()].concat(),
    );
    besieged.survives();
}

#[test]
fn case_55_ten_thousand_frames_are_too_many() {
    let besieged = Besieged::start();
    closed(
        &besieged,
        "too_many_frames",
        &Frames(vec![Vec::new(); 10_000]).encoded(),
    );

    let attacker = besieged.peers().dealer();
    let mut message = frames!["MDPC02", 1, "honest"];
    message.0.resize(10_000, Vec::new());
    attacker.send(message);
    attacker.expect_end(&[]);
    besieged.survives();
}

#[test]
fn case_55_a_frame_and_a_message_over_the_limit_end_their_connection() {
    let besieged = Besieged::start();
    let attacker = besieged.peers().dealer();
    attacker.send(frames!["MDPC02", 1, "honest", vec![0; (8 << 20) + 1]]);
    attacker.expect_end(&[]);
    besieged.until("it is counted", |reading| {
        reading.rejected("frame_too_large") == 1
    });

    let attacker = besieged.peers().dealer();
    let large = vec![0; 8 << 20];
    attacker.send(frames!["MDPC02", 1, "honest", &large, &large, &large]);
    attacker.expect_end(&[]);
    besieged.until("it is counted", |reading| {
        reading.rejected("message_too_large") == 1
    });
    drop((attacker, large));
    besieged.survives();
}

#[test]
fn case_55_flags_and_commands_that_cannot_be_end_their_connection() {
    let besieged = Besieged::start();
    closed(&besieged, "bad_flags", b"\x08\x00");
    closed(&besieged, "bad_flags", b"\x05\x05\x04PING");
    closed(&besieged, "bad_command", b"\x04\x00");
    closed(&besieged, "bad_command", b"\x04\x06\x04PING\0");
    let ping = [&b"\x04\x18\x04PING\0\0"[..], &[7; 17]].concat();
    closed(&besieged, "ping_context", &ping);
    closed(&besieged, "refused", b"\x04\x0a\x05ERROR\x03bad");
    besieged.survives();
}

#[test]
fn case_55_a_command_that_is_not_known_is_ignored() {
    let besieged = Besieged::start();
    let mut wire = besieged.peers().wire();
    wire.handshake(3, 1);
    wire.write(b"\x04\x06\x05LATER");
    wire.write(b"\x04\x0f\x09SUBSCRIBEtopic");
    wire.send(&frames!["MDPC02", 1, "mmi.heartbeat", "x"]);
    wire.expect(frames!["MDPC02", 3, "mmi.heartbeat", "200", "{}"]);
    drop(wire);
    besieged.survives();
}

//! Handshakes that go wrong (case 55).

use std::time::Duration;

use plantd_tests::Wire;

use crate::Besieged;

/// Sends each opening on many connections and waits until the broker has closed them all.
fn refused(besieged: &Besieged, reason: &str, openings: &[Vec<u8>]) {
    const EACH: usize = 20;
    let before = besieged.broker.metrics().rejected(reason);
    let mut wires: Vec<Wire> = Vec::new();
    for opening in openings {
        for _ in 0..EACH {
            let mut wire = besieged.peers().wire();
            // The broker may have seen enough before it has seen all.
            wire.try_write(opening);
            wires.push(wire);
        }
    }
    besieged.honest_exchange();
    for wire in &mut wires {
        let said = wire.until_closed();
        assert!(
            said.len() <= 64 + 64,
            "no more than a greeting and READY is said: {said:?}"
        );
    }
    let expected = before + (openings.len() * EACH) as u64;
    besieged.until("all are counted", |reading| {
        reading.rejected(reason) >= expected
    });
}

fn greeted(rest: &[u8]) -> Vec<u8> {
    [&Wire::greeting(3, 1)[..], rest].concat()
}

/// The header of a long frame.
fn long(flags: u8, length: u64) -> Vec<u8> {
    [&[flags | 2][..], &length.to_be_bytes()].concat()
}

#[test]
fn case_55_seventy_three_bytes_and_their_kind_close_only_their_own_connection() {
    let besieged = Besieged::start();
    let lengths = [1 << 40, 1 << 46, 1 << 62, 1 << 63, u64::MAX];
    let attack = greeted(&long(0, 1 << 46));
    assert_eq!(attack.len(), 73);
    let messages: Vec<_> = lengths
        .iter()
        .map(|length| greeted(&long(0, *length)))
        .collect();
    refused(&besieged, "handshake", &messages);
    let commands: Vec<_> = lengths
        .iter()
        .map(|length| greeted(&long(4, *length)))
        .collect();
    refused(&besieged, "handshake_too_large", &commands);
    refused(&besieged, "handshake_too_large", &[greeted(&long(4, 4096))]);
    besieged.survives();
}

#[test]
fn case_55_old_versions_unknown_mechanisms_and_other_protocols_are_refused() {
    let besieged = Besieged::start();
    let version = |major| Wire::greeting(major, 0).to_vec();
    refused(&besieged, "version", &[version(0), version(1), version(2)]);
    let mechanism = |name| Wire::greeting_for(3, 1, name).to_vec();
    let mechanisms = [
        "BOGUS",
        "PLAIN",
        "CURVE",
        "null",
        "NULLNULLNULLNULLNULL",
        "",
    ];
    refused(&besieged, "mechanism", &mechanisms.map(mechanism));
    let http = b"GET / HTTP/1.1\r\nHost: plantd\r\n\r\n".to_vec();
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let ssh = b"SSH-2.0-OpenSSH_9.9\r\n".to_vec();
    refused(
        &besieged,
        "greeting",
        &[http, tls, ssh, vec![0; 64], vec![0xff; 64]],
    );
    besieged.survives();
}

#[test]
fn case_55_commands_that_do_not_belong_into_a_handshake_are_refused() {
    let besieged = Besieged::start();
    refused(
        &besieged,
        "handshake",
        &[greeted(b"\x04\x06\x05HELLO"), greeted(b"\x00\x00")],
    );
    refused(
        &besieged,
        "bad_flags",
        &[greeted(b"\x05\x06\x05READY"), greeted(b"\xf0\x00")],
    );
    let truncated = b"\x04\x13\x05READY\x0bSocket-Type\xff";
    refused(&besieged, "metadata", &[greeted(truncated)]);
    refused(
        &besieged,
        "socket_type",
        &["SUB", "REP", "NONSENSE"].map(|kind| greeted(&Wire::ready(kind))),
    );
    besieged.survives();
}

#[test]
fn case_55_whoever_does_not_finish_the_handshake_is_closed_at_its_deadline() {
    let besieged = Besieged::start();
    let nothing = Vec::new();
    let half = Wire::greeting(3, 1)[..32].to_vec();
    let ready = Wire::ready("DEALER");
    let openings = [
        nothing,
        half,
        greeted(b""),
        greeted(&ready[..ready.len() - 1]),
        greeted(&long(4, 1024)),
    ];
    let mut slow = besieged.peers().wire();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let second = Duration::from_secs(1);
            for byte in greeted(&ready) {
                if !slow.try_write(&[byte]) || slow.is_closed_within(second) {
                    return;
                }
            }
            panic!("a handshake of one byte a second is never done");
        });
        refused(&besieged, "handshake_timeout", &openings);
    });
    besieged.until("the slow one is counted too", |reading| {
        reading.rejected("handshake_timeout") == 20 * openings.len() as u64 + 1
    });
    besieged.survives();
}

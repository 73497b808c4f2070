//! Garbage, and messages made of every kind of junk (cases 55 and 58).

use plantd_tests::{Frames, Wire, frames};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::Besieged;

#[test]
fn case_55_a_hundred_kinds_of_garbage_end_only_their_own_connection() {
    let besieged = Besieged::start();
    for seed in 0..100 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut garbage = vec![0; random.random_range(1..4096)];
        random.fill_bytes(&mut garbage);
        for opening in [&[][..], &Wire::greeting(3, 1), &handshake()] {
            let mut wire = besieged.peers().wire();
            if wire.try_write(opening) && wire.try_write(&garbage) {
                wire.half_close();
            }
            wire.until_closed();
        }
        if seed % 20 == 0 {
            besieged.honest_exchange();
        }
    }
    besieged.survives();
}

#[test]
fn case_55_a_conversation_with_one_byte_changed_ends_only_its_own_connection() {
    let besieged = Besieged::start();
    let request = frames!["MDPC02", 1, "nobody", "hi"].encoded();
    let conversation = [handshake(), request].concat();
    let mut random = StdRng::seed_from_u64(55);
    for place in 0..conversation.len() {
        let mut changed = conversation.clone();
        changed[place] ^= 1 << random.random_range(0..8);
        let mut wire = besieged.peers().wire();
        wire.try_write(&changed);
        wire.half_close();
        wire.until_closed();
    }
    besieged.survives();
}

#[test]
fn case_58_messages_of_every_junk_leave_a_broker_that_holds_nothing() {
    let besieged = Besieged::start();
    let junk: [&[u8]; 22] = [
        b"",
        b"\0",
        b"\x01",
        b"\x02",
        b"\x03",
        b"\x04",
        b"\x05",
        b"\x06",
        b"\x07",
        b"\x40",
        b"MDPC01",
        b"MDPC02",
        b"MDPC03",
        b"MDPW01",
        b"MDPW02",
        b"MDPW03",
        b"READY",
        b"FINAL",
        b"fuzzed",
        b"mmi.service",
        &[7; 16],
        &[0; 8],
    ];
    for seed in 0..50 {
        let mut random = StdRng::seed_from_u64(seed);
        let peer = besieged.peers().dealer();
        for _ in 0..40 {
            let length = random.random_range(1..7);
            let frames = (0..length).map(|_| junk[random.random_range(0..junk.len())].to_vec());
            peer.send(Frames(frames.collect()));
        }
    }
    besieged.until("who is gone holds nothing", |reading| {
        reading.value("workers") <= 1 && reading.value("requests_unanswered") == 0
    });
    assert_eq!(besieged.broker.metrics().value("requests_held_bytes"), 0);
    besieged.survives();
}

fn handshake() -> Vec<u8> {
    [&Wire::greeting(3, 1)[..], &Wire::ready("DEALER")].concat()
}

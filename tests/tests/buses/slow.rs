//! Who falls behind loses the newest, and nobody else notices.

use std::thread;

use plantd_daemon::config::ByteSize;
use plantd_tests::Wire;
use serde_json::Value;

use crate::harness::{Bus, receive, send, subscription_message};

const OUTBOX_BYTES: usize = 1 << 20;
/// 1 KiB with the number of the message in front.
const BODY_BYTES: usize = 1024;
/// Messages that are published before everybody is waited for.
const ROUND: u32 = 500;

fn body(number: u32) -> Vec<u8> {
    let mut body = vec![0; BODY_BYTES];
    body[..4].copy_from_slice(&number.to_be_bytes());
    body
}

fn number(message: &[Vec<u8>]) -> u32 {
    u32::from_be_bytes(message[1][..4].try_into().unwrap())
}

fn small_outbox() -> Bus {
    Bus::with(|keys| keys.outbox = ByteSize::from_bytes(OUTBOX_BYTES as u64))
}

/// A subscriber of everything that does not read until it is asked to.
fn sleeper(bus: &Bus) -> Wire {
    let before = bus.count("bus_subscriptions");
    let mut wire = bus.raw_subscriber(0);
    wire.write(&subscription_message(b""));
    bus.until_count("bus_subscriptions", before + 1);
    wire
}

#[test]
fn one_of_ten_that_does_not_read_costs_the_others_nothing() {
    let bus = small_outbox();
    let mut stopped = sleeper(&bus);
    let others: Vec<zmq::Socket> = (0..9).map(|_| bus.subscriber(&["t"])).collect();
    let publisher = bus.publisher(&["", "t"]);
    let mut published = 0;
    // The kernel takes some megabytes, then the outbox fills, then messages are lost.
    while bus.count("bus_dropped_total") == 0 || published < 20 * ROUND {
        for number in published..published + ROUND {
            send(&publisher, &[b"t", &body(number)]);
        }
        for other in &others {
            for expected in published..published + ROUND {
                assert_eq!(number(&receive(other)), expected);
            }
        }
        published += ROUND;
        let backlog = bus.count("bus_outboxes_bytes");
        assert!(backlog <= 2 * OUTBOX_BYTES as u64, "{backlog} bytes wait");
    }

    // What it got and what was counted as lost are all there was.
    let dropped = bus.count("bus_dropped_total");
    let kept = u64::from(published) - dropped;
    let mut last = None;
    for _ in 0..kept {
        let message = stopped.recv().0;
        assert!(last < Some(number(&message)), "they come in order");
        last = Some(number(&message));
    }
    send(&publisher, &[b"end", &body(0)]);
    assert_eq!(stopped.recv().0[0], b"end");
    assert_eq!(bus.count("bus_dropped_total"), dropped);
}

#[test]
fn captures_are_told_how_much_who_has_lost() {
    let bus = small_outbox();
    let capture = bus.socket(zmq::SUB, &bus.capture());
    capture.set_subscribe(b"org.plantd.broker.dropped").unwrap();
    bus.until_count("bus_subscriptions", 1);
    let _stopped = sleeper(&bus);
    let publisher = bus.publisher(&["", "org.plantd.broker.dropped"]);
    let mut published = 0;
    while bus.count("bus_dropped_total") < 100 {
        for _ in 0..ROUND {
            send(&publisher, &[b"t", &body(0)]);
        }
        published += u64::from(ROUND);
        bus.until_count("bus_messages_total", published);
    }
    let dropped = bus.count("bus_dropped_total");
    let mut told = 0;
    while told < dropped {
        let report = receive(&capture);
        assert_eq!(report[0], b"org.plantd.broker.dropped");
        let report: Value = serde_json::from_slice(&report[1]).unwrap();
        assert_eq!(report["bus"], "test");
        let now = report["dropped"].as_u64().unwrap();
        assert_eq!(report["subscribers"][0]["dropped"], now, "{report}");
        told += now;
    }
    assert_eq!(told, dropped);
}

#[test]
fn who_takes_nothing_for_five_seconds_is_disconnected() {
    let bus = small_outbox();
    let mut stopped = sleeper(&bus);
    let publisher = bus.publisher(&[""]);
    while bus.count("bus_dropped_total") == 0 {
        send(&publisher, &[b"t", &body(0)]);
    }
    bus.until_peers("backend", 0);
    assert_eq!(bus.plant.metrics().closed("stalled"), 1);
    bus.until_rejected("stalled", 1);
    assert_eq!(bus.count("bus_outboxes_bytes"), 0);
    let rest = stopped.until_closed();
    assert!(
        !rest.is_empty(),
        "what the system had taken was still there"
    );
    let again = bus.subscriber(&["t"]);
    send(&publisher, &[b"t", &body(7)]);
    assert_eq!(number(&receive(&again)), 7);
}

#[test]
fn a_flood_on_a_bus_leaves_requests_their_own_thread() {
    let bus = Bus::start();
    let subscriber = bus.subscriber(&[""]);
    let publisher = bus.publisher(&[""]);
    let flood = thread::spawn(move || {
        for _ in 0..200_000 {
            send(&publisher, &[b"t", b"body"]);
        }
        publisher
    });
    for _ in 0..20 {
        bus.plant.assert_alive();
    }
    for _ in 0..200_000 {
        receive(&subscriber);
    }
    flood.join().unwrap();
}

//! Limits of a bus, and bytes that are none of its protocol.

use plantd_daemon::config::ByteSize;
use plantd_tests::{Deadline, Wire, frames};

use crate::harness::{Bus, receive, send, subscription_command, subscription_message};

/// Shows that a bus still carries.
#[track_caller]
fn assert_alive(bus: &Bus) {
    let subscriber = bus.subscriber(&["alive"]);
    let publisher = bus.publisher(&["alive"]);
    send(&publisher, &[b"alive"]);
    assert_eq!(receive(&subscriber), [b"alive"]);
    drop(subscriber);
    bus.until_count("bus_subscriptions", 0);
}

#[test]
fn more_subscriptions_than_a_peer_may_have_end_its_connection() {
    let bus = Bus::with(|keys| keys.subscriptions = 3);
    let mut greedy = bus.raw_subscriber(1);
    for topic in ["a", "a", "b"] {
        greedy.write(&subscription_command("SUBSCRIBE", topic.as_bytes()));
    }
    bus.until_count("bus_subscriptions", 3);
    greedy.write(&subscription_message(b"c"));
    greedy.until_closed();
    bus.plant.assert_rejected(&[("subscriptions", 1)]);
    assert_alive(&bus);
}

#[test]
fn a_topic_that_is_too_long_ends_the_connection() {
    let bus = Bus::start();
    let mut longest = bus.raw_subscriber(1);
    let long_command = |topic: &[u8]| {
        let body = [b"\x09SUBSCRIBE", topic].concat();
        let length = (body.len() as u64).to_be_bytes();
        [&[6], &length[..], &body[..]].concat()
    };
    longest.write(&long_command(&[b't'; 255]));
    bus.until_count("bus_subscriptions", 1);
    longest.write(&long_command(&[b't'; 256]));
    longest.until_closed();
    bus.plant.assert_rejected(&[("topic_too_long", 1)]);
    bus.until_count("bus_subscriptions", 0);
    assert_alive(&bus);
}

#[test]
fn messages_beyond_a_limit_end_their_publishers_connection() {
    let bus = Bus::with(|keys| {
        keys.max_message = ByteSize::from_bytes(1000);
        keys.max_frames = 3;
    });
    let subscriber = bus.subscriber(&["", "alive"]);
    for (frames, reason) in [
        (frames![vec![0; 1001]], "frame_too_large"),
        (
            frames![vec![0; 500], vec![0; 500], vec![0; 500]],
            "message_too_large",
        ),
        (frames!["1", "2", "3", "4"], "too_many_frames"),
    ] {
        let mut publisher = bus.raw_publisher(0);
        publisher.write(&frames!["t", "before"].encoded());
        publisher.try_write(&frames.encoded());
        publisher.until_closed();
        bus.until_rejected(reason, 1);
        assert_eq!(receive(&subscriber), [&b"t"[..], b"before"]);
    }
    let mut publisher = bus.raw_publisher(0);
    publisher.write(&frames![vec![1; 400], vec![2; 400], vec![3; 200]].encoded());
    assert_eq!(receive(&subscriber).len(), 3);
}

#[test]
fn garbage_on_any_side_ends_its_connection_and_nothing_else() {
    let bus = Bus::start();
    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 200],
        &[0; 200],
        b"\x00\x00",
        &[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xf8, 1, 2],
    ];
    for (endpoint, socket_type) in [
        (bus.frontend(), "PUB"),
        (bus.backend(), "SUB"),
        (bus.capture(), "SUB"),
    ] {
        for bytes in garbage {
            Wire::connect(&endpoint).try_write(bytes);
            let mut behind_handshake = Wire::connect(&endpoint);
            behind_handshake.handshake_as(socket_type, 1);
            behind_handshake.try_write(bytes);
            behind_handshake.half_close();
            behind_handshake.until_closed();
        }
        // A socket that has no business there.
        let mut stranger = Wire::connect(&endpoint);
        stranger.write(&Wire::greeting(3, 1));
        stranger.write(&Wire::ready("DEALER"));
        stranger.half_close();
        stranger.until_closed();
    }
    let deadline = Deadline::start();
    while bus.plant.metrics().rejected("socket_type") < 3 {
        assert!(!deadline.has_passed(), "{:?}", bus.plant.metrics());
    }
    assert_alive(&bus);
}

#[test]
fn what_a_subscriber_sends_upstream_is_skipped_and_counted() {
    let bus = Bus::start();
    let mut chatty = bus.raw_subscriber(1);
    chatty.write(&frames!["hello", "bus"].encoded());
    chatty.write(&frames!["\u{2}no subscription"].encoded());
    chatty.write(&subscription_message(b"alive"));
    bus.until_count("bus_subscriptions", 1);
    bus.plant.assert_rejected(&[("ignored_command", 2)]);
    let publisher = bus.publisher(&["alive"]);
    send(&publisher, &[b"alive"]);
    chatty.expect(frames!["alive"]);
}

#[test]
fn connections_to_buses_and_router_are_limited_together() {
    let bus = Bus::at(|config| config.limits.connections = 4, |_| {});
    let first = bus.raw_subscriber(1);
    let second = bus.raw_publisher(1);
    let third = bus.plant.dealer();
    third.expect_nothing();
    let mut fourth = bus.plant.wire();
    fourth.handshake(3, 1);
    let mut fifth = Wire::connect(&bus.backend());
    fifth.until_closed();
    bus.plant.assert_rejected(&[("connections", 1)]);
    drop((first, second));
    bus.until_peers("frontend", 0);
    bus.until_peers("backend", 0);
    drop(bus.raw_subscriber(1));
}

#[test]
fn a_million_random_topics_of_publishers_cost_nothing() {
    let bus = Bus::start();
    let subscriber = bus.subscriber(&["end"]);
    let before = bus.count("bus_held_bytes");
    let mut publisher = bus.raw_publisher(0);
    let mut state: u64 = 1;
    for _ in 0..1000 {
        let mut bytes = Vec::new();
        for _ in 0..1000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend([0, 8]);
            bytes.extend(state.to_be_bytes());
        }
        publisher.write(&bytes);
    }
    publisher.write(&frames!["end"].encoded());
    while receive(&subscriber) != [b"end"] {}
    assert_eq!(bus.count("bus_messages_total"), 1_000_001);
    assert_eq!(bus.count("bus_held_bytes"), before);
}

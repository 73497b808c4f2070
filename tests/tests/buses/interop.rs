//! Publishers and subscribers of libzmq, of every type.

use plantd_tests::frames;

use crate::harness::{Bus, receive, send, subscription_command, subscription_message};

#[test]
fn what_is_published_reaches_who_subscribes_it() {
    let bus = Bus::start();
    let all = bus.subscriber(&[""]);
    let some = bus.subscriber(&["b"]);
    let publisher = bus.publisher(&["", "b"]);
    for topic in ["a", "b", "bc", "c"] {
        send(&publisher, &[topic.as_bytes(), b"body"]);
    }
    for topic in ["a", "b", "bc", "c"] {
        assert_eq!(receive(&all), [topic.as_bytes(), b"body"]);
    }
    for topic in ["b", "bc"] {
        assert_eq!(receive(&some), [topic.as_bytes(), b"body"]);
    }
    assert_eq!(bus.count("bus_messages_total"), 4);
    assert_eq!(bus.count("bus_delivered_total"), 6);
}

#[test]
fn a_capture_sees_what_passes_and_is_asked_for_upstream() {
    let bus = Bus::start();
    let capture = bus.socket(zmq::SUB, &bus.capture());
    capture.set_subscribe(b"a").unwrap();
    let publisher = bus.publisher(&["a"]);
    send(&publisher, &[b"ab", b"body"]);
    assert_eq!(receive(&capture), [&b"ab"[..], b"body"]);
}

#[test]
fn frames_from_nothing_to_the_limit_arrive_as_they_are() {
    let bus = Bus::start();
    let subscriber = bus.subscriber(&[""]);
    let publisher = bus.publisher(&[""]);
    for size in [0, 1, 255, 256, 65_535, 65_536, 1 << 20, 4 << 20] {
        let frame: Vec<u8> = (0..size).map(|at| (at * 31 + size) as u8).collect();
        send(&publisher, &[b"", &frame, b"end"]);
        let received = receive(&subscriber);
        assert!(received == [&b""[..], &frame, b"end"], "{size} bytes");
    }
    for frames in 1..=20 {
        let message = vec![&b"f"[..]; frames];
        send(&publisher, &message);
        assert_eq!(receive(&subscriber), message);
    }
}

#[test]
fn the_order_of_a_publisher_is_kept_across_topics() {
    let bus = Bus::start();
    let odd = bus.subscriber(&["1", "3"]);
    let all = bus.subscriber(&[""]);
    let publisher = bus.publisher(&["1", "3", ""]);
    let numbers = 0..20_000_u32;
    for number in numbers.clone() {
        let topic = (number % 4).to_string();
        send(&publisher, &[topic.as_bytes(), &number.to_be_bytes()]);
    }
    let number = |message: Vec<Vec<u8>>| u32::from_be_bytes(message[1][..].try_into().unwrap());
    for expected in numbers.clone() {
        assert_eq!(number(receive(&all)), expected);
    }
    for expected in numbers.filter(|number| number % 2 == 1) {
        assert_eq!(number(receive(&odd)), expected);
    }
}

#[test]
fn who_subscribes_late_gets_what_comes_later_and_who_cancels_gets_no_more() {
    let bus = Bus::start();
    let early = bus.subscriber(&["t", "end"]);
    let publisher = bus.publisher(&["t", "end"]);
    send(&publisher, &[b"t", b"1"]);
    assert_eq!(receive(&early), [b"t", b"1"]);
    let late = bus.subscriber(&["t", "end"]);
    send(&publisher, &[b"t", b"2"]);
    assert_eq!(receive(&late), [b"t", b"2"]);
    late.set_unsubscribe(b"t").unwrap();
    bus.until_count("bus_subscriptions", 3);
    send(&publisher, &[b"t", b"3"]);
    send(&publisher, &[b"end"]);
    assert_eq!(receive(&late), [b"end"]);
    for expected in [&[&b"t"[..], b"2"][..], &[b"t", b"3"], &[b"end"]] {
        assert_eq!(receive(&early), expected);
    }
}

#[test]
fn subscriptions_are_read_as_messages_and_as_commands_from_anybody() {
    let bus = Bus::start();
    for minor in [0, 1] {
        let mut subscriber = bus.raw_subscriber(minor);
        subscriber.write(&subscription_message(b"m"));
        subscriber.write(&subscription_command("SUBSCRIBE", b"c"));
        bus.until_count("bus_subscriptions", 2);
        let publisher = bus.publisher(&["c", "m"]);
        send(&publisher, &[b"m", b"1"]);
        send(&publisher, &[b"c", b"2"]);
        subscriber.expect(frames!["m", "1"]);
        subscriber.expect(frames!["c", "2"]);
        subscriber.write(&subscription_command("CANCEL", b"m"));
        bus.until_count("bus_subscriptions", 1);
        subscriber.write(b"\x00\x02\x00c");
        bus.until_count("bus_subscriptions", 0);
    }
}

#[test]
fn two_subscriptions_of_one_topic_need_two_cancels() {
    let bus = Bus::start();
    let mut subscriber = bus.raw_subscriber(1);
    let twice = subscription_command("SUBSCRIBE", b"t").repeat(2);
    subscriber.write(&twice);
    bus.until_count("bus_subscriptions", 2);
    let publisher = bus.publisher(&["t"]);
    subscriber.write(&subscription_command("CANCEL", b"t"));
    bus.until_count("bus_subscriptions", 1);
    send(&publisher, &[b"t"]);
    subscriber.expect(frames!["t"]);
    subscriber.write(&subscription_command("CANCEL", b"t"));
    bus.until_count("bus_topics", 0);
    assert_eq!(publisher.recv_bytes(0).unwrap(), b"\x00t");
}

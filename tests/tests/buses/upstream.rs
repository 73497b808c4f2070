//! What publishers are asked for, so that they filter at the source.

use plantd_tests::frames;

use crate::harness::{Bus, receive, subscription_message};

#[test]
fn a_publisher_is_asked_in_the_form_that_it_knows() {
    let bus = Bus::start();
    let subscriber = bus.subscriber(&["t"]);
    let mut of_3_0 = bus.raw_publisher(0);
    let mut of_3_1 = bus.raw_publisher(1);
    assert_eq!(of_3_0.read_frame(), (0, b"\x01t".to_vec()));
    assert_eq!(of_3_1.read_frame(), (4, b"\x09SUBSCRIBEt".to_vec()));
    subscriber.set_unsubscribe(b"t").unwrap();
    assert_eq!(of_3_0.read_frame(), (0, b"\x00t".to_vec()));
    assert_eq!(of_3_1.read_frame(), (4, b"\x06CANCELt".to_vec()));
}

#[test]
fn a_topic_is_asked_for_once_and_cancelled_with_its_last_subscriber() {
    let bus = Bus::start();
    let first = bus.subscriber(&["a"]);
    let publisher = bus.publisher(&["a"]);
    let second = bus.subscriber(&["a", "b"]);
    assert_eq!(publisher.recv_bytes(0).unwrap(), b"\x01b");
    drop(first);
    bus.until_count("bus_subscriptions", 2);
    drop(second);
    let mut cancelled = [0, 1].map(|_| publisher.recv_bytes(0).unwrap());
    cancelled.sort();
    assert_eq!(cancelled, [b"\x00a", b"\x00b"]);
}

#[test]
fn a_publisher_that_comes_back_is_asked_for_what_is_subscribed_now() {
    let bus = Bus::start();
    let subscriber = bus.subscriber(&["old"]);
    let publisher = bus.publisher(&["old"]);
    drop(publisher);
    bus.until_peers("frontend", 0);
    subscriber.set_unsubscribe(b"old").unwrap();
    subscriber.set_subscribe(b"new").unwrap();
    bus.until_asked(&["new"]);
    drop(bus.publisher(&["new"]));
}

#[test]
fn a_bus_that_retains_asks_for_everything() {
    let bus = Bus::with(|keys| keys.retain = plantd_broker::Retain::Last);
    let publisher = bus.publisher(&[""]);
    let subscriber = bus.subscriber(&["a"]);
    publisher.send_multipart(["b", "kept"], 0).unwrap();
    publisher.send_multipart(["a", "sent"], 0).unwrap();
    assert_eq!(receive(&subscriber), [b"a".to_vec(), b"sent".to_vec()]);
    assert_eq!(bus.count("bus_retained"), 2);
}

#[test]
fn beyond_65536_topics_a_publisher_is_asked_for_everything() {
    let bus = Bus::with(|keys| keys.subscriptions = 100_000);
    let mut subscriber = bus.raw_subscriber(0);
    let mut changes = Vec::new();
    for number in 0..65_537_u32 {
        changes.extend(subscription_message(&number.to_be_bytes()));
    }
    subscriber.write(&changes);
    bus.until_count("bus_topics", 65_537);
    let mut publisher = bus.raw_publisher(0);
    assert_eq!(publisher.read_frame(), (0, vec![1]));
    publisher.write(&frames!["\0\0\0\u{7}", "x"].encoded());
    subscriber.expect(frames!["\0\0\0\u{7}", "x"]);
}

#[test]
fn captures_are_subscribers_too() {
    let bus = Bus::start();
    let mut publisher = bus.raw_publisher(0);
    let mut capture = plantd_tests::Wire::connect(&bus.capture());
    capture.handshake_as("SUB", 0);
    capture.write(&subscription_message(b"c"));
    assert_eq!(publisher.read_frame(), (0, b"\x01c".to_vec()));
}

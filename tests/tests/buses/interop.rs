//! Publishers and subscribers of libzmq, of every type.

use crate::harness::{Bus, receive, send};

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

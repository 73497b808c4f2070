//! What an operator sees of a bus: MMI, metrics, and how it stops.

use plantd_tests::{Deadline, frames};

use crate::harness::{Bus, receive, send};

#[test]
fn mmi_tells_of_each_bus_and_its_peers() {
    let bus = Bus::start();
    let subscriber = bus.subscriber(&["a", "b"]);
    let publisher = bus.publisher(&["a", "b"]);
    send(&publisher, &[b"a", b"body"]);
    receive(&subscriber);
    let deadline = Deadline::start();
    let told = loop {
        let (status, told) = bus.plant.mmi("buses", "");
        assert_eq!(status, "200");
        if told["buses"][0]["delivered"] == 1 {
            break told;
        }
        assert!(!deadline.has_passed(), "{told}");
    };
    assert_eq!(told["total"], 1);
    let told = &told["buses"][0];
    assert_eq!(told["name"], "test");
    assert_eq!(told["frontend"], serde_json::json!([bus.frontend()]));
    assert_eq!(told["backend"], serde_json::json!([bus.backend()]));
    assert_eq!(told["capture"], serde_json::json!([bus.capture()]));
    assert_eq!(told["retain"], "none");
    for (field, expected) in [
        ("publishers", 1),
        ("subscribers", 1),
        ("captures", 0),
        ("subscriptions", 2),
        ("topics", 2),
        ("messages", 1),
        ("bytes", 3 + 6),
        ("dropped", 0),
        ("backlog_bytes", 0),
        ("retained", 0),
        ("evicted", 0),
    ] {
        assert_eq!(told[field], expected, "{field} in {told}");
    }
    assert!(told["messages_per_second"].is_u64() && told["bytes_per_second"].is_u64());
    let peer = &told["peers"][0];
    assert!(
        peer["address"]
            .as_str()
            .unwrap()
            .starts_with("tcp://127.0.0.1:")
    );
    for (field, expected) in [("subscriptions", 2), ("delivered", 1), ("dropped", 0)] {
        assert_eq!(peer[field], expected, "{field} in {peer}");
    }
    assert_eq!(peer["side"], "backend");
}

#[test]
fn a_drain_writes_what_was_taken_and_leaves_nothing_behind() {
    let mut bus = Bus::start();
    let subscriber = bus.subscriber(&[""]);
    let mut publisher = bus.raw_publisher(0);
    publisher.write(&frames!["t", vec![7; 100]].encoded().repeat(10_000));
    bus.until_count("bus_messages_total", 10_000);
    bus.plant.stop();
    for _ in 0..10_000 {
        assert_eq!(receive(&subscriber)[1], [7; 100]);
    }
    for side in ["frontend", "backend", "capture"] {
        assert_eq!(bus.peers(side), 0, "{side}");
    }
    assert_eq!(bus.count("bus_subscriptions"), 0);
}

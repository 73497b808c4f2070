//! The last message of each topic, for those who subscribe later.

use plantd_broker::Retain;

use crate::harness::{Bus, receive, send};

#[test]
fn who_subscribes_gets_the_last_message_of_each_matching_topic() {
    let bus = Bus::with(|keys| keys.retain = Retain::Last);
    let publisher = bus.publisher(&[""]);
    for (topic, body) in [("a", "1"), ("ab", "2"), ("a", "3"), ("b", "4")] {
        send(&publisher, &[topic.as_bytes(), body.as_bytes()]);
    }
    bus.until_count("bus_messages_total", 4);
    let late = bus.subscriber(&["a"]);
    assert_eq!(receive(&late), [b"a".to_vec(), b"3".to_vec()]);
    assert_eq!(receive(&late), [b"ab".to_vec(), b"2".to_vec()]);
    send(&publisher, &[b"a", b"5"]);
    assert_eq!(receive(&late), [b"a".to_vec(), b"5".to_vec()]);
}

#[test]
fn what_is_retained_is_limited_in_topics_and_in_bytes() {
    for (topics, bytes) in [(10, 1 << 20), (1000, 20_000)] {
        let bus = Bus::with(|keys| {
            keys.retain = Retain::Last;
            keys.retain_topics = topics;
            keys.retain_bytes = plantd_daemon::config::ByteSize::from_bytes(bytes);
        });
        let publisher = bus.publisher(&[""]);
        for topic in 0..100 {
            let topic = format!("topic {topic}");
            send(&publisher, &[topic.as_bytes(), &[0; 1000]]);
        }
        bus.until_count("bus_messages_total", 100);
        let kept = bus.count("bus_retained");
        assert!((5..=20).contains(&kept), "{kept} of {topics}, {bytes}");
        assert_eq!(bus.count("bus_retained_evicted_total"), 100 - kept);
        assert!(bus.count("bus_held_bytes") < 30_000);
        let late = bus.subscriber(&["topic 9"]);
        assert_eq!(receive(&late)[0][..7], *b"topic 9");
    }
}

#[test]
fn a_bus_does_not_retain_unless_it_is_told_to() {
    let bus = Bus::start();
    let everything = bus.subscriber(&[""]);
    let publisher = bus.publisher(&[""]);
    send(&publisher, &[b"a", b"1"]);
    assert_eq!(receive(&everything), [b"a".to_vec(), b"1".to_vec()]);
    let late = bus.subscriber(&["a"]);
    send(&publisher, &[b"a", b"2"]);
    assert_eq!(receive(&late), [b"a".to_vec(), b"2".to_vec()]);
    assert_eq!(bus.count("bus_retained"), 0);
}

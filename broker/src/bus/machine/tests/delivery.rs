//! Who gets what, and who loses what.

use super::*;

#[test]
fn a_message_goes_to_whoever_subscribes_a_prefix_of_its_first_frame() {
    let mut scene = Scene::new();
    let publisher = scene.open(Side::Frontend);
    let all = scene.subscriber(&[""]);
    let a = scene.subscriber(&["a", "ab", "a"]);
    let ab = scene.subscriber(&["ab"]);
    let none = scene.subscriber(&[]);
    scene.publish(publisher, &[&["a", "1"], &["abc", "2"], &["b"], &["", "4"]]);
    assert_eq!(
        scene.deliveries(),
        [
            (
                all,
                batch(&[&["a", "1"], &["abc", "2"], &["b"], &["", "4"]])
            ),
            (a, batch(&[&["a", "1"], &["abc", "2"]])),
            (ab, batch(&[&["abc", "2"]])),
        ]
    );
    assert_eq!(scene.lost(none), 0);
    assert_eq!(
        (scene.bus.tally().messages, scene.bus.tally().delivered),
        (4, 7)
    );
}

#[test]
fn two_subscriptions_of_one_topic_need_two_cancels_and_deliver_once() {
    let mut scene = Scene::new();
    let publisher = scene.open(Side::Frontend);
    let subscriber = scene.subscriber(&["a", "a"]);
    scene.cancel(subscriber, "a");
    scene.publish(publisher, &[&["a"]]);
    assert_eq!(scene.deliveries(), [(subscriber, batch(&[&["a"]]))]);
    scene.cancel(subscriber, "a");
    scene.cancel(subscriber, "a");
    scene.publish(publisher, &[&["a"]]);
    assert_eq!(scene.deliveries(), []);
    scene.subscribe(subscriber, "a");
    scene.publish(publisher, &[&["a"]]);
    assert_eq!(scene.deliveries(), [(subscriber, batch(&[&["a"]]))]);
}

#[test]
fn who_comes_and_goes_changes_who_gets_what_is_known_already() {
    let mut scene = Scene::new();
    let publisher = scene.open(Side::Frontend);
    let first = scene.subscriber(&["abc"]);
    scene.publish(publisher, &[&["abcd"]]);
    assert_eq!(scene.deliveries(), [(first, batch(&[&["abcd"]]))]);

    let second = scene.subscriber(&["a"]);
    scene.publish(publisher, &[&["abcd"]]);
    let both = [(first, batch(&[&["abcd"]])), (second, batch(&[&["abcd"]]))];
    assert_eq!(scene.deliveries(), both);

    scene.bus.handle_closed(second);
    scene.publish(publisher, &[&["abcd"]]);
    assert_eq!(scene.deliveries(), [(first, batch(&[&["abcd"]]))]);
}

#[test]
fn the_newest_beyond_an_outbox_are_lost_and_counted_by_peer() {
    let message: &[&str] = &["t", "0123456789"];
    let size = run(&[message]).encoded().len();
    let mut scene = Scene::with(|config| config.outbox_bytes = 5 * size);
    let publisher = scene.open(Side::Frontend);
    let slow = scene.subscriber(&["t"]);
    let fast = scene.subscriber(&["t"]);
    scene.bus.handle_backlog(slow, 2 * size);
    scene.publish(publisher, &[message; 4]);
    let got = [(slow, batch(&[message; 3])), (fast, batch(&[message; 4]))];
    assert_eq!(scene.deliveries(), got);
    assert_eq!((scene.lost(slow), scene.lost(fast)), (1, 0));

    scene.bus.handle_backlog(slow, 5 * size);
    scene.bus.handle_backlog(fast, 0);
    scene.publish(publisher, &[message; 2]);
    assert_eq!(scene.deliveries(), [(fast, batch(&[message; 2]))]);
    assert_eq!(scene.lost(slow), 3);

    scene.bus.handle_backlog(slow, 0);
    scene.publish(publisher, &[message]);
    let got = [(slow, batch(&[message])), (fast, batch(&[message]))];
    assert_eq!(scene.deliveries(), got);
    let tally = scene.bus.tally();
    assert_eq!((tally.delivered, tally.dropped), (3 + 4 + 2 + 2, 3));
}

#[test]
fn one_message_fits_an_empty_outbox_whatever_its_size() {
    let mut scene = Scene::with(|config| config.outbox_bytes = 1);
    let publisher = scene.open(Side::Frontend);
    let subscriber = scene.subscriber(&[""]);
    scene.publish(publisher, &[&["large"], &["large too"]]);
    assert_eq!(scene.deliveries(), [(subscriber, batch(&[&["large"]]))]);
    assert_eq!(scene.lost(subscriber), 1);
}

#[test]
fn while_memory_is_short_nothing_is_queued_behind_what_waits() {
    let mut scene = Scene::new();
    let publisher = scene.open(Side::Frontend);
    let waiting = scene.subscriber(&[""]);
    let idle = scene.subscriber(&[""]);
    scene.outputs();
    scene.bus.handle_backlog(waiting, 1);
    scene.bus.handle_memory(true);
    scene.publish(publisher, &[&["a"]]);
    assert_eq!(scene.deliveries(), [(idle, batch(&[&["a"]]))]);
    assert_eq!(scene.lost(waiting), 1);

    let refused = scene.subscriber(&["more"]);
    assert_eq!(scene.outputs(), [Output::Close(refused, Expulsion::Memory)]);
}

#[test]
fn captures_are_told_once_a_second_what_was_dropped() {
    let mut scene = Scene::with(|config| config.outbox_bytes = 1);
    let publisher = scene.open(Side::Frontend);
    let capture = scene.open(Side::Capture);
    scene.subscribe(capture, "org.plantd.broker.");
    let backend = scene.subscriber(&["org.plantd.broker."]);
    let slow = scene.subscriber(&["t"]);
    scene.bus.handle_backlog(slow, 1);
    scene.publish(publisher, &[&["t"], &["t"]]);
    assert_eq!(scene.deliveries(), []);
    let due = scene.now + Duration::from_secs(1);
    assert_eq!(scene.bus.poll_timeout(), Some(due));
    scene.bus.handle_timeout(scene.now);
    assert_eq!(scene.deliveries(), []);

    scene.bus.handle_timeout(due);
    let report = r#"{"bus":"test","dropped":2,"subscribers":[{"address":"peer 4","dropped":2}]}"#;
    let told = batch(&[&["org.plantd.broker.dropped", report]]);
    assert_eq!(scene.deliveries(), [(capture, told)]);
    assert_eq!(scene.bus.poll_timeout(), None);

    // Who loses something and leaves is told of as well.
    scene.bus.handle_backlog(capture, 0);
    scene.publish(publisher, &[&["t"]]);
    scene.bus.handle_closed(slow);
    scene.bus.handle_timeout(due + Duration::from_secs(1));
    let report = r#"{"bus":"test","dropped":1,"subscribers":[{"address":"peer 4","dropped":1}]}"#;
    let told = batch(&[&["org.plantd.broker.dropped", report]]);
    assert_eq!(scene.deliveries(), [(capture, told)]);
    assert_eq!(scene.lost(backend), 0);
}

#[test]
fn a_bus_that_retains_sends_the_last_of_each_topic_to_who_subscribes_it() {
    let limits = RetainLimits {
        topics: 2,
        bytes: 1 << 20,
    };
    let mut scene = Scene::with(|config| config.retain = Some(limits));
    let publisher = scene.open(Side::Frontend);
    scene.publish(publisher, &[&["a", "1"], &["ab", "2"], &["a", "3"]]);
    let late = scene.subscriber(&["a"]);
    let all = [(late, batch(&[&["a", "3"], &["ab", "2"]]))];
    assert_eq!(scene.deliveries(), all);
    scene.subscribe(late, "a");
    assert_eq!(scene.deliveries(), [], "it has that subscription");
    scene.subscribe(late, "ab");
    assert_eq!(scene.deliveries(), [(late, batch(&[&["ab", "2"]]))]);

    // Beyond the limit the topic goes that was published longest ago.
    scene.publish(publisher, &[&["c", "4"]]);
    scene.deliveries();
    let later = scene.subscriber(&[""]);
    assert_eq!(
        scene.deliveries(),
        [(later, batch(&[&["a", "3"], &["c", "4"]]))]
    );
    assert_eq!(
        (scene.bus.tally().retained, scene.bus.tally().evicted),
        (2, 1)
    );
}

#[test]
fn what_is_retained_is_limited_in_bytes() {
    let limits = RetainLimits {
        topics: 1000,
        bytes: 10_000,
    };
    let mut scene = Scene::with(|config| config.retain = Some(limits));
    let publisher = scene.open(Side::Frontend);
    let kilobyte = "x".repeat(1000);
    for topic in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        scene.publish(publisher, &[&[topic, &kilobyte]]);
    }
    let tally = scene.bus.tally();
    assert!(tally.held_bytes < 11_000, "{tally:?}");
    assert_eq!(tally.retained as u64 + tally.evicted, 10);
    assert!(tally.retained >= 5, "{tally:?}");
}

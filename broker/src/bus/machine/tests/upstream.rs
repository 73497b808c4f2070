//! What publishers are asked for, and who is shown out.

use super::*;

#[test]
fn publishers_are_asked_for_a_topic_from_its_first_subscriber_to_its_last() {
    let mut scene = Scene::new();
    let early = scene.open(Side::Frontend);
    let first = scene.subscriber(&["a"]);
    assert_eq!(scene.outputs(), [Output::Ask(early, vec![subscribe("a")])]);
    let second = scene.subscriber(&["a", "b", "a"]);
    assert_eq!(scene.outputs(), [Output::Ask(early, vec![subscribe("b")])]);

    let late = scene.open(Side::Frontend);
    let [Output::Ask(peer, asked)] = &scene.outputs()[..] else {
        panic!("who connects is asked for everything that is subscribed");
    };
    assert_eq!(*peer, late);
    let mut asked = asked.clone();
    asked.sort_by_key(|change| format!("{change:?}"));
    assert_eq!(asked, [subscribe("a"), subscribe("b")]);

    scene.cancel(first, "a");
    assert_eq!(scene.outputs(), []);
    scene.bus.handle_closed(second);
    let outputs = scene.outputs();
    assert_eq!(outputs.len(), 2, "{outputs:?}");
    for output in outputs {
        let Output::Ask(_, mut changes) = output else {
            panic!("{output:?}");
        };
        changes.sort_by_key(|change| format!("{change:?}"));
        assert_eq!(changes, [cancel("a"), cancel("b")]);
    }
}

#[test]
fn captures_are_subscribers_to_publishers() {
    let mut scene = Scene::new();
    let publisher = scene.open(Side::Frontend);
    let capture = scene.open(Side::Capture);
    scene.subscribe(capture, "c");
    assert_eq!(
        scene.outputs(),
        [Output::Ask(publisher, vec![subscribe("c")])]
    );
}

#[test]
fn a_bus_that_retains_asks_for_everything_and_nothing_else() {
    let limits = RetainLimits {
        topics: 1,
        bytes: 1000,
    };
    let mut scene = Scene::with(|config| config.retain = Some(limits));
    let publisher = scene.open(Side::Frontend);
    assert_eq!(
        scene.outputs(),
        [Output::Ask(publisher, vec![subscribe("")])]
    );
    let subscriber = scene.subscriber(&["a"]);
    scene.cancel(subscriber, "a");
    assert_eq!(scene.outputs(), []);
}

#[test]
fn beyond_a_number_of_topics_everything_is_asked_for_until_they_are_half_as_many() {
    let mut scene = Scene::with(|config| config.upstream_topics = 2);
    let publisher = scene.open(Side::Frontend);
    let subscriber = scene.subscriber(&["a", "b"]);
    let asked = Output::Ask(publisher, vec![subscribe("a"), subscribe("b")]);
    assert_eq!(scene.outputs(), [asked]);

    scene.subscribe(subscriber, "c");
    let changes = vec![
        subscribe("c"),
        subscribe(""),
        cancel("a"),
        cancel("b"),
        cancel("c"),
    ];
    assert_eq!(scene.outputs(), [Output::Ask(publisher, changes)]);
    let late = scene.open(Side::Frontend);
    assert_eq!(scene.outputs(), [Output::Ask(late, vec![subscribe("")])]);

    scene.cancel(subscriber, "b");
    assert_eq!(scene.outputs(), []);
    scene.cancel(subscriber, "c");
    let changes = vec![subscribe("a"), cancel("")];
    let both = [publisher, late].map(|peer| Output::Ask(peer, changes.clone()));
    assert_eq!(scene.outputs(), both);
}

#[test]
fn who_subscribes_more_than_it_may_is_shown_out() {
    let mut scene = Scene::with(|config| config.subscriptions = 2);
    let publisher = scene.open(Side::Frontend);
    let subscriber = scene.subscriber(&["a", "a"]);
    scene.outputs();
    scene.subscribe(subscriber, "b");
    assert_eq!(
        scene.outputs(),
        [
            Output::Close(subscriber, Expulsion::Subscriptions),
            Output::Ask(publisher, vec![cancel("a")]),
        ]
    );
    scene.subscribe(subscriber, "c");
    assert_eq!(scene.outputs(), [], "it is gone");

    let subscriber = scene.subscriber(&[]);
    scene.subscribe(subscriber, &"x".repeat(255));
    assert_eq!(scene.outputs().len(), 1);
    scene.subscribe(subscriber, &"x".repeat(256));
    let closed = Output::Close(subscriber, Expulsion::TopicTooLong);
    assert_eq!(scene.outputs()[0], closed);
}

#[test]
fn a_publisher_that_does_not_read_what_it_is_asked_is_shown_out() {
    let mut scene = Scene::new();
    let publisher = scene.open(Side::Frontend);
    scene.bus.handle_backlog(publisher, (1 << 20) + 1);
    assert_eq!(
        scene.outputs(),
        [Output::Close(publisher, Expulsion::OutboxFull)]
    );
    scene.publish(publisher, &[&["a"]]);
    assert_eq!(scene.bus.tally().messages, 0);
}

#[test]
fn subscribers_publish_nothing_and_publishers_subscribe_nothing() {
    let mut scene = Scene::new();
    let publisher = scene.open(Side::Frontend);
    let subscriber = scene.subscriber(&[""]);
    scene.outputs();
    scene.publish(subscriber, &[&["a"]]);
    scene.subscribe(publisher, "a");
    assert_eq!(scene.deliveries(), []);
    assert_eq!(scene.outputs(), []);
}

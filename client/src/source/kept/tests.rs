use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::SourceId;

const LIMIT: usize = 100_000;

/// What a source keeps, and its clock.
struct Scene {
    kept: Kept,
    now: Instant,
    published: u64,
    sent: BTreeMap<ConnectionKey, Vec<u64>>,
}

fn link(n: u64) -> ConnectionKey {
    ConnectionKey::numbered(n)
}

#[expect(clippy::disallowed_methods, reason = "any instant is as good")]
fn start() -> Instant {
    Instant::now()
}

impl Scene {
    fn new() -> Self {
        Self {
            kept: Kept::new(LIMIT, true),
            now: start(),
            published: 0,
            sent: BTreeMap::new(),
        }
    }

    /// Publishes on a topic; the sequence is which publication of all it is.
    fn publish(&mut self, topic: &str) {
        self.published += 1;
        self.kept.push(Published {
            topic: Topic::new(topic).unwrap(),
            header: PublicationHeader {
                source: SourceId::from_random(1),
                sequence: self.published,
                time: SystemTime::UNIX_EPOCH,
                properties: plantd_mdp::Properties::default(),
            },
            body: Message::from_frames([vec![0; 100]]),
        });
    }

    /// What is to be sent over a connection.
    fn send(&mut self, n: u64) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(published) = self.kept.poll_send(link(n), self.now) {
            sent.push(published.header.sequence);
        }
        self.sent.entry(link(n)).or_default().extend(&sent);
        sent
    }

    /// What a broker is asked, when nobody waits for the answer.
    fn mark(&mut self, n: u64) -> Option<u64> {
        self.kept.poll_mark(link(n), false, self.now)
    }

    fn answer(&mut self, n: u64, mark: u64) {
        self.kept.handle_marked(link(n), mark, self.now);
    }

    /// A connection whose broker has answered, and from which on only what is wanted is sent.
    fn open(&mut self, n: u64) {
        self.kept.handle_opened(link(n));
        self.send(n);
        let mark = self.mark(n).unwrap();
        self.answer(n, mark);
        self.now += UNFILTERED;
    }

    fn subscribe(&mut self, n: u64, topic: &'static str) {
        let change = Subscription::Subscribe(topic.into());
        self.kept.handle_subscriptions(link(n), vec![change]);
    }

    fn count(&self) -> usize {
        self.kept.entries.len()
    }
}

#[test]
fn a_topic_is_subscribed_when_every_broker_says_so() {
    let mut scene = Scene::new();
    let subscribe = |scene: &mut Scene, n, topic: &'static str| {
        let change = Subscription::Subscribe(topic.into());
        scene.kept.handle_subscriptions(link(n), vec![change]);
    };
    assert!(!scene.kept.is_subscribed(b"a/b"));
    scene.kept.handle_opened(link(1));
    assert!(!scene.kept.is_subscribed(b"a/b"));
    subscribe(&mut scene, 1, "a/");
    assert!(scene.kept.is_subscribed(b"a/b"));
    assert!(!scene.kept.is_subscribed(b"b"));
    scene.kept.handle_opened(link(2));
    assert!(!scene.kept.is_subscribed(b"a/b"));
    subscribe(&mut scene, 2, "");
    assert!(scene.kept.is_subscribed(b"a/b"));
    let cancel = Subscription::Cancel("a/".into());
    scene.kept.handle_subscriptions(link(1), vec![cancel]);
    assert!(!scene.kept.is_subscribed(b"a/b"));
}

#[test]
fn what_is_published_without_a_broker_is_sent_to_the_first() {
    let mut scene = Scene::new();
    scene.publish("a");
    scene.publish("b");
    assert_eq!(scene.kept.release(), 0);
    scene.kept.handle_opened(link(0));
    // Its subscriptions have not come, so that everything may be wanted.
    assert_eq!(scene.send(0), [1, 2]);
    assert!(!scene.kept.is_read(2));
    let mark = scene.mark(0).unwrap();
    assert_eq!(scene.mark(0), None, "one question at a time");
    scene.answer(0, mark);
    assert!(scene.kept.is_read(2));
    assert_eq!(scene.kept.unread(), 0);
    assert_eq!(
        scene.kept.release(),
        scene.kept.bytes + 2 * (OVERHEAD_BYTES + 1 + 102)
    );
    assert_eq!((scene.count(), scene.kept.bytes), (0, 0));
}

#[test]
fn everything_is_sent_for_a_second_after_the_first_answer() {
    let mut scene = Scene::new();
    scene.kept.handle_opened(link(0));
    scene.now += UNFILTERED * 10;
    scene.publish("a");
    assert_eq!(scene.send(0), [1], "the broker has not answered");
    let mark = scene.mark(0).unwrap();
    scene.answer(0, mark);
    scene.publish("a");
    scene.now += UNFILTERED / 2;
    assert_eq!(scene.send(0), [2]);
    scene.now += UNFILTERED / 2;
    scene.publish("a");
    assert!(scene.send(0).is_empty());
    scene.subscribe(0, "a");
    scene.publish("a");
    scene.publish("b");
    assert_eq!(scene.send(0), [4]);
}

#[test]
fn everything_is_sent_where_subscriptions_are_not_told() {
    let mut scene = Scene::new();
    scene.kept = Kept::new(LIMIT, false);
    scene.open(0);
    scene.now += UNFILTERED * 10;
    scene.publish("a");
    assert_eq!(scene.send(0), [1]);
}

#[test]
fn what_nobody_wants_is_done_with_at_once() {
    let mut scene = Scene::new();
    scene.open(0);
    scene.publish("a");
    assert!(scene.send(0).is_empty());
    assert_eq!(scene.mark(0), None);
    assert!(scene.kept.is_read(1));
    assert!(scene.kept.release() > 0);
    assert_eq!(scene.kept.poll_timeout(), None);
}

#[test]
fn a_broker_is_asked_after_a_while_or_after_much_or_when_somebody_waits() {
    let mut scene = Scene::new();
    scene.open(0);
    scene.subscribe(0, "");
    scene.publish("a");
    scene.send(0);
    assert_eq!(scene.mark(0), None);
    assert_eq!(scene.kept.poll_timeout(), Some(scene.now + MARK_DELAY));
    scene.now += MARK_DELAY;
    assert_eq!(scene.mark(0), Some(1));
    assert_eq!(scene.kept.poll_timeout(), None);
    scene.publish("a");
    scene.send(0);
    scene.answer(0, 1);
    assert_eq!(scene.kept.poll_timeout(), Some(scene.now + MARK_DELAY));
    assert_eq!(scene.kept.poll_mark(link(0), true, scene.now), Some(2));
    scene.answer(0, 2);

    let mut bytes = 0;
    let mark = loop {
        assert_eq!(scene.mark(0), None);
        let before = scene.kept.bytes;
        scene.publish("a");
        bytes += scene.kept.bytes - before;
        scene.send(0);
        if bytes >= MARK_BYTES {
            break scene.mark(0);
        }
    };
    assert_eq!(mark, Some(scene.published));
}

#[test]
fn what_a_lost_broker_had_not_confirmed_is_sent_over_the_next_connection() {
    let mut scene = Scene::new();
    scene.open(0);
    scene.subscribe(0, "");
    scene.publish("a");
    scene.publish("b");
    assert_eq!(scene.send(0), [1, 2]);
    let mark = scene.kept.poll_mark(link(0), true, scene.now).unwrap();
    scene.publish("c");
    assert_eq!(scene.send(0), [3]);
    scene.answer(0, mark);
    scene.kept.release();
    scene.kept.handle_closed(link(0));
    scene.publish("d");
    assert_eq!(scene.kept.unread(), 2);
    scene.kept.handle_opened(link(1));
    assert_eq!(scene.send(1), [3, 4]);
}

#[test]
fn an_answer_to_a_question_that_was_not_asked_means_nothing() {
    let mut scene = Scene::new();
    scene.open(0);
    scene.subscribe(0, "");
    scene.publish("a");
    scene.send(0);
    for mark in [0, 1, 2, u64::MAX] {
        scene.answer(0, mark);
    }
    assert_eq!(scene.kept.unread(), 1);
    assert_eq!(scene.kept.release(), 0);
}

#[test]
fn all_brokers_that_are_connected_are_waited_for() {
    let mut scene = Scene::new();
    scene.open(0);
    scene.open(1);
    scene.subscribe(0, "");
    scene.subscribe(1, "");
    scene.publish("a");
    for n in [0, 1] {
        assert_eq!(scene.send(n), [1]);
        assert_eq!(scene.kept.poll_mark(link(n), true, scene.now), Some(1));
    }
    scene.answer(0, 1);
    assert!(!scene.kept.is_read(1));
    assert_eq!(scene.kept.unread(), 0);
    scene.kept.handle_closed(link(1));
    assert!(scene.kept.is_read(1));
}

#[test]
fn a_broker_that_lags_misses_what_another_has_read() {
    let mut scene = Scene::new();
    scene.open(0);
    scene.open(1);
    scene.subscribe(0, "");
    scene.subscribe(1, "");
    let mut rounds = 0;
    while scene.kept.first == 0 {
        rounds += 1;
        assert!(rounds < 10_000, "something is let go of");
        scene.publish("a");
        // The other one does not read, and is given nothing.
        scene.send(0);
        if let Some(mark) = scene.kept.poll_mark(link(0), true, scene.now) {
            scene.answer(0, mark);
        }
        scene.kept.release();
        assert!(scene.kept.bytes <= LIMIT);
    }
    scene.publish("a");
    assert_eq!(scene.send(1), [scene.published]);
}

#[test]
fn a_broker_with_too_many_subscriptions_is_sent_everything() {
    let mut scene = Scene::new();
    scene.open(0);
    for n in 0..=MAX_TOPICS {
        let change = Subscription::Subscribe(format!("x{n}").into());
        scene.kept.handle_subscriptions(link(0), vec![change]);
    }
    scene.publish("a");
    assert_eq!(scene.send(0), [1]);
}

/// What happens to a source of two brokers.
#[derive(Debug, Clone, Copy)]
enum Step {
    Publish,
    Send(u64),
    Answer(u64),
    Reconnect(u64),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Publish),
        4 => (0..2_u64).prop_map(Step::Send),
        3 => (0..2_u64).prop_map(Step::Answer),
        1 => (0..2_u64).prop_map(Step::Reconnect),
        1 => (0..2000_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..150)
}

proptest! {
    /// With brokers that want everything: what is let go of was read by one of them, each is sent
    /// its part in order, and at last all was read.
    #[test]
    fn nothing_is_lost(steps in steps()) {
        let mut scene = Scene::new();
        let mut keys = [0, 1];
        let mut next_key = 2;
        let mut read = 0;
        for n in keys {
            scene.kept.handle_opened(link(n));
            scene.subscribe(n, "");
        }
        let last = [Step::Reconnect(0), Step::Send(0), Step::Answer(0)];
        for step in steps.into_iter().chain(last) {
            match step {
                Step::Publish => scene.publish("a"),
                Step::Send(n) => drop(scene.send(keys[n as usize])),
                Step::Answer(n) => {
                    let key = keys[n as usize];
                    scene.kept.poll_mark(link(key), true, scene.now);
                    if let Some(mark) = scene.kept.links[&link(key)].mark {
                        scene.answer(key, mark);
                        read = read.max(mark);
                    }
                }
                Step::Reconnect(n) => {
                    scene.kept.handle_closed(link(keys[n as usize]));
                    keys[n as usize] = next_key;
                    scene.kept.handle_opened(link(next_key));
                    scene.subscribe(next_key, "");
                    next_key += 1;
                }
                Step::Pass(millis) => scene.now += Duration::from_millis(millis),
            }
            scene.kept.release();
            prop_assert!(scene.kept.first <= read);
            prop_assert_eq!(scene.kept.safe, read);
        }
        prop_assert_eq!(scene.kept.unread(), 0);
        for sent in scene.sent.values() {
            prop_assert!(sent.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{:?}", sent);
        }
    }
}

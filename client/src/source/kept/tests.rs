use std::time::SystemTime;

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::{
    Publication, SourceId,
    source::{draft::Draft, heading::Heading},
};

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

/// The sequences of what goes over the wire.
fn sequences(published: &Published) -> Vec<u64> {
    let Wire::Run(run) = &published.wire else {
        panic!("the bodies are short");
    };
    let read = run.parts().map(|part| {
        let publication = Publication::read(&run.message(&part));
        assert_eq!(publication.topic, published.topic);
        publication.header.unwrap().sequence
    });
    let sequences: Vec<u64> = read.collect();
    assert_eq!(sequences.len() as u64, published.count);
    sequences
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
        self.publish_run(topic, 1);
    }

    /// Publishes so many at once on a topic.
    fn publish_run(&mut self, topic: &str, count: u64) {
        let heading = Heading::new(topic).unwrap();
        let body = Message::from_frames([vec![0; 100]]);
        let mut draft = Draft::new(heading.clone(), true, BytesMut::new());
        for _ in 0..count {
            let bytes = Draft::bytes_of(&heading, &body);
            draft.push(SystemTime::UNIX_EPOCH, body.clone(), bytes);
        }
        let published = draft.number(SourceId::from_random(1), self.published + 1);
        self.kept.push(published.unwrap());
        self.published += count;
    }

    /// What is to be sent over a connection.
    fn send(&mut self, n: u64) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(published) = self.kept.poll_send(link(n), self.now) {
            sent.extend(sequences(published));
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
    assert_eq!(scene.kept.release(), scene.kept.bytes + 2 * (128 + 1 + 102));
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

#[test]
fn what_is_published_at_once_is_sent_and_let_go_of_at_once() {
    let mut scene = Scene::new();
    scene.publish("a");
    scene.publish_run("a", 3);
    assert_eq!((scene.count(), scene.kept.unread()), (2, 4));
    scene.kept.handle_opened(link(0));
    assert_eq!(scene.send(0), [1, 2, 3, 4]);
    scene.publish_run("b", 2);
    let mark = scene.mark(0).unwrap();
    assert_eq!(scene.send(0), [5, 6]);
    scene.answer(0, mark);
    assert_eq!(scene.kept.release(), 4 * (128 + 1 + 102));
    assert_eq!((scene.count(), scene.kept.unread()), (1, 2));
}

#[test]
fn topics_are_said_to_be_unwanted_once_no_broker_would_be_sent_them() {
    let mut scene = Scene::new();
    let told = |scene: &mut Scene| scene.kept.poll_wanted(scene.now);
    let matches = |wanted: Option<Wanted>, topic: &[u8]| wanted.map(|it| it.matches(topic));
    assert!(told(&mut scene).is_none(), "there is no broker");
    scene.kept.handle_opened(link(0));
    scene.subscribe(0, "a");
    assert!(told(&mut scene).is_none(), "it has not answered");
    scene.open(1);
    assert!(told(&mut scene).is_none(), "one has not answered");
    scene.kept.handle_closed(link(0));
    assert_eq!(matches(told(&mut scene), b"a"), Some(false));
    assert!(told(&mut scene).is_none(), "nothing has changed");
    scene.subscribe(1, "a");
    assert_eq!(matches(told(&mut scene), b"ab"), Some(true));
    scene.kept.handle_opened(link(2));
    assert_eq!(matches(told(&mut scene), b"b"), Some(true));
    scene.kept.handle_closed(link(2));
    assert_eq!(matches(told(&mut scene), b"b"), Some(false));
    scene.kept.handle_closed(link(1));
    assert_eq!(matches(told(&mut scene), b"b"), Some(true));
}

#[test]
fn with_many_topics_everything_is_said_to_be_wanted() {
    let mut scene = Scene::new();
    scene.open(0);
    scene.open(1);
    for n in 0..=MAX_TOLD_TOPICS as u64 {
        let wanted = scene.kept.poll_wanted(scene.now);
        assert!(!wanted.unwrap().matches(b"b"), "{n}");
        let change = Subscription::Subscribe(format!("a{n}").into());
        scene.kept.handle_subscriptions(link(n % 2), vec![change]);
    }
    assert!(scene.kept.poll_wanted(scene.now).unwrap().matches(b"b"));
}

/// What happens to a source of two brokers.
#[derive(Debug, Clone, Copy)]
enum Step {
    Publish(u64),
    Send(u64),
    Answer(u64),
    Reconnect(u64),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..5_u64).prop_map(Step::Publish),
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
        let mut counts = Vec::new();
        for n in keys {
            scene.kept.handle_opened(link(n));
            scene.subscribe(n, "");
        }
        let last = [Step::Reconnect(0), Step::Send(0), Step::Answer(0)];
        for step in steps.into_iter().chain(last) {
            match step {
                Step::Publish(count) => {
                    scene.publish_run("a", count);
                    counts.push(count);
                }
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
            let unread: u64 = counts.iter().skip(read as usize).sum();
            prop_assert_eq!(scene.kept.unread(), unread);
        }
        prop_assert_eq!(scene.kept.unread(), 0);
        for sent in scene.sent.values() {
            prop_assert!(sent.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{:?}", sent);
        }
    }

    /// Whether what is said to be unwanted is published or left out, brokers that read at once are sent
    /// the same.
    #[test]
    fn what_is_said_to_be_unwanted_would_not_be_sent(changes in changes()) {
        let (mut all, mut wanted) = (Scene::new(), Scene::new());
        let mut told = Wanted::Everything;
        let mut keys = [0, 1];
        for (next_key, change) in (2..).zip(changes) {
            let old = keys;
            if let Change::Reconnect(n) = change {
                keys[n] = next_key;
            }
            for (leaves_out, scene) in [(false, &mut all), (true, &mut wanted)] {
                match change {
                    Change::Publish(topic) if leaves_out && !told.matches(topic.as_bytes()) => {
                        scene.published += 1;
                    }
                    Change::Publish(topic) => scene.publish(topic),
                    Change::Subscribe(n, topic) => scene.subscribe(keys[n], topic),
                    Change::Cancel(n, topic) => {
                        let change = Subscription::Cancel(topic.into());
                        scene.kept.handle_subscriptions(link(keys[n]), vec![change]);
                    }
                    Change::Close(n) => scene.kept.handle_closed(link(keys[n])),
                    Change::Reconnect(n) => {
                        scene.kept.handle_closed(link(old[n]));
                        scene.kept.handle_opened(link(keys[n]));
                    }
                    Change::Pass(millis) => scene.now += Duration::from_millis(millis),
                }
                for key in keys {
                    scene.send(key);
                    while let Some(mark) = scene.kept.poll_mark(link(key), true, scene.now) {
                        scene.answer(key, mark);
                    }
                }
                scene.kept.release();
            }
            if let Some(news) = wanted.kept.poll_wanted(wanted.now) {
                told = news;
            }
            prop_assert_eq!(&all.sent, &wanted.sent);
            prop_assert_eq!(all.kept.unread(), wanted.kept.unread());
        }
    }
}

/// What happens to two brokers, and to what is published to them.
#[derive(Debug, Clone, Copy)]
enum Change {
    Publish(&'static str),
    Subscribe(usize, &'static str),
    Cancel(usize, &'static str),
    Close(usize),
    Reconnect(usize),
    Pass(u64),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let topic = || prop_oneof![Just("a"), Just("ab"), Just("b")];
    let change = prop_oneof![
        8 => topic().prop_map(Change::Publish),
        3 => (0..2_usize, topic()).prop_map(|(n, topic)| Change::Subscribe(n, topic)),
        2 => (0..2_usize, topic()).prop_map(|(n, topic)| Change::Cancel(n, topic)),
        1 => (0..2_usize).prop_map(Change::Close),
        2 => (0..2_usize).prop_map(Change::Reconnect),
        2 => (0..1500_u64).prop_map(Change::Pass),
    ];
    prop::collection::vec(change, 0..150)
}

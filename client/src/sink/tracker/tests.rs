use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::link::ConnectionKey;

const TOPIC: &str = "topic";

/// A tracker, its clock, and what it has told.
struct Scene {
    tracker: Tracker,
    now: Instant,
    links: Vec<ConnectionKey>,
}

impl Scene {
    fn new(links: u64) -> Self {
        let mut tracker = Tracker::new(1000);
        let links: Vec<_> = (0..links).map(ConnectionKey::numbered).collect();
        for link in &links {
            tracker.handle_opened(*link);
        }
        Self {
            tracker,
            now: start(),
            links,
        }
    }

    /// One publication of the one source on the one topic, and what it shows to be missing.
    fn take(&mut self, link: usize, sequence: u64) -> (Seen, Vec<(u64, u64)>) {
        let topic = Topic::new(TOPIC).unwrap();
        let link = self.links[link];
        let seen = self
            .tracker
            .handle_publication(link, source(1), &topic, sequence, self.now);
        (seen, self.gaps())
    }

    fn gaps(&mut self) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| self.tracker.poll_gap())
            .map(|gap| (gap.first, gap.missed))
            .collect()
    }

    fn close(&mut self, link: usize) -> Vec<(u64, u64)> {
        self.tracker.handle_closed(self.links[link], self.now);
        self.gaps()
    }

    fn pass(&mut self, time: Duration) -> Vec<(u64, u64)> {
        self.now += time;
        self.tracker.handle_timeout(self.now);
        self.gaps()
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant is as good")]
fn start() -> Instant {
    Instant::now()
}

fn source(n: u128) -> SourceId {
    SourceId::from_random(n)
}

fn new(gaps: &[(u64, u64)]) -> (Seen, Vec<(u64, u64)>) {
    (Seen::New, gaps.to_vec())
}

fn before() -> (Seen, Vec<(u64, u64)>) {
    (Seen::Before, Vec::new())
}

#[test]
fn the_count_begins_with_the_first_that_comes() {
    let mut scene = Scene::new(1);
    assert_eq!(scene.take(0, 7), new(&[]));
    assert_eq!(scene.take(0, 8), new(&[]));
    assert_eq!(scene.take(0, 8), before());
    assert_eq!(scene.take(0, 3), before());
}

#[test]
fn one_broker_cannot_deliver_later_what_it_has_passed() {
    let mut scene = Scene::new(1);
    scene.take(0, 1);
    assert_eq!(scene.take(0, 5), new(&[(2, 3)]));
    assert_eq!(scene.take(0, 6), new(&[]));
    assert_eq!(scene.take(0, 8), new(&[(7, 1)]));
    assert_eq!(scene.tracker.poll_timeout(), None);
}

#[test]
fn what_one_broker_dropped_comes_from_another() {
    let mut scene = Scene::new(2);
    scene.take(0, 1);
    assert_eq!(scene.take(1, 1), before());
    assert_eq!(scene.take(0, 5), new(&[]));
    assert_eq!(scene.take(1, 3), new(&[(2, 1)]));
    assert_eq!(scene.take(1, 4), new(&[]));
    assert_eq!(scene.take(1, 5), before());
    assert_eq!(scene.pass(PATIENCE * 3), []);
}

#[test]
fn a_broker_that_never_delivered_of_a_topic_is_not_waited_for() {
    let mut scene = Scene::new(2);
    scene.take(0, 1);
    assert_eq!(scene.take(0, 3), new(&[(2, 1)]));
}

#[test]
fn what_only_a_lost_broker_could_deliver_is_missing() {
    let mut scene = Scene::new(2);
    scene.take(0, 1);
    scene.take(1, 1);
    assert_eq!(scene.take(0, 4), new(&[]));
    assert_eq!(scene.close(1), [(2, 2)]);
    assert_eq!(scene.take(0, 5), new(&[]));
}

#[test]
fn a_broker_that_lags_is_waited_for_no_longer_than_patience() {
    let mut scene = Scene::new(2);
    scene.take(0, 1);
    scene.take(1, 1);
    assert_eq!(scene.take(0, 4), new(&[]));
    let due = scene.tracker.poll_timeout().unwrap();
    assert_eq!(due, scene.now + PATIENCE);
    assert_eq!(scene.pass(PATIENCE / 2), []);
    assert_eq!(scene.pass(PATIENCE / 2), [(2, 2)]);
    // What comes after it was given up is not given: it was told to be missing.
    assert_eq!(scene.take(1, 2), before());
    assert_eq!(scene.tracker.poll_timeout(), None);
}

#[test]
fn stretches_that_can_still_come_are_few() {
    let mut scene = Scene::new(2);
    scene.take(0, 1);
    scene.take(1, 1);
    let odd = |n: u64| 1 + 2 * n;
    for n in 1..=MAX_MISSING as u64 {
        assert_eq!(scene.take(0, odd(n)), new(&[]));
    }
    let next = odd(MAX_MISSING as u64 + 1);
    assert_eq!(scene.take(0, next), new(&[(2, 1)]));
    assert_eq!(scene.take(0, next + 2), new(&[(4, 1)]));
}

#[test]
fn what_is_forgotten_begins_anew() {
    let mut scene = Scene::new(1);
    scene.take(0, 1);
    scene.tracker.forget(|topic| topic.as_bytes() == b"other");
    assert_eq!(scene.take(0, 3), new(&[(2, 1)]));
    scene.tracker.forget(|topic| topic.as_bytes() == b"topic");
    assert_eq!(scene.take(0, 9), new(&[]));
}

#[test]
fn pairs_that_were_not_heard_for_longest_are_forgotten() {
    let mut tracker = Tracker::new(100);
    let link = ConnectionKey::numbered(0);
    tracker.handle_opened(link);
    let now = start();
    let topic = Topic::new(TOPIC).unwrap();
    let mut take = |n: u128, sequence| {
        let seen = tracker.handle_publication(link, source(n), &topic, sequence, now);
        assert_eq!(seen, Seen::New);
        assert!(tracker.tracks.len() <= 100);
        tracker.poll_gap().map(|gap| gap.missed)
    };
    for n in 0..50_000 {
        assert_eq!(take(n, 1), None);
    }
    assert_eq!(take(49_990, 3), Some(1), "heard lately");
    assert_eq!(take(5, 3), None, "forgotten, so that its count begins anew");
}

#[test]
fn what_was_waited_for_is_told_when_its_pair_is_forgotten() {
    let mut scene = Scene::new(2);
    scene.take(0, 1);
    scene.take(1, 1);
    scene.take(0, 3);
    let topic = Topic::new("other").unwrap();
    for n in 0..1000 {
        let link = scene.links[0];
        scene
            .tracker
            .handle_publication(link, source(n), &topic, 1, scene.now);
    }
    assert_eq!(scene.gaps(), [(2, 1)]);
    assert_eq!(scene.pass(PATIENCE), []);
}

/// What happens to a sink of two brokers.
#[derive(Debug, Clone)]
enum Step {
    /// One publication of a pair comes over a connection, unless that dropped it.
    Deliver {
        link: usize,
        pair: u8,
        drops: bool,
    },
    Pass {
        millis: u64,
    },
    Reconnect {
        link: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let deliver = (0..2_usize, 0..3_u8, prop::bool::weighted(0.2))
        .prop_map(|(link, pair, drops)| Step::Deliver { link, pair, drops });
    let step = prop_oneof![
        20 => deliver,
        1 => (0..1500_u64).prop_map(|millis| Step::Pass { millis }),
        1 => (0..2_usize).prop_map(|link| Step::Reconnect { link }),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// Every sequence from the first that came to the last is given once, or told to be missing once;
    /// with time, all of them are.
    #[test]
    fn each_is_given_or_missing_once(steps in steps()) {
        let mut scene = Scene::new(2);
        let mut next_key = 2;
        // The next sequence of each connection and pair; what was given, and what was missing.
        let mut next: BTreeMap<(usize, u8), u64> = BTreeMap::new();
        let mut given: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
        let mut missing: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
        let pair_of = |gap: &Gap| gap.topic.as_str().unwrap().parse::<u8>().unwrap();
        let topic_of = |pair: u8| Topic::new(pair.to_string()).unwrap();
        for step in steps.into_iter().chain([Step::Pass { millis: 5000 }]) {
            match step {
                Step::Deliver { link, pair, drops } => {
                    let sequence = next.entry((link, pair)).or_insert(1);
                    let (key, now) = (scene.links[link], scene.now);
                    if !drops {
                        let topic = topic_of(pair);
                        let seen = scene
                            .tracker
                            .handle_publication(key, source(1), &topic, *sequence, now);
                        if seen == Seen::New {
                            given.entry(pair).or_default().push(*sequence);
                        }
                    }
                    *sequence += 1;
                }
                Step::Pass { millis } => {
                    scene.now += Duration::from_millis(millis);
                    scene.tracker.handle_timeout(scene.now);
                }
                Step::Reconnect { link } => {
                    scene.tracker.handle_closed(scene.links[link], scene.now);
                    scene.links[link] = ConnectionKey::numbered(next_key);
                    next_key += 1;
                    scene.tracker.handle_opened(scene.links[link]);
                }
            }
            while let Some(gap) = scene.tracker.poll_gap() {
                prop_assert!(gap.missed > 0);
                let pair = missing.entry(pair_of(&gap)).or_default();
                pair.extend(gap.first..gap.first + gap.missed);
            }
        }
        for (pair, given) in given {
            let first = given[0];
            let last = *given.iter().max().unwrap();
            let mut all: Vec<u64> = missing.remove(&pair).unwrap_or_default();
            all.extend(given);
            all.sort_unstable();
            prop_assert_eq!(all, (first..=last).collect::<Vec<_>>());
        }
        prop_assert!(missing.is_empty());
        prop_assert_eq!(scene.tracker.poll_timeout(), None);
    }
}

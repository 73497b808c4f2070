//! Whatever peers do, a bus does as a list of subscriptions would, and its invariants hold.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const TOPICS: [&str; 8] = ["", "a", "ab", "abc", "b", "ba", "\0", "\u{7f}"];

#[derive(Clone, Debug)]
enum Step {
    Open(Side),
    Close(usize),
    Subscribe(usize, usize),
    Cancel(usize, usize),
    Publish(usize, Vec<usize>),
    Backlog(usize, usize),
    Memory(bool),
    Second,
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    let peer = 0..8_usize;
    let topic = 0..TOPICS.len();
    let side = prop_oneof![
        Just(Side::Frontend),
        Just(Side::Backend),
        Just(Side::Backend),
        Just(Side::Capture)
    ];
    prop_oneof![
        3 => side.prop_map(Step::Open),
        1 => peer.clone().prop_map(Step::Close),
        4 => (peer.clone(), topic.clone()).prop_map(|(p, t)| Step::Subscribe(p, t)),
        2 => (peer.clone(), topic.clone()).prop_map(|(p, t)| Step::Cancel(p, t)),
        6 => (peer.clone(), vec(topic, 1..6)).prop_map(|(p, t)| Step::Publish(p, t)),
        1 => (peer, 0..120_usize).prop_map(|(p, bytes)| Step::Backlog(p, bytes)),
        1 => any::<bool>().prop_map(Step::Memory),
        1 => Just(Step::Second),
        3 => Just(Step::Drain),
    ]
}

/// What a peer is, as the test knows it.
#[derive(Debug, Default)]
struct Known {
    publishes: bool,
    topics: Vec<&'static str>,
    /// What it was handed.
    got: Vec<u8>,
    /// What it would have got without losing any.
    meant: Vec<u8>,
    messages_meant: u64,
}

proptest! {
    #[test]
    fn a_bus_does_as_a_list_of_subscriptions_would(steps in vec(step(), 0..80), retains in any::<bool>()) {
        let retain = retains.then_some(RetainLimits { topics: 3, bytes: 2000 });
        let mut scene = Scene::with(|config| {
            config.outbox_bytes = 100;
            config.subscriptions = 6;
            config.upstream_topics = 4;
            config.retain = retain;
        });
        let mut peers: Vec<PeerId> = Vec::new();
        let mut known: BTreeMap<PeerId, Known> = BTreeMap::new();
        let mut asked: BTreeMap<PeerId, BTreeMap<Vec<u8>, i32>> = BTreeMap::new();
        let pick = |peers: &[PeerId], at: usize| (!peers.is_empty()).then(|| peers[at % peers.len()]);
        for step in steps {
            match step {
                Step::Open(side) => {
                    let peer = scene.open(side);
                    peers.push(peer);
                    let publishes = side == Side::Frontend;
                    known.insert(peer, Known { publishes, ..Known::default() });
                    if publishes {
                        asked.insert(peer, BTreeMap::new());
                    }
                }
                Step::Close(at) => if let Some(peer) = pick(&peers, at) {
                    scene.bus.handle_closed(peer);
                    peers.retain(|other| *other != peer);
                    known.remove(&peer);
                    asked.remove(&peer);
                }
                Step::Subscribe(at, topic) => if let Some(peer) = pick(&peers, at) {
                    scene.subscribe(peer, TOPICS[topic]);
                    if let Some(known) = known.get_mut(&peer).filter(|known| !known.publishes) {
                        known.topics.push(TOPICS[topic]);
                    }
                }
                Step::Cancel(at, topic) => if let Some(peer) = pick(&peers, at) {
                    scene.cancel(peer, TOPICS[topic]);
                    let topics = &mut known.get_mut(&peer).expect("it is known").topics;
                    if let Some(at) = topics.iter().position(|own| *own == TOPICS[topic]) {
                        topics.swap_remove(at);
                    }
                }
                Step::Publish(at, topics) => if let Some(peer) = pick(&peers, at) {
                    let messages: Vec<Vec<&str>> =
                        topics.iter().map(|topic| vec![TOPICS[*topic], "body"]).collect();
                    let messages: Vec<&[&str]> = messages.iter().map(|frames| &frames[..]).collect();
                    scene.publish(peer, &messages);
                    if known[&peer].publishes {
                        for message in messages {
                            let encoded = run(&[message]).encoded().to_vec();
                            let meant = known.values_mut().filter(|known| {
                                known.topics.iter().any(|topic| message[0].starts_with(topic))
                            });
                            for known in meant {
                                known.meant.extend(&encoded);
                                known.messages_meant += 1;
                            }
                        }
                    }
                }
                Step::Backlog(at, bytes) => if let Some(peer) = pick(&peers, at) {
                    scene.bus.handle_backlog(peer, bytes);
                }
                Step::Memory(is_short) => scene.bus.handle_memory(is_short),
                Step::Second => {
                    scene.now += Duration::from_secs(1);
                    scene.bus.handle_timeout(scene.now);
                }
                Step::Drain => for (peer, batch) in scene.deliveries() {
                    known.get_mut(&peer).expect("it is known").got.extend(batch.to_bytes());
                    scene.bus.handle_backlog(peer, 0);
                }
            }
            scene.bus.check_invariants();
            for output in scene.outputs() {
                match output {
                    Output::Ask(peer, changes) => {
                        let asked = asked.get_mut(&peer).expect("publishers are asked");
                        for change in changes {
                            let (topic, by) = match change {
                                Subscription::Subscribe(topic) => (topic, 1),
                                Subscription::Cancel(topic) => (topic, -1),
                            };
                            let count = asked.entry(topic.to_vec()).or_default();
                            *count += by;
                            prop_assert!(*count >= 0, "a cancel of what was not asked for");
                        }
                        asked.retain(|_, count| *count > 0);
                    }
                    Output::Close(peer, _) => {
                        peers.retain(|other| *other != peer);
                        known.remove(&peer);
                        asked.remove(&peer);
                    }
                }
            }
            // Every publisher is asked for all that anybody wants.
            for wanted in known.values().flat_map(|known| &known.topics) {
                for asked in asked.values() {
                    let covers = |topic: &Vec<u8>| wanted.as_bytes().starts_with(topic);
                    prop_assert!(asked.keys().any(covers), "nobody asks for {wanted:?}");
                }
            }
        }
        if !retains {
            for (peer, batch) in scene.deliveries() {
                known.get_mut(&peer).expect("it is known").got.extend(batch.to_bytes());
            }
            for subscriber in scene.bus.subscribers() {
                let known = &known[&subscriber.peer()];
                let sum = subscriber.delivered() + subscriber.dropped();
                let reports = sum - known.messages_meant;
                prop_assert!(reports == 0 || subscriber.side() == Side::Capture);
                if subscriber.dropped() == 0 && reports == 0 {
                    prop_assert_eq!(&known.got, &known.meant);
                }
            }
        }
    }
}

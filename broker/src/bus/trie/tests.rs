//! The trie beside a list of everybody's topics.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Every topic with whoever subscribes it, and no cleverness.
#[derive(Debug, Default)]
struct Naive(BTreeMap<Vec<u8>, BTreeSet<Slot>>);

impl Naive {
    fn subscribers(&self, topic: &[u8]) -> Vec<Slot> {
        let prefixes = self.0.iter().filter(|(name, _)| topic.starts_with(name));
        let slots: BTreeSet<Slot> = prefixes.flat_map(|(_, slots)| slots).copied().collect();
        slots.into_iter().collect()
    }
}

/// Topics of few letters, so that they share prefixes.
fn topic() -> impl Strategy<Value = Vec<u8>> {
    vec(
        prop_oneof![Just(b'a'), Just(b'b'), Just(0), Just(255)],
        0..6,
    )
}

proptest! {
    #[test]
    fn a_topic_is_matched_as_by_looking_at_every_subscription(
        steps in vec((any::<bool>(), topic(), 0..4_u32), 0..60),
        asked in vec(topic(), 1..20),
    ) {
        let mut trie = Trie::new();
        let mut naive = Naive::default();
        let empty_bytes = trie.held_bytes();
        for (adds, topic, slot) in steps {
            let known = naive.0.entry(topic.clone()).or_default();
            if adds {
                let (id, is_first) = trie.add(&topic, slot);
                prop_assert_eq!(is_first, known.is_empty());
                prop_assert_eq!(trie.name(id), topic);
                known.insert(slot);
            } else if let Some(id) = trie.find(&topic) {
                let was_there = known.remove(&slot);
                prop_assert_eq!(trie.remove(id, slot), was_there && known.is_empty());
            }
            naive.0.retain(|_, slots| !slots.is_empty());
            trie.check_invariants();
            for topic in &asked {
                prop_assert_eq!(trie.subscribers(topic), naive.subscribers(topic));
                prop_assert_eq!(trie.find(topic).is_some(), naive.0.contains_key(topic));
            }
            let names: BTreeSet<Vec<u8>> = trie.names().collect();
            prop_assert!(names.iter().eq(naive.0.keys()));
        }
        for (name, slots) in naive.0 {
            for slot in slots {
                let id = trie.find(&name).expect("it is subscribed");
                trie.remove(id, slot);
            }
        }
        trie.check_invariants();
        prop_assert_eq!(trie.topics(), 0);
        prop_assert!(trie.held_bytes() <= empty_bytes + 64, "the root alone is left");
    }
}

/// Different topics without an end, from a seed.
fn random_topics(count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    std::iter::repeat_with(move || {
        let mut word = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()
        };
        [word(), word()].concat()
    })
    .take(count)
}

#[test]
fn a_million_random_topics_take_bounded_memory_and_give_it_back() {
    const TOPICS: usize = 1_000_000;
    let mut trie = Trie::new();
    for topic in random_topics(TOPICS) {
        trie.add(&topic, 1);
    }
    assert_eq!(trie.topics(), TOPICS);
    assert!(trie.nodes.len() <= 2 * TOPICS, "two nodes a topic at most");
    let each = trie.held_bytes() / TOPICS;
    assert!(each < 300, "{each} bytes a topic");
    for topic in random_topics(TOPICS) {
        let id = trie.find(&topic).expect("it is subscribed");
        assert!(trie.remove(id, 1));
    }
    assert_eq!(trie.topics(), 0);
    assert_eq!(trie.nodes.len(), 1, "everything is given back");
}

#[test]
fn a_long_topic_costs_no_stack() {
    let long = vec![b'x'; 4 << 20];
    let mut trie = Trie::new();
    for end in [0, 1, 2 << 20, 4 << 20] {
        trie.add(&long[..end], end as Slot);
    }
    for byte in 0..1000 {
        trie.add(&long[..byte], 7);
    }
    assert_eq!(trie.subscribers(&long), [0, 1, 7, 2 << 20, 4 << 20]);
    trie.check_invariants();
}

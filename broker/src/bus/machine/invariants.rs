//! What is always true of a bus.

use std::collections::BTreeSet;

use super::{Bus, Place, Side};
use crate::bus::trie::Slot;

impl Bus {
    /// Walks all state and compares what is kept twice.
    ///
    /// # Panics
    /// If something does not hold.
    pub fn check_invariants(&self) {
        self.trie.check_invariants();
        self.retained.check_invariants();
        self.subscribers.check_invariants();
        let mut publishers = 0;
        let mut captures = 0;
        let mut subscriptions = 0;
        let mut places: BTreeSet<Slot> = BTreeSet::new();
        let mut topics: BTreeSet<Vec<u8>> = BTreeSet::new();
        for (peer, place) in &self.peers {
            let Place::Subscriber(slot) = place else {
                publishers += 1;
                continue;
            };
            assert!(places.insert(*slot), "a slot is one peer's");
            let subscriber = self.subscribers.get(*slot).expect("a peer is there");
            assert_eq!(subscriber.peer(), peer);
            captures += usize::from(subscriber.side() == Side::Capture);
            let mut own = 0;
            for (topic, count) in subscriber.topics() {
                let name = self.trie.name(topic);
                assert!(count > 0 && self.trie.find(&name) == Some(topic));
                assert!(
                    self.trie.subscribers(&name).contains(slot),
                    "it is in the trie"
                );
                topics.insert(name);
                own += count as usize;
            }
            assert_eq!(own, subscriber.subscriptions(), "subscriptions of one");
            assert!(own <= self.config.subscriptions);
            subscriptions += own;
        }
        assert_eq!(publishers, self.tally.publishers, "publishers");
        assert_eq!(
            self.subscribers.iter().count(),
            places.len(),
            "subscribers are peers"
        );
        assert_eq!(subscriptions, self.tally.subscriptions, "subscriptions");
        assert_eq!(captures, self.tally.captures, "captures");
        assert_eq!(places.len(), captures + self.tally.subscribers);
        assert_eq!(topics.len(), self.trie.topics(), "topics");
    }
}

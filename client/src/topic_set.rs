//! Subscriptions: topics that count, and what begins with one of them.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;

/// Topics, each with how often it is subscribed to (RFC 29).
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicSet {
    counts: BTreeMap<Bytes, u32>,
    bytes: usize,
}

impl TopicSet {
    /// Adds one subscription; true if it is the first of its topic.
    pub(crate) fn add(&mut self, topic: Bytes) -> bool {
        let topic_bytes = topic.len();
        let count = self.counts.entry(topic).or_default();
        *count = count.saturating_add(1);
        let is_first = *count == 1;
        if is_first {
            self.bytes += topic_bytes;
        }
        is_first
    }

    /// Takes one subscription away; true if it was the last of its topic.
    pub(crate) fn remove(&mut self, topic: &[u8]) -> bool {
        let Some(count) = self.counts.get_mut(topic) else {
            return false;
        };
        *count -= 1;
        let was_last = *count == 0;
        if was_last {
            self.counts.remove(topic);
            self.bytes -= topic.len();
        }
        was_last
    }

    /// Whether `topic` begins with one of these.
    ///
    /// Of the topics up to a bound the last one is either a beginning of the bound, or shares with it
    /// all of what can be one.
    pub(crate) fn matches(&self, topic: &[u8]) -> bool {
        let mut bound = topic;
        loop {
            let up_to = (Bound::Unbounded, Bound::Included(bound));
            let Some((last, _)) = self.counts.range::<[u8], _>(up_to).next_back() else {
                return false;
            };
            if bound.starts_with(last) {
                return true;
            }
            let shared = last.iter().zip(bound).take_while(|(a, b)| a == b).count();
            bound = &bound[..shared];
        }
    }

    /// Each topic once.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.counts.keys()
    }

    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }

    /// The bytes of all topics.
    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_subscriptions_need_two_cancels() {
        let mut topics = TopicSet::default();
        assert!(topics.add("a".into()));
        assert!(!topics.add("a".into()));
        assert!(!topics.remove(b"a"));
        assert!(topics.matches(b"ab"));
        assert!(topics.remove(b"a"));
        assert!(!topics.remove(b"a"));
        assert!(!topics.matches(b"ab"));
        assert_eq!((topics.len(), topics.len_bytes()), (0, 0));
    }

    #[test]
    fn the_empty_topic_begins_all() {
        let mut topics = TopicSet::default();
        assert!(!topics.matches(b""));
        topics.add(Bytes::new());
        assert!(topics.matches(b""));
        assert!(topics.matches(b"x"));
    }

    proptest! {
        #[test]
        fn what_matches_begins_with_one_of_them(
            changes in prop::collection::vec((any::<bool>(), "[ab]{0,4}"), 0..24),
            topics in prop::collection::vec("[abc]{0,6}", 1..16),
        ) {
            let mut set = TopicSet::default();
            let mut model: Vec<String> = Vec::new();
            for (adds, topic) in changes {
                if adds {
                    set.add(topic.clone().into());
                    model.push(topic);
                } else {
                    set.remove(topic.as_bytes());
                    if let Some(index) = model.iter().position(|known| *known == topic) {
                        model.remove(index);
                    }
                }
            }
            for topic in topics {
                let begins = model.iter().any(|known| topic.starts_with(known.as_str()));
                prop_assert_eq!(set.matches(topic.as_bytes()), begins, "{} of {:?}", topic, model);
            }
        }
    }
}

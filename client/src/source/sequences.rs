//! Which publication of its topic one is.

use std::collections::HashMap;

use crate::{PublicationHeader, SourceId, Topic};

/// How many topics one source counts. With one more it becomes another source, and its counts begin
/// anew.
const MAX_TOPICS: usize = 65_536;

/// The counts of a source.
#[derive(Debug)]
pub(super) struct Sequences {
    source: SourceId,
    last: HashMap<Topic, u64>,
}

impl Sequences {
    pub(super) fn new(source: SourceId) -> Self {
        Self {
            source,
            last: HashMap::new(),
        }
    }

    /// Counts so many more of a topic, and gives the first one's sequence. `new_source` names what the
    /// source becomes when it cannot go on counting.
    pub(super) fn next(
        &mut self,
        topic: &Topic,
        count: u64,
        new_source: impl FnOnce() -> SourceId,
    ) -> (SourceId, u64) {
        let is_full = self.last.len() >= MAX_TOPICS;
        match self.last.get_mut(topic) {
            Some(last) if PublicationHeader::MAX_SEQUENCE - *last >= count => {
                let first = *last + 1;
                *last += count;
                return (self.source, first);
            }
            None if !is_full => {}
            Some(_) | None => *self = Self::new(new_source()),
        }
        self.last.insert(topic.clone(), count);
        (self.source, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(n: usize) -> Topic {
        Topic::new(n.to_string()).unwrap()
    }

    #[test]
    fn each_topic_counts_from_one() {
        let source = SourceId::from_random(1);
        let mut sequences = Sequences::new(source);
        let mut next = |n, count| sequences.next(&topic(n), count, || unreachable!());
        assert_eq!(next(1, 1), (source, 1));
        assert_eq!(next(2, 5), (source, 1));
        assert_eq!(next(1, 1), (source, 2));
        assert_eq!(next(2, 1), (source, 6));
    }

    #[test]
    fn with_too_many_topics_it_becomes_another_source() {
        let (first, second) = (SourceId::from_random(1), SourceId::from_random(2));
        let mut sequences = Sequences::new(first);
        for n in 0..MAX_TOPICS {
            assert_eq!(sequences.next(&topic(n), 1, || second), (first, 1));
        }
        assert_eq!(sequences.next(&topic(7), 1, || second), (first, 2));
        assert_eq!(
            sequences.next(&topic(MAX_TOPICS), 1, || second),
            (second, 1)
        );
        assert_eq!(sequences.next(&topic(7), 1, || second), (second, 1));
        assert_eq!(sequences.last.len(), 2);
    }

    #[test]
    fn at_the_highest_sequence_it_becomes_another_source() {
        let (first, second) = (SourceId::from_random(1), SourceId::from_random(2));
        let mut sequences = Sequences::new(first);
        let most = PublicationHeader::MAX_SEQUENCE - 1;
        let mut next = |count| sequences.next(&topic(1), count, || second);
        assert_eq!(next(most), (first, 1));
        assert_eq!(next(2), (second, 1));
        assert_eq!(next(1), (second, 3));
    }
}

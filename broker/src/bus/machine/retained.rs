//! The last message of each topic, for those who subscribe later.

use std::collections::BTreeMap;
use std::ops::Bound;

use plantd_zmtp::Message;

use super::RetainLimits;

/// What a topic takes beside its name and its message.
const ENTRY_BYTES: usize = 128;

/// The last messages by topic. Beyond a limit the one that was published longest ago is given up.
#[derive(Debug)]
pub(super) struct Retained {
    limits: Option<RetainLimits>,
    messages: BTreeMap<Box<[u8]>, (u64, Message)>,
    /// Topics by when they were last published.
    ages: BTreeMap<u64, Box<[u8]>>,
    published: u64,
    held_bytes: usize,
}

impl Retained {
    pub(super) fn new(limits: Option<RetainLimits>) -> Self {
        Self {
            limits,
            messages: BTreeMap::new(),
            ages: BTreeMap::new(),
            published: 0,
            held_bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Keeps a message in place of the one before, and says how many others were given up for it.
    pub(super) fn keep(&mut self, topic: &[u8], message: Message) -> u64 {
        let Some(limits) = self.limits else {
            return 0;
        };
        self.published += 1;
        self.held_bytes += size(topic, &message);
        if let Some((age, kept)) = self.messages.get_mut(topic) {
            self.held_bytes -= size(topic, kept);
            if let Some(name) = self.ages.remove(age) {
                self.ages.insert(self.published, name);
            }
            (*age, *kept) = (self.published, message);
        } else {
            self.ages.insert(self.published, topic.into());
            self.messages
                .insert(topic.into(), (self.published, message));
        }
        let mut evicted = 0;
        while self.messages.len() > limits.topics || self.held_bytes > limits.bytes {
            let Some((_, oldest)) = self.ages.pop_first() else {
                break;
            };
            if let Some((_, message)) = self.messages.remove(&oldest) {
                self.held_bytes -= size(&oldest, &message);
                evicted += 1;
            }
        }
        evicted
    }

    /// The messages of all topics that begin so, in the order of their topics.
    pub(super) fn matching<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = &'a Message> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let from = self.messages.range::<[u8], _>(from);
        from.take_while(move |(topic, _)| topic.starts_with(prefix))
            .map(|(_, (_, message))| message)
    }

    pub(super) fn check_invariants(&self) {
        let sizes = self.messages.iter();
        let sizes = sizes.map(|(topic, (_, message))| size(topic, message));
        assert_eq!(sizes.sum::<usize>(), self.held_bytes, "bytes retained");
        let aged = self.ages.iter().map(|(age, topic)| (topic, age));
        let by_topic: BTreeMap<_, _> = aged.collect();
        let kept = self.messages.iter().map(|(topic, (age, _))| (topic, age));
        assert!(by_topic.into_iter().eq(kept), "each topic has one age");
        let limits = self.limits.unwrap_or(RetainLimits {
            topics: 0,
            bytes: 0,
        });
        assert!(self.messages.len() <= limits.topics && self.held_bytes <= limits.bytes);
    }
}

fn size(topic: &[u8], message: &Message) -> usize {
    ENTRY_BYTES + 2 * topic.len() + message.held_bytes()
}

//! A subscriber: what it subscribes, what it is owed, what it has lost.

use std::collections::HashMap;
use std::mem;

use plantd_zmtp::{Batch, Run};

use super::{PeerId, Side};
use crate::bus::trie::TopicId;

/// A peer at the backend or the capture.
#[derive(Debug)]
pub struct Subscriber {
    peer: PeerId,
    side: Side,
    name: String,
    /// How often it subscribes each topic.
    topics: HashMap<TopicId, u32, foldhash::fast::RandomState>,
    subscriptions: usize,
    batch: Batch,
    /// What waits to be written, the batch included.
    backlog_bytes: usize,
    delivered: u64,
    dropped: u64,
    /// What it has lost since that was last told.
    untold: u64,
}

impl Subscriber {
    pub(super) fn new(peer: PeerId, side: Side, name: String) -> Self {
        Self {
            peer,
            side,
            name,
            topics: HashMap::default(),
            subscriptions: 0,
            batch: Batch::new(),
            backlog_bytes: 0,
            delivered: 0,
            dropped: 0,
            untold: 0,
        }
    }

    /// Its connection.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Which side it is at.
    pub fn side(&self) -> Side {
        self.side
    }

    /// What people know it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many subscriptions it has; two of one topic count as two.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    /// The memory of what waits to be written to it.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// Messages that were handed to it.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Messages that it has lost because its outbox was full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Counts a subscription; whether it is its first of that topic.
    pub(super) fn add_topic(&mut self, topic: TopicId) -> bool {
        self.subscriptions += 1;
        let count = self.topics.entry(topic).or_default();
        *count += 1;
        *count == 1
    }

    /// Counts a subscription out, if there is one; whether it was the last of that topic.
    pub(super) fn remove_topic(&mut self, topic: TopicId) -> bool {
        let Some(count) = self.topics.get_mut(&topic) else {
            return false;
        };
        self.subscriptions -= 1;
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            self.topics.remove(&topic);
        }
        is_last
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = (TopicId, u32)> {
        self.topics.iter().map(|(topic, count)| (*topic, *count))
    }

    pub(super) fn into_topics(self) -> impl Iterator<Item = TopicId> {
        self.topics.into_keys()
    }

    pub(super) fn set_backlog(&mut self, backlog_bytes: usize) {
        self.backlog_bytes = backlog_bytes + self.batch.len_bytes();
    }

    /// Whether something is in its batch.
    pub(super) fn is_owed(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Adds as many of these messages as its outbox has room for, and says how many. One always has
    /// room in an outbox that is empty.
    #[inline]
    pub(super) fn take(&mut self, run: &Run, limit_bytes: usize) -> usize {
        let taken = if self.backlog_bytes + run.encoded().len() <= limit_bytes {
            self.push(run);
            run.message_count()
        } else {
            self.take_some(run, limit_bytes)
        };
        let lost = (run.message_count() - taken) as u64;
        self.delivered += taken as u64;
        self.dropped += lost;
        self.untold += lost;
        taken
    }

    /// The newest are lost: what fits is the beginning.
    #[cold]
    fn take_some(&mut self, run: &Run, limit_bytes: usize) -> usize {
        let mut taken = 0;
        let mut end = 0;
        for part in run.parts() {
            let fits = self.backlog_bytes + part.range.end <= limit_bytes;
            let is_alone = self.backlog_bytes == 0 && taken == 0;
            if !fits && !is_alone {
                break;
            }
            end = part.range.end;
            taken += 1;
        }
        if taken > 0 {
            self.push(&run.slice(0..end, taken));
        }
        taken as usize
    }

    fn push(&mut self, run: &Run) {
        self.backlog_bytes += run.encoded().len();
        self.batch.push_run(run);
    }

    /// Takes what it is owed.
    pub(super) fn take_batch(&mut self) -> (PeerId, Batch) {
        (self.peer, mem::take(&mut self.batch))
    }

    pub(super) fn untold(&self) -> u64 {
        self.untold
    }

    /// What it has lost since that was last told, told now.
    pub(super) fn take_untold(&mut self) -> u64 {
        mem::take(&mut self.untold)
    }
}

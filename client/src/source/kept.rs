//! What was published and is still needed: until a broker has read it, and every connection has been
//! given it.
//!
//! A value: what happens comes in with the time, what is to be sent is asked for.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use plantd_zmtp::{Message, Run, Subscription};

use crate::{Topic, link::ConnectionKey, topic_set::TopicSet};

/// For this long after a broker has first answered, it is sent everything: its subscriptions may be
/// on their way.
const UNFILTERED: Duration = Duration::from_secs(1);
/// How long what was sent waits for company before a broker is asked whether it has read it.
const MARK_DELAY: Duration = Duration::from_millis(50);
/// A broker is asked at once when this much was sent.
const MARK_BYTES: usize = 256 * 1024;
/// Subscriptions of one broker, and their bytes, beyond which it is sent everything.
const MAX_TOPICS: usize = 100_000;
const MAX_TOPIC_BYTES: usize = 8 * 1024 * 1024;
/// Topics beyond which handles take everything to be wanted.
const MAX_TOLD_TOPICS: usize = 1024;

/// Publications of one topic in a row, as they go over the wire. They are sent, and let go of, as a
/// whole.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) topic: Topic,
    /// How many they are.
    pub(super) count: u64,
    /// What they take of the buffer's limit.
    pub(super) bytes: usize,
    pub(super) wire: Wire,
}

/// What goes over the wire.
#[derive(Debug)]
pub(super) enum Wire {
    /// Any number of publications.
    Run(Run),
    /// One, whose body was not copied.
    Large { envelope: Bytes, body: Message },
}

/// What was published in its order, each entry at a position that counts from 0.
#[derive(Debug)]
pub(super) struct Kept {
    entries: VecDeque<Published>,
    /// The position of the first entry.
    first: u64,
    /// Everything before was read by at least one broker.
    safe: u64,
    bytes: usize,
    limit_bytes: usize,
    /// Whether brokers tell what is wanted.
    knows_subscriptions: bool,
    links: BTreeMap<ConnectionKey, Link>,
    told: Told,
}

/// What was last said to be wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Everything,
    /// What brokers asked for.
    Topics,
    /// What brokers asked for then.
    OldTopics,
}

/// One connection.
#[derive(Debug)]
struct Link {
    /// The position that is looked at next.
    next: u64,
    /// Everything before was read by the broker, or was not wanted.
    confirmed: u64,
    /// After the last position that was sent.
    sent_to: u64,
    /// The bytes that were sent after the last mark.
    sent_bytes: usize,
    /// When the broker is asked what it has read.
    mark_at: Option<Instant>,
    /// What it has been asked and not answered.
    mark: Option<u64>,
    wanted: Wanted,
    /// From when on only what is wanted is sent; unknown until the broker has answered.
    filters_from: Option<Instant>,
}

/// What a broker's sinks are subscribed to, or those of all brokers.
#[derive(Debug, Clone, Default)]
pub(super) enum Wanted {
    Topics(TopicSet),
    /// More than is kept track of, or not known.
    #[default]
    Everything,
}

impl Kept {
    /// Keeps up to so much. Where subscriptions are not told, everything is sent.
    pub(super) fn new(limit_bytes: usize, knows_subscriptions: bool) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            safe: 0,
            bytes: 0,
            limit_bytes,
            knows_subscriptions,
            links: BTreeMap::new(),
            told: Told::Everything,
        }
    }

    /// The position after everything that was published.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) fn push(&mut self, published: Published) {
        self.bytes += published.bytes;
        self.entries.push_back(published);
    }

    /// A connection was made: it is sent everything that no broker has read.
    pub(super) fn handle_opened(&mut self, key: ConnectionKey) {
        let link = Link {
            next: self.safe,
            confirmed: self.safe,
            sent_to: self.safe,
            sent_bytes: 0,
            mark_at: None,
            mark: None,
            wanted: match self.knows_subscriptions {
                true => Wanted::Topics(TopicSet::default()),
                false => Wanted::Everything,
            },
            filters_from: None,
        };
        self.links.insert(key, link);
    }

    /// A connection was lost. What it has not confirmed, and nobody else, is sent over the next one.
    pub(super) fn handle_closed(&mut self, key: ConnectionKey) {
        self.links.remove(&key);
        self.age();
    }

    pub(super) fn handle_subscriptions(&mut self, key: ConnectionKey, changes: Vec<Subscription>) {
        if let Some(link) = self.links.get_mut(&key) {
            for change in changes {
                link.wanted.change(change);
            }
        }
        self.age();
    }

    /// What was said to be wanted may no longer be all.
    fn age(&mut self) {
        if self.told == Told::Topics {
            self.told = Told::OldTopics;
        }
    }

    /// A broker has read everything that was sent before a mark.
    pub(super) fn handle_marked(&mut self, key: ConnectionKey, mark: u64, now: Instant) {
        let Some(link) = self.links.get_mut(&key) else {
            return;
        };
        if link.mark != Some(mark) {
            return;
        }
        link.mark = None;
        link.confirmed = mark;
        link.filters_from.get_or_insert(now + UNFILTERED);
        self.safe = self.safe.max(mark);
    }

    /// The connections there are.
    pub(super) fn links(&self) -> Vec<ConnectionKey> {
        self.links.keys().copied().collect()
    }

    /// The next publication for a connection.
    pub(super) fn poll_send(&mut self, key: ConnectionKey, now: Instant) -> Option<&Published> {
        let link = self.links.get_mut(&key)?;
        let filters = link.filters(now);
        let index = loop {
            let index = usize::try_from(link.next - self.first).ok()?;
            let published = self.entries.get(index)?;
            link.next += 1;
            if !filters || link.wanted.matches(published.topic.as_bytes()) {
                break index;
            }
        };
        let published = &self.entries[index];
        link.sent_to = link.next;
        link.sent_bytes += published.bytes;
        link.mark_at.get_or_insert(now + MARK_DELAY);
        Some(published)
    }

    /// What a broker is to be asked, after everything was sent that can be. `somebody_waits` for
    /// the answer.
    pub(super) fn poll_mark(
        &mut self,
        key: ConnectionKey,
        somebody_waits: bool,
        now: Instant,
    ) -> Option<u64> {
        let link = self.links.get_mut(&key)?;
        if link.mark.is_some() {
            return None;
        }
        let has_answered = link.filters_from.is_some();
        if has_answered && link.sent_to <= link.confirmed {
            // Nothing was sent since: what follows was not wanted.
            link.confirmed = link.next;
            self.safe = self.safe.max(link.next);
            return None;
        }
        let is_due = !has_answered
            || somebody_waits
            || link.sent_bytes >= MARK_BYTES
            || link.mark_at.is_some_and(|at| at <= now);
        if !is_due {
            return None;
        }
        link.mark = Some(link.next);
        link.mark_at = None;
        link.sent_bytes = 0;
        link.mark
    }

    /// When a broker is to be asked next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let askable = self.links.values().filter(|link| link.mark.is_none());
        askable.filter_map(|link| link.mark_at).min()
    }

    /// Whether everything before this position was read by every broker that is connected, and by one
    /// at least.
    pub(super) fn is_read(&self, position: u64) -> bool {
        self.safe >= position && self.links.values().all(|link| link.confirmed >= position)
    }

    /// Whether every connection is sent what is published on a topic, for good; and there is one.
    pub(super) fn is_subscribed(&self, topic: &[u8]) -> bool {
        !self.links.is_empty() && self.links.values().all(|it| it.wanted.matches(topic))
    }

    /// What may be wanted of what is published from here on, where that differs from what was last
    /// said: what brokers have asked for, once there are some and each is sent no more than that.
    pub(super) fn poll_wanted(&mut self, now: Instant) -> Option<Wanted> {
        let filters = !self.links.is_empty() && self.links.values().all(|it| it.filters(now));
        match (self.told, filters) {
            (Told::Everything, false) | (Told::Topics, true) => None,
            (Told::Topics | Told::OldTopics, false) => {
                self.told = Told::Everything;
                Some(Wanted::Everything)
            }
            (Told::Everything | Told::OldTopics, true) => {
                self.told = Told::Topics;
                Some(Wanted::union(self.links.values().map(|it| &it.wanted)))
            }
        }
    }

    /// The publications that no broker is known to have read.
    pub(super) fn unread(&self) -> u64 {
        let read = usize::try_from(self.safe - self.first).unwrap_or(usize::MAX);
        self.entries.iter().skip(read).map(|it| it.count).sum()
    }

    /// Lets go of what nobody needs, and says how many bytes that were. A connection that lags so far
    /// behind another that it would have new publications refused misses what the other's broker has
    /// read.
    pub(super) fn release(&mut self) -> usize {
        if self.bytes > self.limit_bytes / 2 {
            for link in self.links.values_mut() {
                link.next = link.next.max(self.safe);
            }
        }
        let next = self.links.values().map(|link| link.next).min();
        let needed_from = next.unwrap_or(self.safe).min(self.safe);
        let mut released = 0;
        while self.first < needed_from
            && let Some(published) = self.entries.pop_front()
        {
            self.first += 1;
            released += published.bytes;
        }
        self.bytes -= released;
        if self.entries.is_empty() {
            self.entries.shrink_to(1024);
        }
        released
    }
}

impl Link {
    /// Whether only what is wanted is sent.
    fn filters(&self, now: Instant) -> bool {
        self.filters_from.is_some_and(|from| from <= now)
    }
}

impl Wanted {
    /// What somebody wants, or everything where that is much.
    fn union<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let mut union = TopicSet::default();
        for wanted in all {
            let Self::Topics(topics) = wanted else {
                return Self::Everything;
            };
            if union.len() + topics.len() > MAX_TOLD_TOPICS {
                return Self::Everything;
            }
            for topic in topics.iter() {
                union.add(topic.clone());
            }
        }
        Self::Topics(union)
    }

    fn change(&mut self, change: Subscription) {
        let Self::Topics(topics) = self else {
            return;
        };
        match change {
            Subscription::Subscribe(topic) => {
                topics.add(topic);
                if topics.len() > MAX_TOPICS || topics.len_bytes() > MAX_TOPIC_BYTES {
                    *self = Self::Everything;
                }
            }
            Subscription::Cancel(topic) => {
                topics.remove(&topic);
            }
        }
    }

    pub(super) fn matches(&self, topic: &[u8]) -> bool {
        match self {
            Self::Topics(topics) => topics.matches(topic),
            Self::Everything => true,
        }
    }
}

#[cfg(test)]
mod tests;

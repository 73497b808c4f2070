//! A bus as a value: who publishes, who subscribes what, and what each is owed.
//!
//! - **Input**: [`handle_opened`](Bus::handle_opened), [`handle_closed`](Bus::handle_closed),
//!   [`handle_run`](Bus::handle_run) of a publisher, [`handle_subscription`](Bus::handle_subscription)
//!   of a subscriber, [`handle_backlog`](Bus::handle_backlog) before each turn for whoever may not
//!   have been written everything, [`handle_timeout`](Bus::handle_timeout).
//! - **Output**: [`poll_output`](Bus::poll_output) after any input or after several,
//!   [`poll_timeout`](Bus::poll_timeout).
//!
//! It holds no socket, clock, task or lock. What peers send can neither panic nor end it.

mod drops;
mod invariants;
mod retained;
mod subscriber;
mod subscribers;
mod upstream;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use plantd_zmtp::{Batch, Run, Subscription};
use slotmap::{SecondaryMap, new_key_type};

use self::retained::Retained;
pub use self::subscriber::Subscriber;
use self::subscribers::Subscribers;
use self::upstream::Upstream;
use super::audiences::{AudienceId, Audiences};
use super::trie::{Slot, TopicId, Trie};

new_key_type! {
    /// A connection to a bus.
    pub struct PeerId;
}

/// The side of a bus that a peer is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where publishers are.
    Frontend,
    /// Where subscribers are.
    Backend,
    /// Where subscribers are who want to see also what was dropped.
    Capture,
}

impl Side {
    /// The key of its endpoint.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Backend => "backend",
            Self::Capture => "capture",
        }
    }
}

/// What a bus is told about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its name, for what it tells of itself.
    pub name: String,
    /// Whether the last message of each topic is kept for later subscribers; the limits if so.
    pub retain: Option<RetainLimits>,
    /// What waits for one subscriber at most, in bytes; one message may in any case.
    pub outbox_bytes: usize,
    /// What waits for one publisher at most, in bytes: changes of subscriptions, which cannot be
    /// dropped.
    pub publisher_outbox_bytes: usize,
    /// Subscriptions of one peer.
    pub subscriptions: usize,
    /// The longest topic of a subscription, in bytes.
    pub topic_bytes: usize,
    /// Topics that publishers are told one by one; beyond, they are asked for everything.
    pub upstream_topics: usize,
}

/// What is kept for later subscribers at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainLimits {
    /// Topics.
    pub topics: usize,
    /// The memory of their messages.
    pub bytes: usize,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Changes of what a publisher is asked for.
    Ask(PeerId, Vec<Subscription>),
    /// The end of a connection.
    Close(PeerId, Expulsion),
}

/// Why a bus ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expulsion {
    /// A subscriber has more subscriptions than it may.
    Subscriptions,
    /// A subscriber asks for a topic that is longer than it may be.
    TopicTooLong,
    /// A publisher does not read what it is asked for.
    OutboxFull,
    /// There is no memory for another subscription.
    Memory,
}

impl Expulsion {
    /// What [`as_str`](Self::as_str) can return.
    pub const ALL: [Self; 4] = [
        Self::Subscriptions,
        Self::TopicTooLong,
        Self::OutboxFull,
        Self::Memory,
    ];

    /// The reason as a label for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscriptions => "subscriptions",
            Self::TopicTooLong => "topic_too_long",
            Self::OutboxFull => "outbox_full",
            Self::Memory => "memory",
        }
    }
}

/// What a bus counts, from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages of publishers.
    pub messages: u64,
    /// Their bytes as they are encoded.
    pub bytes: u64,
    /// Messages that were handed on, once for each subscriber.
    pub delivered: u64,
    /// Messages that a subscriber lost because its outbox was full, once for each subscriber.
    pub dropped: u64,
    /// Retained messages that were given up for others.
    pub evicted: u64,
    /// Peers at the frontend.
    pub publishers: usize,
    /// Peers at the backend.
    pub subscribers: usize,
    /// Peers at the capture.
    pub captures: usize,
    /// Subscriptions of all peers.
    pub subscriptions: usize,
    /// Topics that somebody subscribes.
    pub topics: usize,
    /// Messages that are retained.
    pub retained: usize,
    /// The memory of retained messages and of subscriptions.
    pub held_bytes: usize,
}

/// A bus.
#[derive(Debug)]
pub struct Bus {
    config: Config,
    peers: SecondaryMap<PeerId, Place>,
    subscribers: Subscribers,
    trie: Trie,
    audiences: Audiences,
    upstream: Upstream,
    retained: Retained,
    outputs: VecDeque<Output>,
    memory_is_short: bool,
    tally: Tally,
}

/// Where a peer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Publisher,
    Subscriber(Slot),
}

/// Consecutive messages of a run that go to the same subscribers.
#[derive(Debug, Default)]
struct Segment {
    range: Range<usize>,
    messages: u32,
    audience: Option<AudienceId>,
}

impl Bus {
    /// A bus without peers.
    pub fn new(config: Config) -> Self {
        Self {
            peers: SecondaryMap::new(),
            subscribers: Subscribers::default(),
            trie: Trie::new(),
            audiences: Audiences::default(),
            upstream: Upstream::new(&config),
            retained: Retained::new(config.retain),
            outputs: VecDeque::new(),
            memory_is_short: false,
            tally: Tally::default(),
            config,
        }
    }

    /// A peer is there, its handshake done. `name` is what people know it by.
    pub fn handle_opened(&mut self, peer: PeerId, side: Side, name: String) {
        let place = match side {
            Side::Frontend => {
                self.tell_upstream();
                let asked = self.upstream.everything_asked(&self.trie);
                if !asked.is_empty() {
                    self.outputs.push_back(Output::Ask(peer, asked));
                }
                Place::Publisher
            }
            Side::Backend | Side::Capture => {
                let subscriber = Subscriber::new(peer, side, name);
                Place::Subscriber(self.subscribers.insert(subscriber))
            }
        };
        self.peers.insert(peer, place);
        self.count(side, 1);
    }

    /// A peer is gone.
    pub fn handle_closed(&mut self, peer: PeerId) {
        match self.peers.remove(peer) {
            None => {}
            Some(Place::Publisher) => self.count(Side::Frontend, -1),
            Some(Place::Subscriber(slot)) => {
                let Some(subscriber) = self.subscribers.remove(slot) else {
                    return;
                };
                self.count(subscriber.side(), -1);
                self.tally.subscriptions -= subscriber.subscriptions();
                for topic in subscriber.into_topics() {
                    self.end_topic(topic, slot);
                }
            }
        }
    }

    /// Takes what a publisher has sent, and adds it to what each subscriber is owed.
    pub fn handle_run(&mut self, from: PeerId, run: &Run, now: Instant) {
        if self.peers.get(from) != Some(&Place::Publisher) {
            return;
        }
        self.tally.messages += run.message_count() as u64;
        self.tally.bytes += run.encoded().len() as u64;
        let mut segment = Segment::default();
        for part in run.parts() {
            let audience = match self.trie.lookup(part.first_frame) {
                None => None,
                Some(found) => match self.audiences.known(&self.trie, found) {
                    Some(known) => Some(known),
                    None => {
                        // What is found anew may make the id of the segment void.
                        self.deliver(run, std::mem::take(&mut segment), now);
                        Some(self.audiences.find(&mut self.trie, found))
                    }
                },
            };
            if audience != segment.audience {
                self.deliver(run, std::mem::take(&mut segment), now);
                segment.audience = audience;
            }
            if segment.messages == 0 {
                segment.range.start = part.range.start;
            }
            segment.range.end = part.range.end;
            segment.messages += 1;
            if self.config.retain.is_some() && part.first_frame.len() <= self.config.topic_bytes {
                let message = run.message(&part).into_held();
                self.tally.evicted += self.retained.keep(part.first_frame, message);
            }
        }
        self.deliver(run, segment, now);
    }

    fn deliver(&mut self, run: &Run, segment: Segment, now: Instant) {
        let Some(audience) = segment.audience.filter(|_| segment.messages > 0) else {
            return;
        };
        let part = run.slice(segment.range, segment.messages);
        let limit_bytes = self.limit_bytes();
        for slot in self.audiences.members(audience).iter() {
            self.subscribers.hand(*slot, &part, limit_bytes, now);
        }
    }

    /// What waits for one subscriber at most. While memory is short nothing is queued behind what
    /// waits.
    fn limit_bytes(&self) -> usize {
        if self.memory_is_short {
            0
        } else {
            self.config.outbox_bytes
        }
    }

    /// Takes a change of a subscriber's subscriptions.
    pub fn handle_subscription(&mut self, from: PeerId, change: &Subscription, now: Instant) {
        let Some(Place::Subscriber(slot)) = self.peers.get(from).copied() else {
            return;
        };
        match change {
            Subscription::Subscribe(topic) => self.subscribe(from, slot, topic, now),
            Subscription::Cancel(topic) => self.cancel(slot, topic),
        }
    }

    fn subscribe(&mut self, from: PeerId, slot: Slot, topic: &[u8], now: Instant) {
        let Some(subscriber) = self.subscribers.get_mut(slot) else {
            return;
        };
        let refused = if topic.len() > self.config.topic_bytes {
            Some(Expulsion::TopicTooLong)
        } else if subscriber.subscriptions() >= self.config.subscriptions {
            Some(Expulsion::Subscriptions)
        } else if self.memory_is_short {
            Some(Expulsion::Memory)
        } else {
            None
        };
        if let Some(reason) = refused {
            return self.expel(from, reason);
        }
        let (id, is_first) = self.trie.add(topic, slot);
        self.tally.subscriptions += 1;
        let is_new = subscriber.add_topic(id);
        if is_first {
            self.upstream.handle_topic(topic, &self.trie);
        }
        if is_new {
            self.deliver_retained(slot, topic, now);
        }
    }

    /// Ends a connection; what the peer still sends means nothing.
    fn expel(&mut self, peer: PeerId, reason: Expulsion) {
        self.outputs.push_back(Output::Close(peer, reason));
        self.handle_closed(peer);
    }

    fn cancel(&mut self, slot: Slot, topic: &[u8]) {
        let Some(id) = self.trie.find(topic) else {
            return;
        };
        let Some(subscriber) = self.subscribers.get_mut(slot) else {
            return;
        };
        let before = subscriber.subscriptions();
        let is_last = subscriber.remove_topic(id);
        self.tally.subscriptions -= before - subscriber.subscriptions();
        if is_last {
            self.end_topic(id, slot);
        }
    }

    fn end_topic(&mut self, topic: TopicId, slot: Slot) {
        let name = self.trie.name(topic);
        if self.trie.remove(topic, slot) {
            self.upstream.handle_topic_ended(&name, &self.trie);
        }
    }

    fn deliver_retained(&mut self, slot: Slot, topic: &[u8], now: Instant) {
        let limit_bytes = self.limit_bytes();
        for message in self.retained.matching(topic) {
            let run = message.clone().into();
            self.subscribers.hand(slot, &run, limit_bytes, now);
        }
    }

    /// What is left of what a peer was sent before, in bytes of memory.
    pub fn handle_backlog(&mut self, peer: PeerId, backlog_bytes: usize) {
        match self.peers.get(peer) {
            None => {}
            Some(Place::Publisher) if backlog_bytes <= self.config.publisher_outbox_bytes => {}
            Some(Place::Publisher) => self.expel(peer, Expulsion::OutboxFull),
            Some(Place::Subscriber(slot)) => {
                if let Some(subscriber) = self.subscribers.get_mut(*slot) {
                    subscriber.set_backlog(backlog_bytes);
                }
            }
        }
    }

    /// Whether all that is held in memory, of this bus and of everything else, is over its limit.
    /// Meanwhile nothing is queued behind what waits, and no subscription is taken.
    pub fn handle_memory(&mut self, is_short: bool) {
        self.memory_is_short = is_short;
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.subscribers.report_due()
    }

    /// Tells the captures what was dropped, when that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        let report = self.subscribers.report(&self.config.name);
        let limit_bytes = self.limit_bytes();
        for slot in self.trie.subscribers(drops::TOPIC) {
            let subscriber = self.subscribers.get_mut(slot);
            if subscriber.is_some_and(|subscriber| subscriber.side() == Side::Capture) {
                self.subscribers.hand(slot, &report, limit_bytes, now);
            }
        }
    }

    /// Takes what is to be done next, but for deliveries.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.tell_upstream();
        self.outputs.pop_front()
    }

    /// Takes what the next subscriber is owed, all of it.
    pub fn poll_delivery(&mut self) -> Option<(PeerId, Batch)> {
        self.subscribers.poll_delivery()
    }

    /// What was counted, and what there is.
    pub fn tally(&self) -> Tally {
        Tally {
            delivered: self.subscribers.delivered(),
            dropped: self.subscribers.dropped(),
            topics: self.trie.topics(),
            retained: self.retained.len(),
            held_bytes: self.retained.held_bytes() + self.trie.held_bytes(),
            ..self.tally
        }
    }

    /// Every peer at the backend and the capture.
    pub fn subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        self.subscribers.iter()
    }

    /// What the bus is told about itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Hands every publisher the changes that it was not told of.
    fn tell_upstream(&mut self) {
        let changes = self.upstream.take_changes();
        if changes.is_empty() {
            return;
        }
        for (peer, place) in &self.peers {
            if *place == Place::Publisher {
                self.outputs.push_back(Output::Ask(peer, changes.clone()));
            }
        }
    }

    fn count(&mut self, side: Side, by: isize) {
        let count = match side {
            Side::Frontend => &mut self.tally.publishers,
            Side::Backend => &mut self.tally.subscribers,
            Side::Capture => &mut self.tally.captures,
        };
        *count = count.saturating_add_signed(by);
    }
}

#[cfg(test)]
mod tests;

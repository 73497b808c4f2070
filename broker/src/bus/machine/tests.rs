//! A bus in virtual time, whole effects compared.

mod delivery;
mod properties;
mod upstream;

use std::time::Duration;

use plantd_zmtp::Message;
use slotmap::SlotMap;

use super::*;

/// A bus and the peers that it has.
struct Scene {
    bus: Bus,
    ids: SlotMap<PeerId, ()>,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            name: "test".to_owned(),
            retain: None,
            outbox_bytes: 1 << 20,
            publisher_outbox_bytes: 1 << 20,
            subscriptions: 100,
            topic_bytes: 255,
            upstream_topics: 100,
        };
        change(&mut config);
        #[expect(
            clippy::disallowed_methods,
            reason = "a point to count virtual time from"
        )]
        let now = Instant::now();
        Self {
            bus: Bus::new(config),
            ids: SlotMap::with_key(),
            now,
        }
    }

    fn open(&mut self, side: Side) -> PeerId {
        let peer = self.ids.insert(());
        let name = format!("peer {}", self.ids.len());
        self.bus.handle_opened(peer, side, name);
        peer
    }

    fn subscriber(&mut self, topics: &[&str]) -> PeerId {
        let peer = self.open(Side::Backend);
        for topic in topics {
            self.subscribe(peer, topic);
        }
        peer
    }

    fn subscribe(&mut self, peer: PeerId, topic: &str) {
        let change = subscribe(topic);
        self.bus.handle_subscription(peer, &change, self.now);
        self.bus.check_invariants();
    }

    fn cancel(&mut self, peer: PeerId, topic: &str) {
        let change = cancel(topic);
        self.bus.handle_subscription(peer, &change, self.now);
        self.bus.check_invariants();
    }

    /// Publishes messages, which come in one read.
    fn publish(&mut self, from: PeerId, messages: &[&[&str]]) {
        self.bus.handle_run(from, &run(messages), self.now);
        self.bus.check_invariants();
    }

    /// What everybody is owed, in the order of the peers.
    fn deliveries(&mut self) -> Vec<(PeerId, Batch)> {
        let mut deliveries: Vec<_> = std::iter::from_fn(|| self.bus.poll_delivery()).collect();
        deliveries.sort_by_key(|(peer, _)| *peer);
        self.bus.check_invariants();
        deliveries
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.bus.poll_output()).collect()
    }

    fn lost(&self, peer: PeerId) -> u64 {
        let mut subscribers = self.bus.subscribers();
        let subscriber = subscribers.find(|subscriber| subscriber.peer() == peer);
        subscriber.unwrap().dropped()
    }
}

fn subscribe(topic: &str) -> Subscription {
    Subscription::Subscribe(topic.to_owned().into())
}

fn cancel(topic: &str) -> Subscription {
    Subscription::Cancel(topic.to_owned().into())
}

fn run(messages: &[&[&str]]) -> Run {
    let messages: Vec<Message> = messages
        .iter()
        .map(|frames| Message::from_frames(frames.iter()))
        .collect();
    Run::from_messages(&messages)
}

/// A batch of these messages.
fn batch(messages: &[&[&str]]) -> Batch {
    let mut batch = Batch::new();
    batch.push_run(&run(messages));
    batch
}

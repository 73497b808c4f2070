//! A bus and its trie of topics, beside lists that are searched from end to end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::Arbitrary;
use plantd_broker::bus::machine::{Bus, Config, Output, PeerId, RetainLimits, Side};
use plantd_broker::bus::trie::{Slot, Trie};
use plantd_zmtp::{Message, Run, Subscription};
use slotmap::SlotMap;

use crate::clock;
use crate::input::{Which, read, steps};

/// A topic is matched as by looking at every subscription.
pub fn topics(bytes: &[u8]) {
    let mut trie = Trie::new();
    let mut naive: BTreeMap<&[u8], BTreeSet<Slot>> = BTreeMap::new();
    let empty_bytes = trie.held_bytes();
    for (adds, topic, slot) in steps::<(bool, &[u8], u8)>(bytes).take(200) {
        let slot = Slot::from(slot % 8);
        let known = naive.entry(topic).or_default();
        if adds {
            let (id, is_first) = trie.add(topic, slot);
            assert_eq!(is_first, known.is_empty());
            assert_eq!(trie.name(id), topic);
            known.insert(slot);
        } else if let Some(id) = trie.find(topic) {
            let was_there = known.remove(&slot);
            assert_eq!(trie.remove(id, slot), was_there && known.is_empty());
        }
        naive.retain(|_, slots| !slots.is_empty());
        trie.check_invariants();
        assert_eq!(trie.topics(), naive.len());
        let wanted = naive.iter().filter(|(name, _)| topic.starts_with(name));
        let wanted: BTreeSet<Slot> = wanted.flat_map(|(_, slots)| slots).copied().collect();
        let found: Vec<Slot> = trie.subscribers(topic);
        assert!(found.iter().eq(&wanted), "{found:?}, not {wanted:?}");
    }
    for (topic, slots) in naive {
        let id = trie.find(topic).expect("it is subscribed");
        for slot in slots {
            trie.remove(id, slot);
        }
    }
    assert_eq!(trie.topics(), 0);
    // The root may keep the label that it grew.
    assert!(trie.held_bytes() <= empty_bytes + 64);
}

/// What happens to a bus.
#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Opens(Door),
    Closes(Which),
    Subscribes(Which, &'a [u8]),
    Cancels(Which, &'a [u8]),
    Publishes(Which, Vec<Vec<&'a [u8]>>),
    Backlog(Which, u8),
    Memory(bool),
    Passes(u16),
    Delivers,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Door {
    Frontend,
    Backend,
    Capture,
}

impl Door {
    fn side(self) -> Side {
        match self {
            Self::Frontend => Side::Frontend,
            Self::Backend => Side::Backend,
            Self::Capture => Side::Capture,
        }
    }
}

/// What a peer is, and what it should get.
struct Known<'a> {
    side: Side,
    topics: Vec<&'a [u8]>,
    /// What it was handed.
    got: Vec<u8>,
    /// What it would have been handed without losing any, with how many messages that is.
    meant: Vec<u8>,
    meant_messages: u64,
    /// What a publisher was asked for.
    asked: BTreeMap<Vec<u8>, u32>,
}

struct Hall<'a> {
    bus: Bus,
    ids: SlotMap<PeerId, ()>,
    known: BTreeMap<PeerId, Known<'a>>,
    now: std::time::Instant,
}

impl<'a> Hall<'a> {
    fn peer(&self, which: Which) -> Option<PeerId> {
        let peers: Vec<PeerId> = self.known.keys().copied().collect();
        which.of(&peers)
    }

    fn does(&mut self, step: Step<'a>) {
        match step {
            Step::Opens(door) if self.known.len() < 12 => self.opens(door.side()),
            Step::Opens(_) => {}
            Step::Closes(which) => {
                if let Some(peer) = self.peer(which) {
                    self.bus.handle_closed(peer);
                    self.known.remove(&peer);
                }
            }
            Step::Subscribes(which, topic) => self.subscribes(which, topic, true),
            Step::Cancels(which, topic) => self.subscribes(which, topic, false),
            Step::Publishes(which, messages) => self.publishes(which, &messages),
            Step::Backlog(which, bytes) => {
                if let Some(peer) = self.peer(which) {
                    self.bus.handle_backlog(peer, usize::from(bytes) * 2);
                }
            }
            Step::Memory(is_short) => self.bus.handle_memory(is_short),
            Step::Passes(milliseconds) => {
                self.now += Duration::from_millis(milliseconds.into());
                self.bus.handle_timeout(self.now);
                let due = self.bus.poll_timeout();
                assert!(due.is_none_or(|due| due > self.now), "a timer is stuck");
            }
            Step::Delivers => self.delivers(),
        }
        self.bus.check_invariants();
        self.looks();
    }

    fn opens(&mut self, side: Side) {
        let peer = self.ids.insert(());
        self.bus.handle_opened(peer, side, "somebody".to_owned());
        let known = Known {
            side,
            topics: Vec::new(),
            got: Vec::new(),
            meant: Vec::new(),
            meant_messages: 0,
            asked: BTreeMap::new(),
        };
        self.known.insert(peer, known);
    }

    fn subscribes(&mut self, which: Which, topic: &'a [u8], adds: bool) {
        let Some(peer) = self.peer(which) else {
            return;
        };
        let bytes = bytes::Bytes::copy_from_slice(topic);
        let change = if adds {
            Subscription::Subscribe(bytes)
        } else {
            Subscription::Cancel(bytes)
        };
        self.bus.handle_subscription(peer, &change, self.now);
        let known = self.known.get_mut(&peer).expect("it is there");
        if known.side == Side::Frontend {
            return;
        }
        if adds {
            known.topics.push(topic);
        } else if let Some(at) = known.topics.iter().position(|own| *own == topic) {
            known.topics.swap_remove(at);
        }
    }

    fn publishes(&mut self, which: Which, messages: &[Vec<&'a [u8]>]) {
        let Some(peer) = self.peer(which) else {
            return;
        };
        let messages = messages.iter().take(8).filter(|frames| !frames.is_empty());
        let messages: Vec<Message> = messages.map(Message::from_frames).collect();
        self.bus
            .handle_run(peer, &Run::from_messages(&messages), self.now);
        if self.known[&peer].side != Side::Frontend {
            return;
        }
        for message in &messages {
            let topic = message.frames().next().unwrap_or_default();
            let wants =
                |known: &&mut Known<'_>| known.topics.iter().any(|own| topic.starts_with(own));
            for known in self.known.values_mut().filter(wants) {
                known.meant.extend_from_slice(message.encoded());
                known.meant_messages += 1;
            }
        }
    }

    fn delivers(&mut self) {
        while let Some((peer, batch)) = self.bus.poll_delivery() {
            let known = self
                .known
                .get_mut(&peer)
                .expect("who is gone is owed nothing");
            assert_ne!(known.side, Side::Frontend, "publishers are owed nothing");
            known.got.extend(batch.to_bytes());
            self.bus.handle_backlog(peer, 0);
        }
    }

    fn looks(&mut self) {
        while let Some(output) = self.bus.poll_output() {
            match output {
                Output::Ask(peer, changes) => {
                    let asked = &mut self.known.get_mut(&peer).expect("it is there").asked;
                    for change in changes {
                        match change {
                            Subscription::Subscribe(topic) => {
                                *asked.entry(topic.to_vec()).or_default() += 1;
                            }
                            Subscription::Cancel(topic) => {
                                let count = asked.get_mut(&topic[..]);
                                *count.expect("a cancel of what was asked for") -= 1;
                            }
                        }
                    }
                    asked.retain(|_, count| *count > 0);
                }
                Output::Close(peer, _) => {
                    self.known.remove(&peer).expect("a peer is closed once");
                }
            }
        }
        for wanted in self.known.values().flat_map(|known| &known.topics) {
            for publisher in self
                .known
                .values()
                .filter(|known| known.side == Side::Frontend)
            {
                let mut asked = publisher.asked.keys();
                assert!(asked.any(|asked| wanted.starts_with(asked)), "nobody asks");
            }
        }
    }
}

/// Each subscriber gets what it subscribes, in order, or is counted as having lost it; and
/// publishers are asked for all that anybody wants.
pub fn bus(bytes: &[u8]) {
    let Some((retains, rest)) = read::<(bool, &[u8])>(bytes) else {
        return;
    };
    let retain = RetainLimits {
        topics: 3,
        bytes: 2000,
    };
    let mut hall = Hall {
        bus: Bus::new(Config {
            name: "bus".to_owned(),
            retain: retains.then_some(retain),
            outbox_bytes: 100,
            publisher_outbox_bytes: 400,
            subscriptions: 6,
            topic_bytes: 16,
            upstream_topics: 4,
        }),
        ids: SlotMap::with_key(),
        known: BTreeMap::new(),
        now: clock::start(),
    };
    for step in steps(rest).take(200) {
        hall.does(step);
    }
    hall.delivers();
    for subscriber in hall.bus.subscribers() {
        let known = &hall.known[&subscriber.peer()];
        let sum = subscriber.delivered() + subscriber.dropped();
        assert!(
            sum >= known.meant_messages,
            "a message is neither delivered nor counted"
        );
        // What is retained, and reports of drops, come beside what is published.
        if sum == known.meant_messages && subscriber.dropped() == 0 {
            assert_eq!(known.got, known.meant);
        }
    }
    let everybody: Vec<PeerId> = hall.known.keys().copied().collect();
    for peer in everybody {
        hall.bus.handle_closed(peer);
        hall.bus.check_invariants();
    }
    let tally = hall.bus.tally();
    let left = (tally.publishers, tally.subscriptions, tally.topics);
    assert_eq!(left, (0, 0, 0), "nothing is kept for who is gone");
}

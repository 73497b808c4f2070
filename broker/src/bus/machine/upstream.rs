//! What publishers are asked for, so that they filter at the source.
//!
//! A topic is asked for from its first subscriber to its last. A bus that retains asks for
//! everything, and so does one with more topics than publishers are to be told: until there are
//! half as many again.

use std::mem;

use plantd_zmtp::Subscription;

use super::Config;
use crate::bus::trie::Trie;

/// What publishers are asked for.
#[derive(Debug)]
pub(super) struct Upstream {
    limit: usize,
    retains: bool,
    asks_everything: bool,
    /// What those who are there have yet to be told.
    changes: Vec<Subscription>,
}

impl Upstream {
    pub(super) fn new(config: &Config) -> Self {
        let retains = config.retain.is_some();
        Self {
            limit: config.upstream_topics,
            retains,
            asks_everything: retains,
            changes: Vec::new(),
        }
    }

    /// A topic has its first subscriber.
    pub(super) fn handle_topic(&mut self, topic: &[u8], trie: &Trie) {
        if self.asks_everything {
            return;
        }
        self.changes.push(subscribe(topic));
        if trie.topics() > self.limit {
            self.asks_everything = true;
            self.changes.push(subscribe(b""));
            self.changes.extend(trie.names().map(|name| cancel(&name)));
        }
    }

    /// A topic has lost its last subscriber.
    pub(super) fn handle_topic_ended(&mut self, topic: &[u8], trie: &Trie) {
        if !self.asks_everything {
            self.changes.push(cancel(topic));
        } else if !self.retains && trie.topics() <= self.limit / 2 {
            self.asks_everything = false;
            self.changes
                .extend(trie.names().map(|name| subscribe(&name)));
            self.changes.push(cancel(b""));
        }
    }

    /// What a publisher is to be asked for that was told nothing.
    pub(super) fn everything_asked(&self, trie: &Trie) -> Vec<Subscription> {
        if self.asks_everything {
            return vec![subscribe(b"")];
        }
        trie.names().map(|name| subscribe(&name)).collect()
    }

    pub(super) fn take_changes(&mut self) -> Vec<Subscription> {
        mem::take(&mut self.changes)
    }
}

fn subscribe(topic: &[u8]) -> Subscription {
    Subscription::Subscribe(topic.to_vec().into())
}

fn cancel(topic: &[u8]) -> Subscription {
    Subscription::Cancel(topic.to_vec().into())
}

//! The topics that are subscribed, by prefix: a trie with paths compressed.
//!
//! Every walk is a loop, so that the length of a topic costs no stack. A match costs the bytes of
//! the topic that lead somewhere, however many subscriptions there are. A topic takes two nodes at
//! most, and what all nodes take is known ([`Trie::held_bytes`]).

use std::mem::size_of;

use super::audiences::AudienceId;

/// A subscriber, as the trie sees it: an index that its owner gives.
pub type Slot = u32;

/// A topic that somebody subscribes. It stays the same as long as somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(u32);

/// Topics and who subscribes each.
#[derive(Debug)]
pub struct Trie {
    nodes: Vec<Node>,
    free: Vec<u32>,
    topics: usize,
    /// Counts the changes of who subscribes what, so that audiences can be found to be stale.
    changes: u64,
    held_bytes: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// What comes after the parent's prefix. Empty for the root only.
    label: Box<[u8]>,
    parent: u32,
    /// By the first byte of their labels.
    children: Vec<(u8, u32)>,
    /// In order.
    subscribers: Vec<Slot>,
    /// The last change of who subscribes this prefix, or one that was pruned away above.
    changed_at: u64,
    /// Who gets what matches here and no deeper, as of the change that is given with it.
    audience: Option<(AudienceId, u64)>,
}

/// The longest subscribed prefix of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) topic: TopicId,
    /// The last change of who subscribes any of the prefixes.
    pub(super) changed_at: u64,
}

const ROOT: u32 = 0;

impl Trie {
    /// A trie without topics.
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
            topics: 0,
            changes: 0,
            held_bytes: size_of::<Node>(),
        }
    }

    /// How many topics somebody subscribes.
    pub fn topics(&self) -> usize {
        self.topics
    }

    /// The memory of all nodes.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Lets a subscriber subscribe a topic, if it does not; whether it is the topic's first.
    pub fn add(&mut self, topic: &[u8], slot: Slot) -> (TopicId, bool) {
        let id = self.grow(topic);
        self.changes += 1;
        let changes = self.changes;
        let mut is_first = false;
        self.edit(id, |node| {
            if let Err(place) = node.subscribers.binary_search(&slot) {
                is_first = node.subscribers.is_empty();
                // Most topics have few subscribers: no room is made in advance.
                if node.subscribers.len() < 4 {
                    node.subscribers.reserve_exact(1);
                }
                node.subscribers.insert(place, slot);
                node.changed_at = changes;
            }
        });
        self.topics += usize::from(is_first);
        (TopicId(id), is_first)
    }

    /// Ends a subscriber's subscription of a topic, if it has one; whether it was the topic's last.
    pub fn remove(&mut self, topic: TopicId, slot: Slot) -> bool {
        self.changes += 1;
        let changes = self.changes;
        let mut is_last = false;
        self.edit(topic.0, |node| {
            if let Ok(place) = node.subscribers.binary_search(&slot) {
                node.subscribers.remove(place);
                is_last = node.subscribers.is_empty();
                node.changed_at = changes;
            }
        });
        if is_last {
            self.topics -= 1;
            self.prune(topic.0);
        }
        is_last
    }

    /// The topic with exactly this name.
    pub fn find(&self, topic: &[u8]) -> Option<TopicId> {
        let mut id = ROOT;
        let mut rest = topic;
        while let Some((child, after)) = self.step(id, rest) {
            id = child;
            rest = after;
        }
        let node = &self.nodes[id as usize];
        (rest.is_empty() && !node.subscribers.is_empty()).then_some(TopicId(id))
    }

    /// A topic's name.
    pub fn name(&self, topic: TopicId) -> Vec<u8> {
        let labels: Vec<&[u8]> = self.upwards(topic.0).map(|node| &node.label[..]).collect();
        labels.into_iter().rev().flatten().copied().collect()
    }

    /// The names of all topics, in no order.
    pub fn names(&self) -> impl Iterator<Item = Vec<u8>> {
        let subscribed = |node: &Node| !node.subscribers.is_empty();
        let ids = 0..self.nodes.len() as u32;
        ids.filter(move |id| subscribed(&self.nodes[*id as usize]))
            .map(|id| self.name(TopicId(id)))
    }

    /// Everybody who subscribes a prefix of this topic, in order.
    pub fn subscribers(&self, topic: &[u8]) -> Vec<Slot> {
        let found = self.lookup(topic);
        found.map_or_else(Vec::new, |found| self.subscribers_at(found.topic))
    }

    pub(super) fn subscribers_at(&self, topic: TopicId) -> Vec<Slot> {
        let mut slots: Vec<Slot> = Vec::new();
        for node in self.upwards(topic.0) {
            slots.extend(&node.subscribers);
        }
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// The longest subscribed prefix of a topic.
    #[inline]
    pub(super) fn lookup(&self, topic: &[u8]) -> Option<Match> {
        let mut node = &self.nodes[ROOT as usize];
        let mut id = ROOT;
        let mut rest = topic;
        let mut deepest = None;
        let mut changed_at = 0;
        loop {
            changed_at = changed_at.max(node.changed_at);
            if !node.subscribers.is_empty() {
                deepest = Some(TopicId(id));
            }
            let Some((child, after)) = self.step(id, rest) else {
                break;
            };
            (id, rest) = (child, after);
            node = &self.nodes[id as usize];
        }
        deepest.map(|topic| Match { topic, changed_at })
    }

    /// Who gets what matches at this topic and no deeper, if that is known.
    #[inline]
    pub(super) fn audience(&self, found: Match, since: u64) -> Option<AudienceId> {
        let (audience, at) = self.nodes[found.topic.0 as usize].audience?;
        (at >= found.changed_at && at >= since).then_some(audience)
    }

    pub(super) fn set_audience(&mut self, topic: TopicId, audience: AudienceId) {
        self.nodes[topic.0 as usize].audience = Some((audience, self.changes));
    }

    /// Makes every audience that was set before stale; gives the change that did it.
    pub(super) fn forget_audiences(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// The child whose label `rest` begins with, and what comes after it.
    #[inline]
    fn step<'a>(&self, id: u32, rest: &'a [u8]) -> Option<(u32, &'a [u8])> {
        let children = &self.nodes[id as usize].children;
        let first = rest.first()?;
        let at = children.binary_search_by_key(first, |child| child.0).ok()?;
        let child = children[at].1;
        let after = rest.strip_prefix(&self.nodes[child as usize].label[..])?;
        Some((child, after))
    }

    /// From a node up to the root.
    fn upwards(&self, id: u32) -> impl Iterator<Item = &Node> {
        let mut next = Some(id);
        std::iter::from_fn(move || {
            let id = next?;
            let node = &self.nodes[id as usize];
            next = (id != ROOT).then_some(node.parent);
            Some(node)
        })
    }

    /// The node of exactly this topic, made if there is none.
    fn grow(&mut self, topic: &[u8]) -> u32 {
        let mut id = ROOT;
        let mut rest = topic;
        loop {
            while let Some((child, after)) = self.step(id, rest) {
                (id, rest) = (child, after);
            }
            let Some(&first) = rest.first() else {
                return id;
            };
            let children = &self.nodes[id as usize].children;
            let Ok(at) = children.binary_search_by_key(&first, |child| child.0) else {
                return self.add_child(id, rest);
            };
            // A label that begins as the rest does and goes on otherwise.
            let child = children[at].1;
            let label = &self.nodes[child as usize].label;
            let shared = label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            id = self.split(child, shared);
            rest = &rest[shared..];
        }
    }

    fn add_child(&mut self, parent: u32, label: &[u8]) -> u32 {
        let id = self.allocate(Node {
            label: label.into(),
            parent,
            ..Node::default()
        });
        self.edit(parent, |node| node.link(label[0], id));
        id
    }

    /// Puts a node into the way to `child`, after the first `at` bytes of its label. The child stays
    /// what it is.
    fn split(&mut self, child: u32, at: usize) -> u32 {
        let Node { label, parent, .. } = &self.nodes[child as usize];
        let (upper, lower) = label.split_at(at);
        let (upper, lower, parent) = (Box::from(upper), Box::from(lower), *parent);
        let first = first_byte(&upper);
        let middle = self.allocate(Node {
            children: vec![(first_byte(&lower), child)],
            label: upper,
            parent,
            ..Node::default()
        });
        self.edit(child, |node| {
            node.label = lower;
            node.parent = middle;
        });
        self.edit(parent, |node| node.link(first, middle));
        middle
    }

    /// Takes away a node that nobody subscribes and that is no fork, and its parent likewise.
    fn prune(&mut self, mut id: u32) {
        while id != ROOT {
            let node = &self.nodes[id as usize];
            if !node.subscribers.is_empty() || node.children.len() > 1 {
                return;
            }
            let (parent, first) = (node.parent, first_byte(&node.label));
            let child = node.children.first().map(|child| child.1);
            let removed = self.release(id);
            if let Some(child) = child {
                self.edit(child, |node| {
                    node.label = [&removed.label[..], &node.label].concat().into();
                    node.parent = parent;
                    // What ended above is a change to whoever is below.
                    node.changed_at = node.changed_at.max(removed.changed_at);
                });
                self.edit(parent, |node| node.link(first, child));
                return;
            }
            self.edit(parent, |node| node.unlink(first));
            id = parent;
        }
    }

    fn allocate(&mut self, node: Node) -> u32 {
        self.held_bytes += node.held_bytes();
        if let Some(id) = self.free.pop() {
            self.nodes[id as usize] = node;
            return id;
        }
        let id = u32::try_from(self.nodes.len()).expect("memory is limited before 2^32 topics");
        self.nodes.push(node);
        id
    }

    fn release(&mut self, id: u32) -> Node {
        let node = std::mem::take(&mut self.nodes[id as usize]);
        self.held_bytes -= node.held_bytes();
        self.free.push(id);
        if self.free.len() + 1 == self.nodes.len() {
            // Nothing but the root is left: what many topics took is given back.
            self.nodes.truncate(1);
            self.nodes.shrink_to_fit();
            self.free = Vec::new();
        }
        node
    }

    /// Changes a node, and what is known of its memory.
    fn edit(&mut self, id: u32, change: impl FnOnce(&mut Node)) {
        let node = &mut self.nodes[id as usize];
        let before = node.held_bytes();
        change(node);
        self.held_bytes = self.held_bytes - before + node.held_bytes();
    }

    /// Walks everything and compares it with what is kept beside it.
    ///
    /// # Panics
    /// If they differ.
    pub fn check_invariants(&self) {
        let mut seen = 0;
        let mut topics = 0;
        let mut held_bytes = 0;
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            let node = &self.nodes[id as usize];
            seen += 1;
            held_bytes += node.held_bytes();
            topics += usize::from(!node.subscribers.is_empty());
            assert_eq!(
                node.label.is_empty(),
                id == ROOT,
                "only the root has no label"
            );
            let needed = !node.subscribers.is_empty() || node.children.len() > 1;
            assert!(needed || id == ROOT, "a node is a topic or a fork");
            assert!(node.subscribers.is_sorted_by(|a, b| a < b));
            assert!(node.children.is_sorted_by(|a, b| a.0 < b.0));
            for (first, child) in &node.children {
                let below = &self.nodes[*child as usize];
                assert_eq!((below.parent, below.label[0]), (id, *first));
                open.push(*child);
            }
        }
        assert_eq!(topics, self.topics, "topics");
        assert_eq!(held_bytes, self.held_bytes, "bytes");
        assert_eq!(seen + self.free.len(), self.nodes.len(), "nodes");
    }
}

impl Default for Trie {
    fn default() -> Self {
        Self::new()
    }
}

impl Node {
    fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.label.len()
            + self.children.capacity() * size_of::<(u8, u32)>()
            + self.subscribers.capacity() * size_of::<Slot>()
    }

    /// Lets a first byte lead to this child.
    fn link(&mut self, first: u8, child: u32) {
        match self.children.binary_search_by_key(&first, |child| child.0) {
            Ok(at) => self.children[at].1 = child,
            Err(at) => {
                if self.children.len() < 4 {
                    self.children.reserve_exact(1);
                }
                self.children.insert(at, (first, child));
            }
        }
    }

    fn unlink(&mut self, first: u8) {
        self.children.retain(|child| child.0 != first);
        if self.children.is_empty() {
            self.children = Vec::new();
        }
    }
}

/// The first byte of a label that is not the root's.
fn first_byte(label: &[u8]) -> u8 {
    *label.first().expect("only the root has no label")
}

#[cfg(test)]
mod tests;

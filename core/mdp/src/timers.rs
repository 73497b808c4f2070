//! When what is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// A heap of instants, each with what it is for.
///
/// Nothing is taken out early: who armed an entry remembers its instant and ignores one that comes
/// up at another. [`Timers::compact`] drops what nobody waits for, so that forgotten entries never
/// outnumber live ones for long. Instants mostly rise, so that arming costs next to nothing.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
}

/// Compacting a smaller heap is not worth the walk.
const SMALLEST_COMPACTED: usize = 1024;

impl<K: Ord + Copy> Timers<K> {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
        }
    }

    pub(crate) fn arm(&mut self, at: Instant, key: K) {
        self.heap.push(Reverse((at, key)));
    }

    /// The first instant at which [`Timers::pop`] gives something.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the first entry that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, K)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Whether more than half of the entries are forgotten, when `live` are waited for at most.
    pub(crate) fn is_worth_compacting(&self, live: usize) -> bool {
        self.heap.len() > SMALLEST_COMPACTED.max(2 * live)
    }

    /// Keeps the entries that are still waited for, when it is worth it.
    pub(crate) fn compact(&mut self, live: usize, is_live: impl Fn(Instant, K) -> bool) {
        if self.is_worth_compacting(live) {
            self.heap.retain(|Reverse((at, key))| is_live(*at, *key));
        }
    }
}

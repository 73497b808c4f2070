//! What happens when.

use std::collections::BTreeMap;
use std::time::Instant;

/// Things to come, in the order of their instants; those of one instant in the order in which they
/// were put down.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    entries: BTreeMap<(Instant, u64), T>,
    next: u64,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            next: 0,
        }
    }

    pub(crate) fn put(&mut self, at: Instant, thing: T) {
        self.entries.insert((at, self.next), thing);
        self.next += 1;
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first thing that is not after `end`.
    pub(crate) fn take(&mut self, end: Instant) -> Option<(Instant, T)> {
        if self.next()? > end {
            return None;
        }
        let ((at, _), thing) = self.entries.pop_first()?;
        Some((at, thing))
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

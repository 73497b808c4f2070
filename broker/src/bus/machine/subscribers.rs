//! All subscribers of a bus, and handing messages to them.

use std::time::Instant;

use plantd_zmtp::{Batch, Run};

use super::drops::Drops;
use super::{PeerId, Subscriber};
use crate::bus::trie::Slot;

/// The subscribers of a bus, each at a slot that is its own as long as it is there.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    list: Vec<Option<Subscriber>>,
    free: Vec<Slot>,
    /// Those that have something in their batches.
    owed: Vec<Slot>,
    drops: Drops,
    delivered: u64,
    dropped: u64,
}

impl Subscribers {
    pub(super) fn insert(&mut self, subscriber: Subscriber) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.list[slot as usize] = Some(subscriber);
            return slot;
        }
        self.list.push(Some(subscriber));
        self.list.len() as Slot - 1
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Subscriber> {
        let subscriber = self.list[slot as usize].take()?;
        self.free.push(slot);
        self.owed.retain(|owed| *owed != slot);
        self.drops.handle_left(&subscriber);
        Some(subscriber)
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Subscriber> {
        self.list[slot as usize].as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Subscriber> {
        self.list[slot as usize].as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Subscriber> {
        self.list.iter().flatten()
    }

    /// Adds messages to what a subscriber is owed, as far as its outbox has room; the rest is lost and
    /// counted.
    #[inline]
    pub(super) fn hand(&mut self, slot: Slot, run: &Run, limit_bytes: usize, now: Instant) {
        let Some(subscriber) = &mut self.list[slot as usize] else {
            return;
        };
        let was_owed = subscriber.is_owed();
        let taken = subscriber.take(run, limit_bytes);
        if !was_owed && subscriber.is_owed() {
            self.owed.push(slot);
        }
        self.delivered += taken as u64;
        let lost = (run.message_count() - taken) as u64;
        if lost > 0 {
            self.dropped += lost;
            self.drops.note(lost, now);
        }
    }

    /// Takes what the next subscriber is owed, all of it.
    pub(super) fn poll_delivery(&mut self) -> Option<(PeerId, Batch)> {
        let slot = self.owed.pop()?;
        self.get_mut(slot).map(Subscriber::take_batch)
    }

    /// When drops are to be told.
    pub(super) fn report_due(&self) -> Option<Instant> {
        self.drops.due()
    }

    /// What was dropped since the last report, as a message for the captures.
    pub(super) fn report(&mut self, bus: &str) -> Run {
        self.drops
            .report(bus, self.list.iter_mut().flatten())
            .into()
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn check_invariants(&self) {
        let vacant = self.list.iter().filter(|place| place.is_none()).count();
        assert_eq!(vacant, self.free.len(), "free slots");
        for (slot, subscriber) in self.list.iter().enumerate() {
            let owed = self
                .owed
                .iter()
                .filter(|owed| **owed == slot as Slot)
                .count();
            let is_owed = subscriber.as_ref().is_some_and(Subscriber::is_owed);
            assert_eq!(owed, usize::from(is_owed), "owed once, or not at all");
        }
        let dropped: u64 = self.iter().map(Subscriber::dropped).sum();
        assert!(dropped <= self.dropped, "what each lost is in the sum");
    }
}

//! The workers of a service that may be given a request, in order.

use std::collections::BTreeSet;

use super::output::PeerId;

/// A worker's place among those with room: fewest unanswered, then waiting longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Room {
    pub(super) unanswered: u32,
    pub(super) since: u64,
    pub(super) worker: PeerId,
}

/// An ordered set of places, whose first one stands apart: the only worker of a service changes
/// its place twice with each request, and stays the first.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    first: Option<Room>,
    /// All after the first.
    rest: BTreeSet<Room>,
}

impl Rooms {
    /// The place of the worker that is next.
    pub(super) fn first(&self) -> Option<Room> {
        self.first
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Room> {
        self.first.into_iter().chain(self.rest.iter().copied())
    }

    /// Moves a worker from its old place, if it has one, to a new one, if it gets one.
    pub(super) fn replace(&mut self, old: Option<Room>, new: Option<Room>) {
        if old.is_some() && old == self.first {
            self.first = new;
        } else {
            if let Some(old) = old {
                self.rest.remove(&old);
            }
            match (self.first, new) {
                (Some(first), Some(new)) if first < new => {
                    self.rest.insert(new);
                    return;
                }
                (first, Some(new)) => {
                    self.first = Some(new);
                    self.rest.extend(first);
                    return;
                }
                (_, None) => return,
            }
        }
        // The place that was the first has moved or gone: another may be before it.
        let Some(next) = self.rest.first() else {
            return;
        };
        match self.first {
            Some(first) if first < *next => {}
            first => {
                self.first = self.rest.pop_first();
                self.rest.extend(first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slotmap::KeyData;

    use super::*;

    fn room(unanswered: u32, since: u64) -> Room {
        Room {
            unanswered,
            since,
            worker: PeerId::from(KeyData::from_ffi(1 << 32 | since)),
        }
    }

    proptest! {
        #[test]
        fn places_are_in_order_whatever_moves(
            moves in prop::collection::vec((0_u64..6, prop::option::of(0_u32..5)), 1..200)
        ) {
            let mut rooms = Rooms::default();
            let mut model = BTreeSet::new();
            for (worker, unanswered) in moves {
                let old = model.iter().find(|room: &&Room| room.since == worker).copied();
                let new = unanswered.map(|unanswered| room(unanswered, worker));
                rooms.replace(old, new);
                if let Some(old) = old {
                    model.remove(&old);
                }
                model.extend(new);
                prop_assert_eq!(rooms.first(), model.first().copied());
                prop_assert_eq!(rooms.len(), model.len());
                prop_assert_eq!(rooms.is_empty(), model.is_empty());
                prop_assert!(rooms.iter().eq(model.iter().copied()));
            }
        }
    }
}

//! Where a value is: its scope and its key.

use std::hash::Hash;

use hashbrown::{Equivalent, HashMap};

use crate::names::{Key, Scope};

/// What keeping anything of a place takes beside that and its key, about.
pub(super) const SLOT_BYTES: usize = 192;

/// A scope and a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) scope: Scope,
    pub(super) key: Key,
}

/// A place that is looked up.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct At<'a> {
    pub(super) scope: &'a Scope,
    pub(super) key: &'a Key,
}

/// Something for each of many places. Names come from clients: the hash is seeded at random.
pub(super) type Places<T> = HashMap<Place, T>;

impl Place {
    pub(super) fn at(&self) -> At<'_> {
        At {
            scope: &self.scope,
            key: &self.key,
        }
    }
}

impl At<'_> {
    pub(super) fn to_place(self) -> Place {
        Place {
            scope: self.scope.clone(),
            key: self.key.clone(),
        }
    }
}

impl Equivalent<Place> for At<'_> {
    fn equivalent(&self, place: &Place) -> bool {
        // Keys differ more often.
        *self.key == place.key && *self.scope == place.scope
    }
}

//! Values that the history has and the table of values has not yet.

use super::place::{At, Place, Places, SLOT_BYTES};
use super::recent::Kept;
use super::row::Entry;
use crate::names::{Key, Scope};

/// Values by scope and key, to be written into the table.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    places: Places<Kept>,
    bytes: usize,
}

/// What memory knew of a scope when it had had so many changes.
#[derive(Debug)]
pub(crate) struct AsOf<T> {
    pub(super) sequence: u64,
    pub(super) known: T,
}

/// A part of the keys of a scope.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range<'a> {
    /// How the keys begin.
    pub(super) prefix: &'a str,
    /// They come after this.
    pub(super) after: Option<&'a str>,
    /// How many are wanted.
    pub(super) most: usize,
}

impl Range<'_> {
    fn has(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && self.after.is_none_or(|after| key > after)
    }
}

impl Ahead {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// What they take in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn find(&self, at: At<'_>) -> Option<&Kept> {
        self.places.get(&at)
    }

    /// Takes the place of the value that there was of a key, if there was one; gives it back otherwise.
    pub(super) fn replace(&mut self, at: At<'_>, kept: Kept) -> Result<(), Kept> {
        let Some(before) = self.places.get_mut(&at) else {
            return Err(kept);
        };
        let key_bytes = at.key.as_str().len();
        self.bytes += size(key_bytes, &kept);
        self.bytes -= size(key_bytes, before);
        *before = kept;
        Ok(())
    }

    /// Adds a value of a key that had none.
    pub(super) fn add(&mut self, place: Place, kept: Kept) {
        self.bytes += size(place.key.as_str().len(), &kept);
        self.places.insert(place, kept);
    }

    pub(super) fn take(&mut self, at: At<'_>) -> Option<Kept> {
        let kept = self.places.remove(&at)?;
        self.bytes -= size(at.key.as_str().len(), &kept);
        Some(kept)
    }

    /// Takes out a value, unless its key was given another one since.
    pub(super) fn take_version(&mut self, at: At<'_>, version: u64) -> Option<Kept> {
        let found = self.find(at)?;
        (found.entry.version == version)
            .then(|| self.take(at))
            .flatten()
    }

    /// Takes out all values of a scope.
    pub(super) fn take_scope(&mut self, scope: &Scope) -> Vec<(Place, Kept)> {
        let of_scope = self.places.extract_if(|place, _| place.scope == *scope);
        let taken: Vec<_> = of_scope.collect();
        let sizes = taken
            .iter()
            .map(|(place, kept)| size(place.key.as_str().len(), kept));
        self.bytes -= sizes.sum::<usize>();
        taken
    }

    /// The first values of a part of a scope, in no order.
    pub(super) fn first(&self, scope: &Scope, range: Range<'_>) -> Vec<(Key, Entry)> {
        let of_range = |place: &Place| place.scope == *scope && range.has(place.key.as_str());
        let found = self.places.iter().filter(|(place, _)| of_range(place));
        let mut found: Vec<_> = found.collect();
        if found.len() > range.most {
            found.select_nth_unstable_by(range.most, |(one, _), (other, _)| one.cmp(other));
            found.truncate(range.most);
        }
        let values = found.into_iter();
        values
            .map(|(place, kept)| (place.key.clone(), kept.entry.clone()))
            .collect()
    }

    /// Every value, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Place, &Kept)> {
        self.places.iter()
    }
}

fn size(key_bytes: usize, kept: &Kept) -> usize {
    SLOT_BYTES + key_bytes + kept.entry.value.len()
}

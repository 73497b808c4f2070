//! What is known of keys that were used lately, within a limit.
//!
//! Two generations stand for the order of use: what is used comes into the younger one, and when that
//! has half of the room, the older one is dropped and the younger one takes its place.

use std::mem;

use super::place::{At, Place, Places, SLOT_BYTES};
use crate::names::Scope;

/// Something of each of many keys.
#[derive(Debug)]
pub(super) struct Generations<T> {
    most_bytes: usize,
    young: Generation<T>,
    old: Generation<T>,
}

#[derive(Debug)]
struct Generation<T> {
    places: Places<Slot<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Slot<T> {
    value: T,
    bytes: usize,
}

impl<T: Clone> Generations<T> {
    /// Has room for so many bytes.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            young: Generation::default(),
            old: Generation::default(),
        }
    }

    /// What is known of a key.
    pub(super) fn find(&mut self, at: At<'_>) -> Option<T> {
        if let Some(slot) = self.young.places.get(&at) {
            return Some(slot.value.clone());
        }
        let (place, slot) = self.old.take(at)?;
        let value = slot.value.clone();
        self.put_slot(place, slot);
        Some(value)
    }

    /// Whether anything is known of a key, without using it.
    pub(super) fn has(&self, at: At<'_>) -> bool {
        let generations = [&self.young, &self.old];
        generations.iter().any(|it| it.places.contains_key(&at))
    }

    /// Takes the place of what was known of a key. `bytes` is what the value has beside itself.
    pub(super) fn put(&mut self, place: Place, value: T, bytes: usize) {
        let bytes = bytes + place.key.as_str().len() + size_of::<T>() + SLOT_BYTES;
        self.old.take(place.at());
        self.put_slot(place, Slot { value, bytes });
    }

    pub(super) fn forget(&mut self, at: At<'_>) {
        self.young.take(at);
        self.old.take(at);
    }

    pub(super) fn forget_scope(&mut self, scope: &Scope) {
        for generation in [&mut self.young, &mut self.old] {
            let of_scope = |place: &Place, _: &mut Slot<T>| place.scope == *scope;
            let gone = generation.places.extract_if(of_scope);
            generation.bytes -= gone.map(|(_, slot)| slot.bytes).sum::<usize>();
        }
    }

    fn put_slot(&mut self, place: Place, slot: Slot<T>) {
        self.young.put(place, slot);
        if self.young.bytes > self.most_bytes / 2 {
            self.old = mem::take(&mut self.young);
        }
    }
}

impl<T> Generation<T> {
    fn put(&mut self, place: Place, slot: Slot<T>) {
        self.bytes += slot.bytes;
        let before = self.places.insert(place, slot);
        self.bytes -= before.map_or(0, |before| before.bytes);
    }

    fn take(&mut self, at: At<'_>) -> Option<(Place, Slot<T>)> {
        if self.places.is_empty() {
            return None;
        }
        let (place, slot) = self.places.remove_entry(&at)?;
        self.bytes -= slot.bytes;
        Some((place, slot))
    }
}

impl<T> Default for Generation<T> {
    fn default() -> Self {
        Self {
            places: Places::new(),
            bytes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Key;

    const MOST: usize = 100_000;

    fn scope() -> Scope {
        Scope::kept("org.example")
    }

    fn place(number: usize) -> Place {
        Place {
            scope: scope(),
            key: Key::kept(&format!("key/{number}")),
        }
    }

    fn put(known: &mut Generations<usize>, number: usize) {
        known.put(place(number), number, 1_000);
    }

    /// Whether what is counted is what is there.
    fn is_exact(known: &Generations<usize>) -> bool {
        [&known.young, &known.old].iter().all(|generation| {
            let slots = generation.places.values();
            generation.bytes == slots.map(|slot| slot.bytes).sum::<usize>()
        })
    }

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let mut known = Generations::new(MOST);
        for number in 0..1_000 {
            put(&mut known, number);
            assert_eq!(known.find(place(0).at()), Some(0));
            assert!(is_exact(&known));
            assert!(known.young.bytes + known.old.bytes <= MOST);
        }
        assert!(known.has(place(999).at()));
        assert!(!known.has(place(1).at()));
    }

    #[test]
    fn what_is_forgotten_is_gone_from_both_generations() {
        let mut known = Generations::new(MOST);
        // Enough for some to be in the older one.
        for number in 0..60 {
            put(&mut known, number);
        }
        for number in [10, 59] {
            assert!(known.has(place(number).at()));
            known.forget(place(number).at());
            assert!(!known.has(place(number).at()));
            assert!(is_exact(&known));
        }
        known.forget_scope(&scope());
        assert!((0..60).all(|number| !known.has(place(number).at())));
        assert!(is_exact(&known));
    }
}

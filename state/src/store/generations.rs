//! What is known of keys that were used lately, within a limit.
//!
//! Two generations stand for the order of use: what is used comes into the younger one, and when that
//! has half of the room, the older one is dropped and the younger one takes its place.

use std::collections::HashMap;
use std::mem;

use crate::names::{Key, Scope};

/// What keeping anything of a key takes, about.
const SLOT_BYTES: usize = 192;

/// Something of each of many keys.
#[derive(Debug)]
pub(super) struct Generations<T> {
    most_bytes: usize,
    young: Generation<T>,
    old: Generation<T>,
}

#[derive(Debug)]
struct Generation<T> {
    scopes: HashMap<Scope, HashMap<Key, Slot<T>>>,
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
    pub(super) fn find(&mut self, scope: &Scope, key: &Key) -> Option<T> {
        if let Some(slot) = self.young.find(scope, key) {
            return Some(slot.value.clone());
        }
        let slot = self.old.take(scope, key)?;
        let value = slot.value.clone();
        self.put_slot(scope, key, slot);
        Some(value)
    }

    /// What is known of a key, without using it.
    pub(super) fn peek(&self, scope: &Scope, key: &Key) -> Option<&T> {
        let generations = [&self.young, &self.old];
        let slot = generations.iter().find_map(|it| it.find(scope, key))?;
        Some(&slot.value)
    }

    /// Takes the place of what was known of a key. `bytes` is what the value has beside itself.
    pub(super) fn put(&mut self, scope: &Scope, key: &Key, value: T, bytes: usize) {
        let bytes = bytes + key.as_str().len() + size_of::<T>() + SLOT_BYTES;
        self.old.take(scope, key);
        self.put_slot(scope, key, Slot { value, bytes });
    }

    pub(super) fn forget(&mut self, scope: &Scope, key: &Key) {
        self.young.take(scope, key);
        self.old.take(scope, key);
    }

    pub(super) fn forget_scope(&mut self, scope: &Scope) {
        for generation in [&mut self.young, &mut self.old] {
            let keys = generation.scopes.remove(scope);
            let slots = keys.iter().flat_map(HashMap::values);
            generation.bytes -= slots.map(|slot| slot.bytes).sum::<usize>();
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.young = Generation::default();
        self.old = Generation::default();
    }

    fn put_slot(&mut self, scope: &Scope, key: &Key, slot: Slot<T>) {
        self.young.put(scope, key, slot);
        if self.young.bytes > self.most_bytes / 2 {
            self.old = mem::take(&mut self.young);
        }
    }
}

impl<T> Generation<T> {
    fn find(&self, scope: &Scope, key: &Key) -> Option<&Slot<T>> {
        self.scopes.get(scope)?.get(key)
    }

    fn put(&mut self, scope: &Scope, key: &Key, slot: Slot<T>) {
        self.bytes += slot.bytes;
        let before = match self.scopes.get_mut(scope) {
            Some(keys) => keys.insert(key.clone(), slot),
            None => {
                let keys = HashMap::from([(key.clone(), slot)]);
                self.scopes.insert(scope.clone(), keys);
                None
            }
        };
        self.bytes -= before.map_or(0, |before| before.bytes);
    }

    fn take(&mut self, scope: &Scope, key: &Key) -> Option<Slot<T>> {
        let slot = self.scopes.get_mut(scope)?.remove(key)?;
        self.bytes -= slot.bytes;
        Some(slot)
    }
}

impl<T> Default for Generation<T> {
    fn default() -> Self {
        Self {
            scopes: HashMap::new(),
            bytes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 100_000;

    fn scope() -> Scope {
        Scope::kept("org.example")
    }

    fn key(number: usize) -> Key {
        Key::kept(&format!("key/{number}"))
    }

    fn put(known: &mut Generations<usize>, number: usize) {
        known.put(&scope(), &key(number), number, 1_000);
    }

    /// Whether what is counted is what is there.
    fn is_exact(known: &Generations<usize>) -> bool {
        [&known.young, &known.old].iter().all(|generation| {
            let slots = generation.scopes.values().flat_map(HashMap::values);
            generation.bytes == slots.map(|slot| slot.bytes).sum::<usize>()
        })
    }

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let mut known = Generations::new(MOST);
        for number in 0..1_000 {
            put(&mut known, number);
            assert_eq!(known.find(&scope(), &key(0)), Some(0));
            assert!(is_exact(&known));
            assert!(known.young.bytes + known.old.bytes <= MOST);
        }
        assert!(known.peek(&scope(), &key(999)).is_some());
        assert!(known.peek(&scope(), &key(1)).is_none());
    }

    #[test]
    fn what_is_forgotten_is_gone_from_both_generations() {
        let mut known = Generations::new(MOST);
        // Enough for some to be in the older one.
        for number in 0..60 {
            put(&mut known, number);
        }
        for number in [10, 59] {
            assert!(known.peek(&scope(), &key(number)).is_some());
            known.forget(&scope(), &key(number));
            assert!(known.peek(&scope(), &key(number)).is_none());
            assert!(is_exact(&known));
        }
        known.forget_scope(&scope());
        assert!((0..60).all(|number| known.peek(&scope(), &key(number)).is_none()));
        assert!(is_exact(&known));
    }
}

//! Values that were written or read lately, kept in memory beside the database.
//!
//! What is told from here is what the database would tell: before a group is committed its keys are
//! forgotten, and nothing is put in until the commit is done; after it, and before anybody is
//! answered, they are put in as they are on disk. What a reader finds in the database is put in only
//! if no commit has begun since before it looked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::generations::Generations;
use super::row::Entry;
use crate::names::{Key, Scope};

/// What is kept at most.
const BYTES: usize = 64 << 20;
/// A larger value is not kept.
const VALUE_BYTES: usize = 64 << 10;

/// The values, shared by the writer and everybody who reads.
#[derive(Debug)]
pub(super) struct Recent(Mutex<Held>);

#[derive(Debug)]
struct Held {
    entries: Generations<Entry>,
    /// How often a commit has begun or ended; odd while one is under way.
    commits: u64,
}

/// What a group does to a key or a scope, in the order in which it does it.
#[derive(Debug)]
pub(super) enum Touched {
    Written(Scope, Key, Entry),
    Gone(Scope, Key),
    ScopeGone(Scope),
}

/// Says that a reader looks at the database from here on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look(u64);

impl Recent {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Held {
            entries: Generations::new(BYTES),
            commits: 0,
        }))
    }

    /// The value of a key, if it is kept.
    pub(super) fn find(&self, scope: &Scope, key: &Key) -> Option<Entry> {
        self.held().entries.find(scope, key)
    }

    /// Begins a look at the database, whose outcome may be kept.
    pub(super) fn look(&self) -> Look {
        Look(self.held().commits)
    }

    /// Keeps what a look has found, if it is still so.
    pub(super) fn found(&self, look: Look, scope: &Scope, key: &Key, entry: &Entry) {
        let mut held = self.held();
        let is_present = held.commits == look.0 && look.0.is_multiple_of(2);
        if is_present && held.entries.peek(scope, key).is_none() {
            held.keep(scope, key, entry.clone());
        }
    }

    /// Forgets what a group touches, which is about to be committed.
    pub(super) fn begin_commit(&self, touched: &[Touched]) {
        let mut held = self.held();
        held.commits |= 1;
        for touched in touched {
            match touched {
                Touched::Written(scope, key, _) | Touched::Gone(scope, key) => {
                    held.entries.forget(scope, key);
                }
                Touched::ScopeGone(scope) => held.entries.forget_scope(scope),
            }
        }
    }

    /// Keeps what a group has written. After a commit that failed there is nothing to be kept.
    pub(super) fn end_commit(&self, touched: Vec<Touched>) {
        let mut held = self.held();
        held.commits += held.commits % 2;
        for touched in touched {
            match touched {
                Touched::Written(scope, key, entry) => held.keep(&scope, &key, entry),
                Touched::Gone(scope, key) => held.entries.forget(&scope, &key),
                Touched::ScopeGone(scope) => held.entries.forget_scope(&scope),
            }
        }
    }

    /// A panic leaves at worst less than could be kept, or a commit that seems to be under way.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn keep(&mut self, scope: &Scope, key: &Key, entry: Entry) {
        let bytes = entry.value.len();
        if bytes > VALUE_BYTES {
            self.entries.forget(scope, key);
        } else {
            self.entries.put(scope, key, entry, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::value::Value;

    fn scope() -> Scope {
        Scope::kept("org.example")
    }

    fn key(number: usize) -> Key {
        Key::kept(&format!("key/{number}"))
    }

    fn entry(version: u64, bytes: usize) -> Entry {
        Entry {
            value: Value::Json(Bytes::from(vec![b'1'; bytes])),
            version,
            timestamp: 1,
            expires: None,
        }
    }

    fn written(number: usize, version: u64) -> Touched {
        Touched::Written(scope(), key(number), entry(version, 1))
    }

    fn version(recent: &Recent, number: usize) -> Option<u64> {
        recent
            .find(&scope(), &key(number))
            .map(|entry| entry.version)
    }

    #[test]
    fn what_is_being_committed_is_not_told_and_then_told_as_written() {
        let recent = Recent::new();
        recent.end_commit(vec![written(1, 1), written(2, 2)]);
        let group = vec![written(1, 3), Touched::Gone(scope(), key(2))];
        recent.begin_commit(&group);
        assert_eq!([1, 2].map(|it| version(&recent, it)), [None, None]);
        recent.end_commit(group);
        assert_eq!([1, 2].map(|it| version(&recent, it)), [Some(3), None]);
        recent.end_commit(vec![Touched::ScopeGone(scope()), written(4, 5)]);
        assert_eq!([1, 4].map(|it| version(&recent, it)), [None, Some(5)]);
    }

    #[test]
    fn what_a_reader_found_is_kept_unless_a_commit_has_begun_since() {
        let recent = Recent::new();
        let look = recent.look();
        recent.found(look, &scope(), &key(1), &entry(1, 1));
        assert_eq!(version(&recent, 1), Some(1));
        let before = recent.look();
        recent.begin_commit(&[Touched::Gone(scope(), key(2))]);
        let during = recent.look();
        let found = |look| recent.found(look, &scope(), &key(2), &entry(2, 1));
        found(before);
        found(during);
        recent.end_commit(Vec::new());
        found(before);
        found(during);
        assert_eq!(version(&recent, 2), None);
    }

    #[test]
    fn a_large_value_takes_the_place_of_what_was_kept_and_is_not_kept() {
        let recent = Recent::new();
        recent.end_commit(vec![written(1, 1)]);
        let large = Touched::Written(scope(), key(1), entry(2, VALUE_BYTES + 1));
        recent.end_commit(vec![large]);
        assert_eq!(version(&recent, 1), None);
    }
}

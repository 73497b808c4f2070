//! Values that are kept in memory beside the database: those that the table of values does not have
//! yet, and of the others those that were written or read lately.
//!
//! What is told from here is what the database would tell. A group hands over what it comes to before
//! it is committed, and it is taken in when the commit is done, before anybody is answered. Between the two nobody can
//! know from here whether the commit is seen: who wants one of these keys is told both values, and
//! asks the database for the number of commits. What a reader finds in the table is taken in only if no commit has
//! begun since before it looked.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ahead::{Ahead, AsOf, Range};
use super::generations::Generations;
use super::outcome::Outcome;
use super::place::{At, Place};
use super::row::{Entry, Found};
use crate::names::{Key, Scope};

/// What is kept at most of values that the table has.
const BYTES: usize = 64 << 20;
/// A larger value is not kept.
pub(super) const VALUE_BYTES: usize = 64 << 10;

/// The values, shared by the writer and everybody who reads.
#[derive(Debug)]
pub(super) struct Recent(Mutex<Held>);

#[derive(Debug)]
struct Held {
    /// None of them is in `settled` too.
    ahead: Ahead,
    settled: Generations<Kept>,
    under_way: Option<UnderWay>,
    /// The sequences of scopes of which something was or is ahead, as of the last commit that is done.
    sequences: HashMap<Scope, u64>,
    /// How often a commit has begun.
    begun: u64,
}

/// A commit that has begun and not ended.
#[derive(Debug)]
struct UnderWay {
    /// How many commits the database has when it is done.
    commits: u64,
    /// The sequences of the scopes that it changes.
    sequences: Vec<(Scope, u64)>,
    outcome: Outcome,
}

/// A value with the checksum of its row.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) entry: Entry,
    pub(super) checksum: u32,
}

impl Kept {
    /// What a write has to know of it.
    pub(super) fn found(&self) -> Found {
        Found {
            version: self.entry.version,
            checksum: self.checksum,
            has_time: self.entry.expires.is_some(),
        }
    }
}

/// What is known of a key.
#[derive(Debug)]
pub(super) enum Look {
    Kept(Entry),
    /// The table has its value, if it has one.
    Unknown(Since),
    /// It depends on whether the database has this many commits.
    UnderWay {
        commits: u64,
        /// The value before; without one it is as the table has it.
        before: Option<Entry>,
        after: Option<Entry>,
    },
}

/// Says that somebody looks at the database from here on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since(u64);

/// How much is ahead of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Recent {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Held {
            ahead: Ahead::default(),
            settled: Generations::new(BYTES),
            under_way: None,
            sequences: HashMap::new(),
            begun: 0,
        }))
    }

    /// The value of a key, if that can be told without the database.
    pub(super) fn find(&self, at: At<'_>) -> Option<Entry> {
        let mut held = self.held();
        if held.is_under_way(at) {
            return None;
        }
        held.find(at).map(|kept| kept.entry)
    }

    pub(super) fn look(&self, at: At<'_>) -> Look {
        let mut held = self.held();
        let before = held.find(at).map(|kept| kept.entry);
        if let Some(under_way) = &held.under_way
            && let Some(after) = under_way.outcome.find(at)
        {
            return Look::UnderWay {
                commits: under_way.commits,
                before,
                after: after.map(|written| written.kept.entry.clone()),
            };
        }
        match before {
            Some(entry) => Look::Kept(entry),
            None => Look::Unknown(Since(held.begun)),
        }
    }

    /// Keeps what somebody has found in the table, if it is still so.
    pub(super) fn found(&self, since: Since, at: At<'_>, entry: &Entry) {
        let mut held = self.held();
        let is_present = held.begun == since.0 && held.under_way.is_none();
        if is_present && !held.settled.has(at) && held.ahead.find(at).is_none() {
            let checksum = entry.checksum(at.scope.as_str(), at.key.as_str());
            let entry = entry.clone();
            held.settle(at.to_place(), Kept { entry, checksum });
        }
    }

    /// What a write has to know of a key, if it is known: as it is between two groups.
    pub(super) fn present(&self, at: At<'_>) -> Option<Found> {
        self.held().find(at).map(|kept| kept.found())
    }

    /// The value of a key that is ahead of the table.
    pub(super) fn ahead(&self, at: At<'_>) -> Option<Kept> {
        self.held().ahead.find(at).cloned()
    }

    pub(super) fn extent(&self) -> Extent {
        let held = self.held();
        Extent {
            count: held.ahead.count(),
            bytes: held.ahead.bytes(),
        }
    }

    /// The places whose values are ahead of the table, the last ones first.
    pub(super) fn places_ahead(&self) -> Vec<Place> {
        let held = self.held();
        let mut places: Vec<_> = held.ahead.iter().map(|(place, _)| place.clone()).collect();
        drop(held);
        places.sort_unstable_by(|one, other| other.cmp(one));
        places
    }

    /// Those of these whose values are still ahead, with their values.
    pub(super) fn still_ahead(
        &self,
        places: impl ExactSizeIterator<Item = Place>,
    ) -> Vec<(Place, Kept)> {
        let mut ahead = Vec::with_capacity(places.len());
        let held = self.held();
        ahead.extend(places.filter_map(|place| {
            let kept = held.ahead.find(place.at())?.clone();
            Some((place, kept))
        }));
        ahead
    }

    /// The values of a scope that are ahead.
    pub(super) fn scope_ahead(&self, scope: &Scope) -> Vec<(Place, Kept)> {
        let held = self.held();
        let of_scope = held.ahead.iter().filter(|(place, _)| place.scope == *scope);
        of_scope
            .map(|(place, kept)| (place.clone(), kept.clone()))
            .collect()
    }

    /// The first values of a part of a scope that are ahead, before a look at the database. `None`: none
    /// ever was.
    pub(super) fn first_ahead(
        &self,
        scope: &Scope,
        range: Range<'_>,
    ) -> Option<AsOf<Vec<(Key, Entry)>>> {
        let held = self.held();
        Some(AsOf {
            sequence: *held.sequences.get(scope)?,
            known: held.ahead.first(scope, range),
        })
    }

    /// The version of a value if it is ahead, before a look at the database. `None`: nothing of its
    /// scope ever was.
    pub(super) fn version_ahead(&self, at: At<'_>) -> Option<AsOf<Option<u64>>> {
        let held = self.held();
        Some(AsOf {
            sequence: *held.sequences.get(at.scope)?,
            known: held.ahead.find(at).map(|kept| kept.entry.version),
        })
    }

    /// Says what the commit that begins now comes to, and the sequences of the scopes that it changes.
    pub(super) fn begin_commit(
        &self,
        commits: u64,
        sequences: Vec<(Scope, u64)>,
        outcome: Outcome,
    ) {
        let mut held = self.held();
        held.begun += 1;
        held.under_way = Some(UnderWay {
            commits,
            sequences,
            outcome,
        });
    }

    /// The commit that had begun is done.
    pub(super) fn end_commit(&self) {
        let mut held = self.held();
        if let Some(done) = held.under_way.take() {
            held.sequences.extend(done.sequences);
            held.take_in(done.outcome);
        }
    }

    /// The commit that had begun, if one had, came to nothing.
    pub(super) fn undo_commit(&self) {
        self.held().under_way = None;
    }

    /// What a panic leaves behind is whole, or a commit that seems to be under way.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn is_under_way(&self, at: At<'_>) -> bool {
        let under_way = self.under_way.as_ref();
        under_way.is_some_and(|it| it.outcome.find(at).is_some())
    }

    fn find(&mut self, at: At<'_>) -> Option<Kept> {
        match self.ahead.find(at) {
            Some(kept) => Some(kept.clone()),
            None => self.settled.find(at),
        }
    }

    fn take_in(&mut self, outcome: Outcome) {
        for (place, version) in outcome.folded {
            if let Some(kept) = self.ahead.take_version(place.at(), version) {
                self.settle(place, kept);
            }
        }
        for scope in outcome.gone {
            self.ahead.take_scope(&scope);
            self.settled.forget_scope(&scope);
        }
        for scope in outcome.folded_scopes {
            for (place, kept) in self.ahead.take_scope(&scope) {
                self.settle(place, kept);
            }
        }
        for (place, written) in outcome.values {
            match written {
                Some(written) if !written.is_folded => {
                    self.settled.forget(place.at());
                    self.ahead.put(place, written.kept);
                }
                Some(written) => {
                    self.ahead.take(place.at());
                    self.settle(place, written.kept);
                }
                None => {
                    self.ahead.take(place.at());
                    self.settled.forget(place.at());
                }
            }
        }
    }

    fn settle(&mut self, place: Place, kept: Kept) {
        let bytes = kept.entry.value.len();
        if bytes > VALUE_BYTES {
            self.settled.forget(place.at());
        } else {
            self.settled.put(place, kept, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::outcome::Written;
    use super::*;
    use crate::value::Value;

    fn scope() -> Scope {
        Scope::kept("org.example")
    }

    fn key(number: usize) -> Key {
        Key::kept(&format!("key/{number}"))
    }

    fn place(number: usize) -> Place {
        Place {
            scope: scope(),
            key: key(number),
        }
    }

    fn entry(version: u64, bytes: usize) -> Entry {
        Entry {
            value: Value::Json(Bytes::from(vec![b'1'; bytes])),
            version,
            timestamp: 1,
            expires: None,
        }
    }

    fn write(outcome: &mut Outcome, number: usize, version: u64, is_folded: bool) {
        let entry = entry(version, 1);
        let kept = Kept { entry, checksum: 0 };
        outcome.write(place(number), Written { kept, is_folded });
    }

    fn commit(recent: &Recent, change: impl FnOnce(&mut Outcome)) {
        let mut outcome = Outcome::default();
        change(&mut outcome);
        recent.begin_commit(1, Vec::new(), outcome);
        recent.end_commit();
    }

    fn version(recent: &Recent, number: usize) -> Option<u64> {
        recent.find(place(number).at()).map(|entry| entry.version)
    }

    #[test]
    fn what_is_being_committed_is_told_with_what_it_depends_on_and_then_as_written() {
        let recent = Recent::new();
        commit(&recent, |outcome| {
            write(outcome, 1, 1, true);
            write(outcome, 2, 2, false);
        });
        assert_eq!([1, 2].map(|it| version(&recent, it)), [Some(1), Some(2)]);
        let mut outcome = Outcome::default();
        write(&mut outcome, 1, 3, false);
        outcome.remove(place(2));
        recent.begin_commit(7, Vec::new(), outcome);
        assert_eq!([1, 2].map(|it| version(&recent, it)), [None, None]);
        for (number, before, after) in [(1, 1, Some(3)), (2, 2, None)] {
            let Look::UnderWay {
                commits,
                before: found,
                after: coming,
            } = recent.look(place(number).at())
            else {
                panic!("it is under way");
            };
            assert_eq!(commits, 7);
            assert_eq!(found.map(|entry| entry.version), Some(before));
            assert_eq!(coming.map(|entry| entry.version), after);
        }
        recent.end_commit();
        assert_eq!([1, 2].map(|it| version(&recent, it)), [Some(3), None]);
        commit(&recent, |outcome| {
            outcome.remove_scope(&scope());
            write(outcome, 4, 5, false);
        });
        assert_eq!([1, 4].map(|it| version(&recent, it)), [None, Some(5)]);
    }

    #[test]
    fn a_commit_that_came_to_nothing_leaves_what_was_there() {
        let recent = Recent::new();
        commit(&recent, |outcome| write(outcome, 1, 1, false));
        let mut outcome = Outcome::default();
        write(&mut outcome, 1, 2, false);
        recent.begin_commit(2, Vec::new(), outcome);
        recent.undo_commit();
        assert_eq!(version(&recent, 1), Some(1));
        assert_eq!(recent.extent().count, 1);
    }

    #[test]
    fn what_is_in_the_table_is_no_longer_ahead_unless_it_was_written_again() {
        let recent = Recent::new();
        commit(&recent, |outcome| {
            for number in 0..3 {
                write(outcome, number, 1, false);
            }
        });
        commit(&recent, |outcome| {
            outcome.folded = (0..2).map(|it| (place(it), 1)).collect();
            write(outcome, 1, 2, false);
        });
        assert_eq!(recent.places_ahead(), [2, 1].map(place));
        assert_eq!(version(&recent, 0), Some(1));
        assert_eq!(version(&recent, 1), Some(2));
        commit(&recent, |outcome| {
            outcome.fold_scope(&scope());
            write(outcome, 2, 3, false);
        });
        assert_eq!(recent.places_ahead(), [place(2)]);
        commit(&recent, |outcome| write(outcome, 2, 4, true));
        let Extent { count, bytes } = recent.extent();
        assert_eq!((count, bytes), (0, 0));
        assert_eq!(version(&recent, 2), Some(4));
    }

    #[test]
    fn what_a_reader_found_is_kept_unless_a_commit_has_begun_since() {
        let recent = Recent::new();
        let since = || match recent.look(place(2).at()) {
            Look::Unknown(since) => since,
            Look::Kept(_) | Look::UnderWay { .. } => panic!("something is known of it"),
        };
        recent.found(since(), place(1).at(), &entry(1, 1));
        assert_eq!(version(&recent, 1), Some(1));
        let before = since();
        recent.begin_commit(1, Vec::new(), Outcome::default());
        let during = since();
        let found = |since| recent.found(since, place(2).at(), &entry(2, 1));
        found(before);
        found(during);
        assert_eq!(version(&recent, 2), None);
        recent.end_commit();
        found(before);
        assert_eq!(version(&recent, 2), None);
    }

    #[test]
    fn a_large_value_takes_the_place_of_what_was_kept_and_is_not_kept() {
        let recent = Recent::new();
        commit(&recent, |outcome| write(outcome, 1, 1, true));
        commit(&recent, |outcome| {
            let entry = entry(2, VALUE_BYTES + 1);
            let kept = Kept { entry, checksum: 0 };
            let is_folded = true;
            outcome.write(place(1), Written { kept, is_folded });
        });
        assert_eq!(version(&recent, 1), None);
    }
}

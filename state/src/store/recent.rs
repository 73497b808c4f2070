//! Values that are kept in memory beside the database: those that the table of values does not have
//! yet, and of the others those that were written or read lately.
//!
//! What is told from here is on disk. A group hands over what it comes to before it is committed. Until it is synced only
//! the writer, which decides the groups after it, looks at that; then everybody does, before anybody is answered, and it is
//! taken in bit by bit. What a reader finds in the table is taken in if nothing was since before it looked, and nothing is on its
//! way that is about the same key.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ahead::{Ahead, AsOf, Range};
use super::generations::Generations;
use super::outcome::{Outcome, Written};
use super::place::{At, Place};
use super::row::{Entry, Found};
use crate::names::{Key, Scope};

/// What is kept at most of values that the table has.
const BYTES: usize = 64 << 20;
/// How many values are taken in while nobody may look.
const PART: usize = 32;
/// A larger value is not kept.
pub(super) const VALUE_BYTES: usize = 64 << 10;

/// The values, shared by the writer and everybody who reads.
#[derive(Debug)]
pub(super) struct Recent(Mutex<Held>);

#[derive(Debug)]
struct Held {
    known: Known,
    /// The oldest first.
    under_way: VecDeque<UnderWay>,
    /// The sequences of scopes of which something was or is ahead, as of the last group that was taken in.
    sequences: HashMap<Scope, u64>,
    /// How many groups were synced.
    synced: u64,
}

/// What was taken in.
#[derive(Debug)]
struct Known {
    /// None of them is in `settled` too.
    ahead: Ahead,
    settled: Generations<Kept>,
}

/// What a group comes to that was not taken in yet.
#[derive(Debug)]
struct UnderWay {
    /// Whether it is on disk.
    is_synced: bool,
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
    Unknown {
        since: Since,
        /// As of when it is not ahead of the table; unknown when nothing of its scope ever was.
        ahead: Option<AsOf<Option<u64>>>,
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
            known: Known {
                ahead: Ahead::default(),
                settled: Generations::new(BYTES),
            },
            under_way: VecDeque::new(),
            sequences: HashMap::new(),
            synced: 0,
        }))
    }

    /// The value of a key, if that can be told without the database.
    pub(super) fn find(&self, at: At<'_>) -> Option<Entry> {
        self.held().find(at).map(|kept| kept.entry)
    }

    pub(super) fn look(&self, at: At<'_>) -> Look {
        let mut held = self.held();
        match held.find(at) {
            Some(kept) => Look::Kept(kept.entry),
            None => Look::Unknown {
                since: Since(held.synced),
                ahead: held.version_ahead(at),
            },
        }
    }

    /// Keeps what somebody has found in the table, if it is so and on disk.
    pub(super) fn found(&self, since: Since, at: At<'_>, entry: &Entry) {
        let mut held = self.held();
        let is_present = held.synced == since.0 && held.coming(at).is_none();
        if is_present && !held.known.settled.has(at) && held.known.ahead.find(at).is_none() {
            let checksum = entry.checksum(at.scope.as_str(), at.key.as_str());
            let entry = entry.clone();
            held.known.settle(at.to_place(), Kept { entry, checksum });
        }
    }

    /// What a write has to know of a key, as the last group has left it; if it is not known, the table has it.
    pub(super) fn present(&self, at: At<'_>) -> Option<Found> {
        let mut held = self.held();
        if let Some(coming) = held.coming(at) {
            return coming.map(|written| written.kept.found());
        }
        match held.known.ahead.find(at) {
            Some(kept) => Some(kept.found()),
            None => held.known.settled.find(at).map(|kept| kept.found()),
        }
    }

    /// The value of a key that is ahead of the table, as the last group has left it.
    pub(super) fn ahead(&self, at: At<'_>) -> Option<Kept> {
        self.held().present_ahead(at).cloned()
    }

    /// How much is ahead, about.
    pub(super) fn extent(&self) -> Extent {
        let held = self.held();
        let coming = held.under_way.iter().map(|it| it.outcome.values.len());
        Extent {
            count: held.known.ahead.count() + coming.sum::<usize>(),
            bytes: held.known.ahead.bytes(),
        }
    }

    /// The places whose values are ahead of the table, as the last group has left it; the last ones first.
    pub(super) fn places_ahead(&self) -> Vec<Place> {
        let mut places = self.held().places_ahead(|_| true);
        places.sort_unstable_by(|one, other| other.cmp(one));
        places.dedup();
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
            let kept = held.present_ahead(place.at())?.clone();
            Some((place, kept))
        }));
        ahead
    }

    /// The values of a scope that are ahead, as the last group has left it.
    pub(super) fn scope_ahead(&self, scope: &Scope) -> Vec<(Place, Kept)> {
        let mut places = self.held().places_ahead(|place| place.scope == *scope);
        places.sort_unstable();
        places.dedup();
        self.still_ahead(places.into_iter())
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
            known: held.known.ahead.first(scope, range),
        })
    }

    /// The version of a value if it is ahead, before a look at the database. `None`: nothing of its
    /// scope ever was.
    pub(super) fn version_ahead(&self, at: At<'_>) -> Option<AsOf<Option<u64>>> {
        self.held().version_ahead(at)
    }

    /// Says what the commit that begins now comes to, and the sequences of the scopes that it changes.
    pub(super) fn begin_commit(&self, sequences: Vec<(Scope, u64)>, outcome: Outcome) {
        let coming = UnderWay {
            is_synced: false,
            sequences,
            outcome,
        };
        self.held().under_way.push_back(coming);
    }

    /// The commit that had begun last came to nothing.
    pub(super) fn undo_commit(&self) {
        drop(self.held().under_way.pop_back());
    }

    /// The first commit that is under way is on disk, and seen by everybody from here on.
    pub(super) fn show_commit(&self) {
        let mut held = self.held();
        held.synced += 1;
        if let Some(first) = held.under_way.front_mut() {
            first.is_synced = true;
        }
    }

    /// Takes in the first commit that is under way, which is shown. Others may look between its parts.
    pub(super) fn take_in(&self) {
        while self.held().take_in_part() {}
    }

    /// What a panic leaves behind is whole, or lacks what nobody was answered.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn version_ahead(&self, at: At<'_>) -> Option<AsOf<Option<u64>>> {
        Some(AsOf {
            sequence: *self.sequences.get(at.scope)?,
            known: self.known.ahead.find(at).map(|kept| kept.entry.version),
        })
    }

    /// What becomes of a key by what is under way, if anything; inside: its value, if it has one then.
    fn coming(&self, at: At<'_>) -> Option<Option<&Written>> {
        let mut latest_first = self.under_way.iter().rev();
        latest_first.find_map(|it| it.outcome.find(at))
    }

    /// The value of a key that is ahead of the table when all that is under way is done.
    fn present_ahead(&self, at: At<'_>) -> Option<&Kept> {
        match self.coming(at) {
            Some(coming) => coming
                .filter(|written| !written.is_folded)
                .map(|written| &written.kept),
            None => self.known.ahead.find(at),
        }
    }

    /// Where values are ahead, or will be, some of them twice, or no longer.
    fn places_ahead(&self, is_wanted: impl Fn(&Place) -> bool) -> Vec<Place> {
        let held = self.known.ahead.iter().map(|(place, _)| place);
        let coming = self.under_way.iter().flat_map(|it| it.outcome.ahead());
        let places = held.chain(coming).filter(|place| is_wanted(place));
        places.cloned().collect()
    }

    fn find(&mut self, at: At<'_>) -> Option<Kept> {
        let shown = self.under_way.front().filter(|first| first.is_synced);
        if let Some(written) = shown.and_then(|shown| shown.outcome.find(at)) {
            return written.map(|written| written.kept.clone());
        }
        match self.known.ahead.find(at) {
            Some(kept) => Some(kept.clone()),
            None => self.known.settled.find(at),
        }
    }

    /// Takes in a part of the first commit that is under way, and says whether there is more of it.
    fn take_in_part(&mut self) -> bool {
        let Some(first) = self.under_way.front_mut() else {
            return false;
        };
        let outcome = &mut first.outcome;
        // A scope that is gone hides what it had from those who look at the rest.
        let most = if outcome.gone.is_empty() {
            PART
        } else {
            usize::MAX
        };
        self.known.move_and_forget(outcome);
        for (place, written) in outcome.values.extract_if(|_, _| true).take(most) {
            self.known.take_value(place, written);
        }
        let has_more = !outcome.values.is_empty();
        if !has_more && let Some(done) = self.under_way.pop_front() {
            self.sequences.extend(done.sequences);
        }
        has_more
    }
}

impl Known {
    /// Does once what an outcome says of values that were there before.
    fn move_and_forget(&mut self, outcome: &mut Outcome) {
        for (place, version) in mem::take(&mut outcome.folded) {
            if let Some(kept) = self.ahead.take_version(place.at(), version) {
                self.settle(place, kept);
            }
        }
        for scope in mem::take(&mut outcome.gone) {
            self.ahead.take_scope(&scope);
            self.settled.forget_scope(&scope);
        }
        for scope in mem::take(&mut outcome.folded_scopes) {
            for (place, kept) in self.ahead.take_scope(&scope) {
                self.settle(place, kept);
            }
        }
    }

    fn take_value(&mut self, place: Place, written: Option<Written>) {
        match written {
            Some(written) if !written.is_folded => {
                if let Err(kept) = self.ahead.replace(place.at(), written.kept) {
                    self.settled.forget(place.at());
                    self.ahead.add(place, kept);
                }
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
mod tests;

//! How the table of values follows the history.
//!
//! A value that is set is on disk as soon as its change is: with the changes of its group, next to each
//! other. Its row in the table of values, which lies somewhere else for each key, is written later,
//! with the rows beside it: the values that are ahead of the table are written in the order of their keys,
//! in *sweeps* from the first to the last, a part with each group. A scope says up to which of its changes the table has all of
//! it; what came later is read from the history when a store is opened.
//!
//! Ahead are only values without a time to stay that take the place of none that has one. What expires is
//! looked for in the table, so all that is about time is written there at once, and so are deletions.

use std::collections::BTreeSet;
use std::mem;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Statement};

use super::statements::PUT;
use super::{Now, Writer};
use crate::names::{Key, Scope};
use crate::store::Fault;
use crate::store::place::{At, Place};
use crate::store::recent::{Extent, Kept, VALUE_BYTES};
use crate::store::row::{Change, Event, Found, ScopeRow, Stored};
use crate::value::Value;

/// What values that are ahead may take in memory before a sweep begins.
const AHEAD_BYTES: usize = 16 << 20;
/// What they may take before a sweep is done at once.
const MOST_AHEAD_BYTES: usize = 64 << 20;
/// A sweep begins at least in so many times of [`Options::rest`](crate::store::Options), however few values are ahead.
const RESTS: u32 = 40;
/// The fewest values that are written in a millisecond of a sweep.
const PER_MILLISECOND: usize = 16;

/// What is left to be written into the table of values.
#[derive(Debug, Default)]
pub(super) struct Folding {
    /// Scopes that have got values ahead since the last sweep began.
    behind: BTreeSet<Scope>,
    sweep: Option<Sweep>,
    /// How many keys the last group was about.
    pub(super) last_group: usize,
    /// When the last group began.
    last_began: Option<Instant>,
    /// When the last sweep began.
    last_swept: Option<Instant>,
    /// The table is damaged: nothing is to get ahead of it any more.
    is_off: bool,
}

/// A way along everything that is ahead.
#[derive(Debug)]
struct Sweep {
    /// What is to come, the last ones first.
    places: Vec<Place>,
    /// Up to where scopes are in the table when it is over.
    marks: Vec<(Scope, u64)>,
}

impl Folding {
    /// Notes that a scope gets a value ahead of the table.
    pub(super) fn expect(&mut self, scope: &Scope) {
        if !self.behind.contains(scope) {
            self.behind.insert(scope.clone());
        }
    }

    /// Forgets the sweep; the next one begins anew.
    pub(super) fn give_up_sweep(&mut self) {
        if let Some(sweep) = self.sweep.take() {
            let scopes = sweep.marks.into_iter().map(|(scope, _)| scope);
            self.put_back(scopes);
        }
    }

    /// Notes that these scopes are still behind.
    pub(super) fn put_back(&mut self, scopes: impl IntoIterator<Item = Scope>) {
        self.behind.extend(scopes);
    }
}

impl Writer<'_> {
    /// Whether a value that is set need not be in the table at once.
    pub(super) fn may_be_ahead(
        &self,
        value: &Value,
        expires: Option<i64>,
        present: Option<Found>,
    ) -> bool {
        let has_time = expires.is_some() || present.is_some_and(|found| found.has_time);
        !self.folding.is_off && !has_time && value.len() <= VALUE_BYTES
    }

    /// Writes a part of what is ahead, as much as groups put there. Comes first in a group.
    pub(super) fn fold_some(&mut self, now: Now) -> Result<(), Fault> {
        let since = self.since_last_group(now);
        self.folding.last_began = Some(now.instant);
        let swept = *self.folding.last_swept.get_or_insert(now.instant);
        let is_overdue = now.instant.saturating_duration_since(swept) >= RESTS * self.options.rest;
        let Extent { count, bytes } = self.recent.extent();
        let is_time = count >= self.options.ahead || bytes >= AHEAD_BYTES || is_overdue;
        if is_time && self.folding.sweep.is_none() {
            self.folding.last_swept = Some(now.instant);
            self.begin_sweep();
        }
        let since = usize::try_from(since.as_millis()).unwrap_or(usize::MAX);
        let due = PER_MILLISECOND.saturating_mul(since);
        let part = if bytes >= MOST_AHEAD_BYTES {
            usize::MAX
        } else {
            (2 * self.folding.last_group).max(due)
        };
        self.sweep_on(part)
    }

    fn since_last_group(&self, now: Now) -> Duration {
        let last = self.folding.last_began.unwrap_or(now.instant);
        now.instant.saturating_duration_since(last)
    }

    /// Whether nobody has written for a while.
    pub(super) fn is_at_rest(&self, now: Now) -> bool {
        self.since_last_group(now) >= self.options.rest
    }

    /// Writes all that is ahead, in a group of its own, if there is anything.
    pub(super) fn fold_the_rest(&mut self, now: Now) -> Result<(), Fault> {
        self.folding.give_up_sweep();
        if self.folding.is_off || self.folding.behind.is_empty() {
            return Ok(());
        }
        let outcome = self.fold_all(now);
        self.end_upkeep(outcome)
    }

    fn fold_all(&mut self, now: Now) -> Result<(), Fault> {
        self.statements.begin.execute([])?;
        self.begin_sweep();
        self.sweep_on(usize::MAX)?;
        self.end_group(now)?;
        self.commit()
    }

    fn begin_sweep(&mut self) {
        if self.folding.is_off || self.folding.behind.is_empty() {
            return;
        }
        let scopes = mem::take(&mut self.folding.behind).into_iter();
        let marks = scopes.filter_map(|scope| {
            let sequence = self.scopes.get(&scope)?.sequence;
            Some((scope, sequence))
        });
        let marks = marks.collect();
        let places = self.recent.places_ahead();
        self.folding.sweep = Some(Sweep { places, marks });
    }

    /// Writes the next so many values of the sweep.
    fn sweep_on(&mut self, most: usize) -> Result<(), Fault> {
        let Some(mut sweep) = self.folding.sweep.take() else {
            return Ok(());
        };
        let from = sweep.places.len().saturating_sub(most);
        let part = sweep.places.drain(from..).rev();
        for (place, kept) in self.recent.still_ahead(part) {
            let written = self.write_row(place.at(), &kept);
            if let Err(Fault::Damaged { place }) = &written {
                // What was acknowledged cannot be put into its place.
                self.folding.is_off = true;
                self.shared.show_damage(place);
            }
            written?;
            let version = kept.entry.version;
            self.group.outcome.folded.push((place, version));
        }
        if sweep.places.is_empty() {
            self.end_sweep(sweep.marks);
        } else {
            self.folding.sweep = Some(sweep);
        }
        Ok(())
    }

    fn end_sweep(&mut self, marks: Vec<(Scope, u64)>) {
        for (scope, mark) in marks {
            let is_behind = self.folding.behind.contains(&scope);
            if let Some(row) = self.change_scope(&scope) {
                let folded = if is_behind { mark } else { row.sequence };
                row.folded = row.folded.max(folded);
            }
            self.group.swept.push(scope);
        }
    }

    /// Sees to it that the table of values needs no change of a scope up to a sequence.
    pub(super) fn fold_up_to(&mut self, scope: &Scope, sequence: u64) -> Result<(), Fault> {
        match self.scopes.get(scope) {
            Some(row) if row.folded < sequence => self.fold_scope(scope),
            Some(_) | None => Ok(()),
        }
    }

    /// Writes all values of a scope that are ahead, those of this group too.
    pub(super) fn fold_scope(&mut self, scope: &Scope) -> Result<(), Fault> {
        let is_behind = |row: &ScopeRow| row.unfolded() > 0;
        if !self.scopes.get(scope).is_some_and(is_behind) {
            return Ok(());
        }
        let mut ahead = self.recent.scope_ahead(scope);
        ahead.retain(|(place, _)| self.group.outcome.find(place.at()).is_none());
        ahead.extend(self.group.outcome.fold_scope(scope));
        for (place, kept) in ahead {
            self.write_row(place.at(), &kept)?;
        }
        if let Some(row) = self.change_scope(scope) {
            row.folded = row.sequence;
        }
        Ok(())
    }

    /// Writes the row of a value.
    pub(super) fn write_row(&mut self, at: At<'_>, kept: &Kept) -> Result<(), Fault> {
        put(&mut self.statements.put, at.scope.as_str(), at.key, kept)
    }
}

fn put(
    statement: &mut Statement<'_>,
    scope: &str,
    key: &Key,
    Kept { entry, checksum }: &Kept,
) -> Result<(), Fault> {
    statement.execute((
        scope,
        key.as_str(),
        Stored(&entry.value),
        entry.timestamp,
        entry.version as i64,
        entry.value.content_type(),
        entry.expires,
        checksum,
    ))?;
    Ok(())
}

/// Brings the table of values to where the history is: in a store that nobody has open.
pub(in crate::store) fn fold_history(connection: &Connection) -> Result<(), Fault> {
    let sql = format!(
        "SELECT {} FROM scopes WHERE unfolded > 0",
        ScopeRow::COLUMNS
    );
    let mut scopes = Vec::new();
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        scopes.push(ScopeRow::read(row)?);
    }
    drop(rows);
    if scopes.is_empty() {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for (scope, mut row) in scopes {
        fold_changes(connection, &scope, &row)?;
        row.folded = row.sequence;
        let checksum = row.checksum(&scope);
        let sql = "UPDATE scopes SET unfolded = 0, checksum = ?2 WHERE number = ?1";
        connection
            .prepare_cached(sql)?
            .execute((row.number, checksum))?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// Does again to the table of values what a scope's last changes did.
fn fold_changes(connection: &Connection, scope: &str, row: &ScopeRow) -> Result<(), Fault> {
    let mut put_newer = connection.prepare_cached(&format!("{PUT} WHERE version < ?5"))?;
    let mut delete_older = connection
        .prepare_cached("DELETE FROM state WHERE scope = ?1 AND key = ?2 AND version < ?3")?;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM changes WHERE id > ?1 AND id <= ?2 ORDER BY id",
        Change::COLUMNS
    ))?;
    let mut rows = statement.query(row.ids(row.folded, row.sequence))?;
    let mut expected = row.folded;
    while let Some(found) = rows.next()? {
        let change = Change::read(found)?;
        expected += 1;
        if change.sequence != expected {
            break;
        }
        let Some(key) = &change.key else { continue };
        match change.event {
            Event::Set => {
                if let Some(kept) = change.kept(scope) {
                    put(&mut put_newer, scope, key, &kept)?;
                }
            }
            Event::Delete | Event::Expire => {
                delete_older.execute((scope, key.as_str(), change.sequence as i64))?;
            }
            Event::CreateScope | Event::DeleteScope => {}
        }
    }
    if expected == row.sequence {
        Ok(())
    } else {
        Err(Fault::damaged(format!(
            "change {} of {scope}",
            expected + 1
        )))
    }
}

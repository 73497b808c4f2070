//! What the writer does without being asked: values whose time has passed, history that is too
//! old or too long, answers that nobody will ask for again, and the WAL, which is brought into the database.

use std::fs;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::Ordering;

use rusqlite::wal::CheckpointMode;

use super::past::Surplus;
use super::{Now, Writer};
use crate::names::{Key, Scope};
use crate::store::clock::signed;
use crate::store::row::{Entry, Event, Found, change_id};
use crate::store::{Fault, beside};

/// The most values that expire in one group.
const EXPIRED: i64 = 1_000;
/// By how much a history is longer than it should be before it is shortened: an eighth, within these.
const SLACK: u64 = 1_024;
const LEAST_SLACK: u64 = 4;
/// The most changes, and answers, that are forgotten at once.
pub(super) const FORGOTTEN: u64 = 4_096;
/// How many scopes are looked at in one round of the upkeep.
const SCOPES: usize = 256;

impl Writer<'_> {
    pub(super) fn read_next_due(&self) -> Result<Option<i64>, Fault> {
        let sql = "SELECT min(expires) FROM state WHERE expires IS NOT NULL";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Removes values whose time has passed.
    pub(super) fn expire_due(&mut self, now: Now) -> Result<(), Fault> {
        if self.next_due.is_none_or(|due| due > now.clock) {
            return Ok(());
        }
        let due = self.due(now)?;
        for (scope, key, found) in due {
            self.remove(&scope, &key, found, Event::Expire, 0, now)?;
        }
        self.next_due = self.read_next_due()?;
        Ok(())
    }

    fn due(&self, now: Now) -> Result<Vec<(Scope, Key, Found)>, Fault> {
        let sql = format!(
            "SELECT {}, scope, key FROM state WHERE expires IS NOT NULL AND expires <= ?1
             ORDER BY expires LIMIT {EXPIRED}",
            Entry::COLUMNS
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([now.clock])?;
        let mut due = Vec::new();
        while let Some(row) = rows.next()? {
            let scope = row.get_ref(6)?.as_str()?;
            let key = row.get_ref(7)?.as_str()?;
            let found = Found::read(row, scope, key)?;
            due.push((Scope::kept(scope), Key::kept(key), found));
        }
        Ok(due)
    }

    /// Shortens the histories that this group has made too long.
    pub(super) fn shorten_histories(&mut self, now: Now) -> Result<(), Fault> {
        let most = self.options.history_count;
        let slack = (most / 8).clamp(LEAST_SLACK, SLACK);
        let mut too_long = Vec::new();
        for (scope, before) in &self.group.before {
            let Some(row) = self.scopes.get(scope) else {
                continue;
            };
            if row.sequence - row.floor > most.saturating_add(slack) {
                // What another configuration has left is forgotten bit by bit.
                let begun = before.as_ref().map_or(0, |before| before.sequence);
                let bound = FORGOTTEN.max(2 * (row.sequence - begun));
                let floor = (row.sequence - most).min(row.floor + bound);
                too_long.push((scope.clone(), floor));
            }
        }
        for (scope, floor) in too_long {
            self.shorten(&scope, floor, now)?;
        }
        Ok(())
    }

    /// Forgets what is too old. A group of its own, when there is anything.
    pub(super) fn keep_up(&mut self, now: Now) -> Result<(), Fault> {
        match self.forget_what_is_due(now) {
            Ok(true) => self.end_upkeep(Ok(())),
            Ok(false) => Ok(()),
            Err(fault) => self.end_upkeep(Err(fault)),
        }
    }

    /// Says whether there was anything, which has been committed then.
    fn forget_what_is_due(&mut self, now: Now) -> Result<bool, Fault> {
        let round = self.next_round();
        let surplus = self.find_surplus(&round, now)?;
        let mut to_forget = Vec::new();
        for scope in round {
            if let Some(floor) = self.aged(&scope, now)? {
                to_forget.push((scope, floor));
            }
        }
        let has_answers = self.has_old_answers(now)?;
        let is_refusing = self.shared.is_refusing();
        let is_due = !to_forget.is_empty() || !surplus.is_empty() || has_answers || is_refusing;
        if is_due {
            self.forget(&to_forget, &surplus, has_answers, now)?;
        }
        self.pass_surplus(&surplus);
        Ok(is_due)
    }

    /// Ends a group that nobody waits for.
    pub(super) fn end_upkeep(&mut self, outcome: Result<(), Fault>) -> Result<(), Fault> {
        match outcome {
            Ok(()) => self.after_commit(Vec::new()),
            Err(fault @ (Fault::Full | Fault::Held | Fault::Damaged { .. })) => {
                self.roll_back()?;
                self.shared.show_refusing(&fault);
                Ok(())
            }
            Err(fault @ (Fault::Overtaken | Fault::Sqlite(_) | Fault::File(_))) => Err(fault),
        }
    }

    fn forget(
        &mut self,
        floors: &[(Scope, u64)],
        surplus: &Surplus,
        answers: bool,
        now: Now,
    ) -> Result<(), Fault> {
        self.statements.begin.execute([])?;
        self.drop_surplus(surplus)?;
        for (scope, floor) in floors {
            self.forget_up_to(scope, *floor)?;
        }
        if answers {
            self.forget_answers(now)?;
        }
        self.end_group(now)?;
        self.commit()
    }

    /// The scopes that this round of the upkeep looks at.
    fn next_round(&mut self) -> Vec<Scope> {
        let from = match &self.upkeep_from {
            Some(scope) => Bound::Excluded(scope.clone()),
            None => Bound::Unbounded,
        };
        let scopes = self.scopes.range((from, Bound::Unbounded));
        let round: Vec<Scope> = scopes
            .take(SCOPES)
            .map(|(scope, _)| scope.clone())
            .collect();
        self.upkeep_from = (round.len() == SCOPES)
            .then(|| round.last().cloned())
            .flatten();
        round
    }

    /// Up to where a scope's history is older than it should be, within what is forgotten at once.
    fn aged(&self, scope: &Scope, now: Now) -> Result<Option<u64>, Fault> {
        let Some(row) = self.scopes.get(scope) else {
            return Ok(None);
        };
        let oldest = self.clock.last_stamp(now.wall) - signed(self.options.history_age);
        let last = row.sequence.min(row.floor + FORGOTTEN);
        let sql = "SELECT max(id) FROM (SELECT id, timestamp FROM changes
                   WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1) WHERE timestamp < ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let (low, high) = row.ids(row.floor, last);
        let first: Option<i64> = statement.query_row((low, high, oldest), |row| row.get(0))?;
        if first.is_none() {
            return Ok(None);
        }
        let sql = "SELECT min(id) FROM changes WHERE id > ?1 AND id <= ?2 AND timestamp >= ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let kept: Option<i64> = statement.query_row((low, high, oldest), |row| row.get(0))?;
        Ok(Some(kept.map_or(last, |id| {
            crate::store::row::sequence_of(id).saturating_sub(1)
        })))
    }

    /// Forgets the changes of a scope from its floor up to a sequence.
    pub(super) fn forget_up_to(&mut self, scope: &Scope, floor: u64) -> Result<(), Fault> {
        self.fold_up_to(scope, floor)?;
        let Some(row) = self.change_scope(scope) else {
            return Ok(());
        };
        let (number, from) = (row.number, row.floor);
        row.floor = from.max(floor);
        self.forget_between(scope, number, (from, floor))
    }

    /// Forgets the changes of a scope after a sequence, up to another one.
    pub(super) fn forget_between(
        &self,
        scope: &Scope,
        number: i64,
        (after, up_to): (u64, u64),
    ) -> Result<(), Fault> {
        if after >= up_to {
            return Ok(());
        }
        let (low, high) = (change_id(number, after), change_id(number, up_to));
        let deletions = "DELETE FROM deleted WHERE scope = ?1 AND version <= ?4 AND key IN
             (SELECT key FROM changes WHERE id > ?2 AND id <= ?3 AND event IN (2, 3))";
        self.connection.prepare_cached(deletions)?.execute((
            scope.as_str(),
            low,
            high,
            up_to as i64,
        ))?;
        let changes = "DELETE FROM changes WHERE id > ?1 AND id <= ?2";
        self.connection
            .prepare_cached(changes)?
            .execute((low, high))?;
        Ok(())
    }

    fn has_old_answers(&self, now: Now) -> Result<bool, Fault> {
        let sql = "SELECT stamp FROM answers ORDER BY number LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let oldest = self.oldest_answer(now);
        Ok(match rows.next()? {
            Some(row) => row.get::<_, i64>(0)? < oldest,
            None => false,
        })
    }

    fn forget_answers(&mut self, now: Now) -> Result<(), Fault> {
        let sql = "DELETE FROM answers WHERE number < (SELECT min(number) FROM answers) + ?1
                   AND stamp < ?2";
        let oldest = self.oldest_answer(now);
        self.connection
            .prepare_cached(sql)?
            .execute((FORGOTTEN as i64, oldest))?;
        Ok(())
    }

    fn oldest_answer(&self, now: Now) -> i64 {
        now.clock - signed(self.options.retry_window)
    }

    pub(super) fn show_sizes(&self) {
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        let metrics = &self.shared.metrics;
        let database = &self.options.database;
        metrics.file_bytes.set(size(database).cast_signed());
        let wal = beside(database, "-wal");
        metrics.wal_bytes.set(size(&wal).cast_signed());
    }

    /// Brings the WAL into the database, as far as readers let it.
    pub(super) fn checkpoint(&mut self, mode: CheckpointMode) -> Result<(), Fault> {
        match self.connection.wal_checkpoint_v2(None::<&str>, mode) {
            Ok(_) => {
                self.wal_pages.store(0, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => match Fault::from(error) {
                Fault::Full => {
                    self.shared.show_refusing(&Fault::Full);
                    Ok(())
                }
                // A reader is in the way; the next one will do.
                Fault::Held => Ok(()),
                fault @ (Fault::Damaged { .. }
                | Fault::Overtaken
                | Fault::Sqlite(_)
                | Fault::File(_)) => Err(fault),
            },
        }
    }
}

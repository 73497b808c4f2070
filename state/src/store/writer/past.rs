//! What is kept of a history below its floor: the newest changes of each key.
//!
//! Such changes stay where they are when the log is shortened around them. A key's changes are a
//! chain, of which the newest part is kept, so that it is read on below the floor as above it.
//!
//! What is read here is not compared with its checksum: nothing is made of it but what goes and what stays.
//! A change that is damaged ends the chain of its key at worst, and is found by whoever tells it.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{CachedStatement, Connection};

use super::upkeep::FORGOTTEN;
use super::{Now, Writer};
use crate::names::{Key, Scope};
use crate::store::Fault;
use crate::store::clock::signed;
use crate::store::place::At;
use crate::store::row::{ScopeRow, change_id, scope_of, sequence_of};

/// Changes of the past that are to go.
#[derive(Debug, Default)]
pub(super) struct Surplus {
    /// By scope.
    ids: BTreeMap<Scope, Vec<i64>>,
    /// Up to where every change was looked at, once this is done; `None`: all of them.
    looked: Option<i64>,
}

impl Surplus {
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn add(&mut self, scope: &Scope, ids: Vec<i64>) {
        if !ids.is_empty() {
            self.ids.entry(scope.clone()).or_default().extend(ids);
        }
    }
}

/// What leaves the log of a key.
struct Leaving {
    /// From the oldest to the newest.
    sequences: Vec<u64>,
    /// The change before the oldest of them.
    before: u64,
}

impl Writer<'_> {
    /// Raises the floor of a scope to a sequence. The newest changes of each key stay.
    pub(super) fn shorten(&mut self, scope: &Scope, floor: u64, now: Now) -> Result<(), Fault> {
        if self.options.history_per_key == 0 {
            return self.forget_up_to(scope, floor);
        }
        self.fold_up_to(scope, floor)?;
        let Some(row) = self.scopes.get(scope).cloned() else {
            return Ok(());
        };
        let leaving = self.leaving(&row, floor)?;
        let mut kept = Vec::new();
        let mut surplus = Vec::new();
        let mut chains = Chains::new(self.connection, row.number)?;
        for (key, leaving) in leaving {
            let newest_leaving = leaving.sequences.last().copied().unwrap_or_default();
            let head = self.head(scope, &key)?.max(newest_leaving);
            let newest = chains.newest(key.as_str(), head, self.options.history_per_key)?;
            let stays = |sequence: &&u64| **sequence >= newest.from;
            kept.extend(leaving.sequences.iter().filter(stays));
            if row.past == 0 {
                continue;
            }
            let mut next = newest.before.min(leaving.before);
            while let (Some(before), true) = (
                chains.before(key.as_str(), next)?,
                surplus.len() < FORGOTTEN as usize,
            ) {
                surplus.push(change_id(row.number, next));
                next = before;
            }
        }
        kept.sort_unstable();
        let mut done = row.floor;
        for stays in &kept {
            self.forget_between(scope, row.number, (done, stays - 1))?;
            done = *stays;
        }
        self.forget_between(scope, row.number, (done, floor))?;
        if let Some(row) = self.change_scope(scope) {
            row.floor = floor;
            row.past += kept.len() as u64;
        }
        self.drop_past(scope, &surplus)?;
        // At least as many as come, so that they do not pile up.
        let most = (floor - row.floor).saturating_mul(2);
        let aged = self.aged_past(scope, now, most)?;
        self.drop_past(scope, &aged)
    }

    /// The changes of keys from the floor of a scope to another one.
    fn leaving(&self, row: &ScopeRow, floor: u64) -> Result<HashMap<Key, Leaving>, Fault> {
        let sql = "SELECT id, key, previous FROM changes
                   WHERE id > ?1 AND id <= ?2 AND key IS NOT NULL ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(row.ids(row.floor, floor))?;
        let mut leaving: HashMap<Key, Leaving> = HashMap::new();
        while let Some(row) = rows.next()? {
            let Ok(key) = row.get_ref(1)?.as_str() else {
                continue;
            };
            let sequence = sequence_of(row.get(0)?);
            let before = link(row.get_ref(2)?, sequence);
            let of_key = leaving.entry(Key::kept(key)).or_insert_with(|| Leaving {
                sequences: Vec::new(),
                before,
            });
            of_key.sequences.push(sequence);
        }
        Ok(leaving)
    }

    /// The newest change of a key; 0: nothing is known of it.
    fn head(&self, scope: &Scope, key: &Key) -> Result<u64, Fault> {
        let at = At { scope, key };
        let present = match self.group.outcome.find(at) {
            Some(written) => written.map(|written| written.kept.found()),
            None => self.recent.present(at),
        };
        if let Some(found) = present {
            return Ok(found.version);
        }
        for table in ["state", "deleted"] {
            let sql = format!("SELECT version FROM {table} WHERE scope = ?1 AND key = ?2");
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query((scope.as_str(), key.as_str()))?;
            if let Some(row) = rows.next()? {
                return Ok(row.get_ref(0)?.as_i64().map_or(0, i64::cast_unsigned));
            }
        }
        Ok(0)
    }

    /// The first changes of the past of a scope that are older than it may be: by the clock, or
    /// since the scope was made anew.
    pub(super) fn aged_past(&self, scope: &Scope, now: Now, most: u64) -> Result<Vec<i64>, Fault> {
        let Some(row) = self.scopes.get(scope).filter(|row| row.past > 0) else {
            return Ok(Vec::new());
        };
        let age = self.clock.last_stamp(now.wall) - signed(self.options.history_age);
        let oldest = if row.is_deleted {
            i64::MAX
        } else {
            age.max(row.created)
        };
        let sql = "SELECT id, timestamp FROM changes WHERE id > ?1 AND id <= ?2 ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(row.past_ids())?;
        let mut aged = Vec::new();
        while let Some(row) = rows.next()? {
            let is_aged = row.get_ref(1)?.as_i64().is_ok_and(|stamp| stamp < oldest);
            if !is_aged || aged.len() as u64 == most {
                break;
            }
            aged.push(row.get(0)?);
        }
        Ok(aged)
    }

    /// Looks for changes of the past that are to go, within a bound: in scopes of this round, what is older than it
    /// may be; and from where it was the last time on, what is beyond the newest of its key, as another
    /// configuration or a backup has left it.
    pub(super) fn find_surplus(&mut self, round: &[Scope], now: Now) -> Result<Surplus, Fault> {
        let mut surplus = Surplus::default();
        let mut left = FORGOTTEN;
        for scope in round {
            let aged = self.aged_past(scope, now, left)?;
            left -= aged.len() as u64;
            surplus.add(scope, aged);
        }
        let Some(mut from) = self.past_from else {
            return Ok(surplus);
        };
        let mut scopes: Vec<(i64, Scope)> = (self.scopes.iter())
            .filter(|(_, row)| row.past > 0 && row.number >= scope_of(from))
            .map(|(scope, row)| (row.number, scope.clone()))
            .collect();
        scopes.sort_unstable();
        let mut left = FORGOTTEN;
        for (_, scope) in scopes {
            let found = self.beyond_newest(&scope, &mut from, &mut left)?;
            surplus.add(&scope, found);
            if left == 0 {
                surplus.looked = Some(from);
                break;
            }
        }
        Ok(surplus)
    }

    /// What of the past of a scope is beyond the newest of its key, after a place that moves on.
    fn beyond_newest(
        &mut self,
        scope: &Scope,
        from: &mut i64,
        left: &mut u64,
    ) -> Result<Vec<i64>, Fault> {
        let Some(row) = self.scopes.get(scope) else {
            return Ok(Vec::new());
        };
        let (low, high) = row.past_ids();
        *from = low.max(*from);
        let connection = self.connection;
        let mut chains = Chains::new(connection, row.number)?;
        let sql = "SELECT id, key FROM changes WHERE id > ?1 AND id <= ?2 ORDER BY id";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query((*from, high))?;
        let mut kept_from: HashMap<Key, u64> = HashMap::new();
        let mut beyond = Vec::new();
        while let (Some(row), true) = (rows.next()?, *left > 0) {
            *from = row.get(0)?;
            *left -= 1;
            let Ok(key) = row.get_ref(1)?.as_str() else {
                continue;
            };
            let key = Key::kept(key);
            let kept_from = match kept_from.get(&key) {
                Some(known) => *known,
                None => {
                    let head = self.head(scope, &key)?;
                    let most = self.options.history_per_key;
                    let newest = chains.newest(key.as_str(), head, most)?;
                    *left = left.saturating_sub(newest.count as u64);
                    kept_from.insert(key, newest.from);
                    newest.from
                }
            };
            if sequence_of(*from) < kept_from {
                beyond.push(*from);
            }
        }
        Ok(beyond)
    }

    /// Takes away what was found, within the present group.
    pub(super) fn drop_surplus(&mut self, surplus: &Surplus) -> Result<(), Fault> {
        for (scope, ids) in &surplus.ids {
            self.drop_past(scope, ids)?;
        }
        Ok(())
    }

    /// Goes on behind what was found and is gone.
    pub(super) fn pass_surplus(&mut self, surplus: &Surplus) {
        self.past_from = surplus.looked;
    }

    /// Takes changes of the past away, and what is known of a key that ended with one of them.
    pub(super) fn drop_past(&mut self, scope: &Scope, ids: &[i64]) -> Result<(), Fault> {
        let connection = self.connection;
        let mut change =
            connection.prepare_cached("DELETE FROM changes WHERE id = ?1 RETURNING event, key")?;
        let mut end = connection
            .prepare_cached("DELETE FROM deleted WHERE scope = ?1 AND key = ?2 AND version = ?3")?;
        for id in ids {
            let mut rows = change.query([id])?;
            let Some(row) = rows.next()? else { continue };
            if let (Ok(2 | 3), Ok(key)) = (row.get_ref(0)?.as_i64(), row.get_ref(1)?.as_str()) {
                end.execute((scope.as_str(), key, sequence_of(*id) as i64))?;
            }
            drop(rows);
            if let Some(row) = self.change_scope(scope) {
                row.past = row.past.saturating_sub(1);
            }
        }
        Ok(())
    }
}

/// The newest changes of a key.
struct Newest {
    /// The oldest of them; if there are none, more than any.
    from: u64,
    /// The change before it.
    before: u64,
    count: usize,
}

/// Follows changes of keys in one scope, from newer ones to older ones.
struct Chains<'c> {
    number: i64,
    statement: CachedStatement<'c>,
}

impl<'c> Chains<'c> {
    fn new(connection: &'c Connection, number: i64) -> Result<Self, Fault> {
        let sql = "SELECT key, previous FROM changes WHERE id = ?1";
        let statement = connection.prepare_cached(sql)?;
        Ok(Self { number, statement })
    }

    /// The change before one of a key, if that is there.
    fn before(&mut self, key: &str, sequence: u64) -> Result<Option<u64>, Fault> {
        if sequence == 0 {
            return Ok(None);
        }
        let mut rows = self.statement.query([change_id(self.number, sequence)])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let is_of_key = row.get_ref(0)?.as_str() == Ok(key);
        let before = link(row.get_ref(1)?, sequence);
        Ok(is_of_key.then_some(before))
    }

    /// The newest changes that are there, from the newest one on.
    fn newest(&mut self, key: &str, head: u64, most: usize) -> Result<Newest, Fault> {
        let mut newest = Newest {
            from: u64::MAX,
            before: head,
            count: 0,
        };
        while newest.count < most
            && let Some(before) = self.before(key, newest.before)?
        {
            newest.from = newest.before;
            newest.before = before;
            newest.count += 1;
        }
        Ok(newest)
    }
}

/// The change before one, out of the column that has it; what cannot be is none.
fn link(column: rusqlite::types::ValueRef<'_>, sequence: u64) -> u64 {
    let before = column.as_i64().map_or(0, i64::unsigned_abs);
    if before < sequence { before } else { 0 }
}

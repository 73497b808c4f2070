//! Readers: connections beside the writer's, each read of one moment.

mod keys;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

pub(crate) use keys::KeyPage;

use super::ahead::AsOf;
use super::open::connect;
use super::row::{Change, Entry, Event, ScopeRow, change_id};
use super::{Fault, Options, read_store_row};
use crate::names::{Key, Scope};
use crate::request::{Filter, Page};
use crate::value::Value;

/// Connections that are kept when nobody reads.
const KEPT: usize = 8;
/// A reader's cache of pages, in KiB.
const CACHE_KIB: i64 = 8 << 10;
/// Bytes of values after which a page ends.
const PAGE_BYTES: usize = 1 << 20;
/// Changes that are looked at in one step of a watch.
const STEP: u64 = 1_024;

/// Connections that are not in use.
#[derive(Debug)]
pub(super) struct Pool {
    database: PathBuf,
    sees_past: bool,
    idle: Mutex<Vec<Reader>>,
}

impl Pool {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            database: options.database.clone(),
            sees_past: options.history_per_key > 0,
            idle: Mutex::default(),
        }
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let idle = self.idle().pop();
        let reader = match idle {
            Some(reader) => reader,
            None => Reader::open(&self.database, self.sees_past)?,
        };
        let outcome = read(&reader);
        let mut idle = self.idle();
        if idle.len() < KEPT {
            idle.push(reader);
        }
        outcome
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that reads.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(super) connection: Connection,
    /// Whether changes that are not above the floor of their scope are told.
    pub(super) sees_past: bool,
}

/// A page of what happened.
#[derive(Debug)]
pub(crate) struct ChangePage {
    /// The changes that the filter lets through.
    pub(crate) changes: Vec<Change>,
    /// Everything up to this has been looked at.
    pub(crate) up_to: u64,
    /// The scope's sequence.
    pub(crate) head: u64,
    /// Whether the scope was deleted by the last of them.
    pub(crate) has_ended: bool,
}

/// What a service knows of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) scopes: u64,
    pub(crate) keys: u64,
    pub(crate) commits: u64,
}

impl Reader {
    pub(super) fn open(database: &Path, sees_past: bool) -> Result<Self, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(database, flags)?;
        connection.pragma_update(None, "query_only", "ON")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        Ok(Self {
            connection,
            sees_past,
        })
    }

    /// Reads several things of one moment.
    pub(crate) fn at_one_moment<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        let outcome = read(self);
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        outcome
    }

    /// A scope that exists.
    pub(crate) fn scope(&self, scope: &Scope) -> Result<Option<ScopeRow>, Fault> {
        let sql = const_format(ScopeRow::COLUMNS, "scopes WHERE scope = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([scope.as_str()])?;
        match rows.next()? {
            Some(row) => {
                let (_, row) = ScopeRow::read(row)?;
                Ok(Some(row).filter(|row| !row.is_deleted))
            }
            None => Ok(None),
        }
    }

    /// The value of a key, as the table of values has it.
    pub(crate) fn value(&self, scope: &Scope, key: &Key) -> Result<Option<Entry>, Fault> {
        const SQL: &str = "SELECT value, timestamp, version, content_type, expires, checksum
                           FROM state WHERE scope = ?1 AND key = ?2";
        let (scope, key) = (scope.as_str(), key.as_str());
        let mut statement = self.connection.prepare_cached(SQL)?;
        let mut rows = statement.query((scope, key))?;
        match rows.next()? {
            Some(row) => Entry::read(row, 0, scope, key).map(|(entry, _)| Some(entry)),
            None => Ok(None),
        }
    }

    /// The value of a key that has one, else its scope, if that exists. `ahead` says as of when it was not ahead
    /// of the table of values.
    pub(super) fn value_or_scope(
        &self,
        scope: &Scope,
        key: &Key,
        ahead: Option<AsOf<Option<u64>>>,
    ) -> Result<Result<Entry, Option<ScopeRow>>, Fault> {
        // Most are there, and need no transaction.
        if let Some(entry) = self.value(scope, key)? {
            return Ok(Ok(entry));
        }
        self.at_one_moment(|reader| {
            if let Some(entry) = reader.value(scope, key)? {
                return Ok(Ok(entry));
            }
            let Some(row) = reader.scope(scope)? else {
                return Ok(Err(None));
            };
            let last = match reader.last_unfolded(&row, key, ahead)? {
                Some(sequence) => reader.change(&row, key, sequence)?,
                None => None,
            };
            let written = last.and_then(|change| change.kept(scope.as_str()));
            Ok(written.map(|kept| kept.entry).ok_or(Some(row)))
        })
    }

    /// What a change wrote, if it was one of this key and the history has it.
    pub(crate) fn change(
        &self,
        row: &ScopeRow,
        key: &Key,
        sequence: u64,
    ) -> Result<Option<Change>, Fault> {
        let is_past = sequence <= row.floor;
        if sequence > row.sequence || (is_past && !(self.sees_past && row.past > 0)) {
            return Ok(None);
        }
        let sql = const_format(Change::COLUMNS, "changes WHERE id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([change_id(row.number, sequence)])?;
        let found = match rows.next()? {
            Some(found) => found,
            None if is_past => return Ok(None),
            None => return Err(Fault::damaged(format!("change {sequence} of a scope"))),
        };
        let change = Change::read(found)?;
        // What a scope of the same name had before is still to be removed.
        let is_of_now = !is_past || change.timestamp >= row.created;
        Ok(Some(change).filter(|change| is_of_now && change.key.as_ref() == Some(key)))
    }

    /// What happened to a key before a sequence, the newest first, and whether there is more.
    pub(super) fn history(
        &self,
        scope: &Scope,
        key: &Key,
        before: Option<u64>,
        limit: usize,
        ahead: Option<AsOf<Option<u64>>>,
    ) -> Result<Option<(Vec<Change>, bool)>, Fault> {
        self.at_one_moment(|reader| {
            let Some(row) = reader.scope(scope)? else {
                return Ok(None);
            };
            let mut next = match reader.last_unfolded(&row, key, ahead)? {
                Some(sequence) => sequence,
                None => match reader.value(scope, key)? {
                    Some(entry) => entry.version,
                    None => reader.deleted_at(scope, key)?,
                },
            };
            let mut changes = Vec::new();
            let mut bytes = 0;
            while next > 0 {
                let change = match reader.change(&row, key, next)? {
                    Some(change) => change,
                    None if next <= row.floor => break,
                    None => return Err(Fault::damaged(format!("the history of {scope} {key}"))),
                };
                next = change.before;
                if before.is_some_and(|before| change.sequence >= before) {
                    continue;
                }
                bytes += change.value.as_ref().map_or(0, Value::len);
                if changes.len() == limit || (bytes > PAGE_BYTES && !changes.is_empty()) {
                    return Ok(Some((changes, true)));
                }
                changes.push(change);
            }
            Ok(Some((changes, false)))
        })
    }

    fn deleted_at(&self, scope: &Scope, key: &Key) -> Result<u64, Fault> {
        let sql = "SELECT version FROM deleted WHERE scope = ?1 AND key = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query((scope.as_str(), key.as_str()))?;
        match rows.next()? {
            Some(row) => Ok(row.get::<_, i64>(0)? as u64),
            None => Ok(0),
        }
    }

    /// A page of scopes, and whether there is more.
    pub(crate) fn scopes(&self, page: &Page) -> Result<(Vec<String>, bool), Fault> {
        let sql = "SELECT scope FROM scopes WHERE scope >= ?1 AND scope > ?2 AND NOT deleted
                   ORDER BY scope LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let after = page.after.as_deref().unwrap_or_default();
        let mut rows = statement.query((&page.prefix, after, page.limit as i64 + 1))?;
        let mut scopes = Vec::new();
        while let Some(row) = rows.next()? {
            let scope: String = row.get(0)?;
            if !scope.starts_with(&page.prefix) {
                break;
            }
            if scopes.len() == page.limit {
                return Ok((scopes, true));
            }
            scopes.push(scope);
        }
        Ok((scopes, false))
    }

    /// The next changes of a scope after a sequence. `Err(row)`: the history does not reach back to
    /// it, or the scope does not exist.
    pub(crate) fn changes(
        &self,
        scope: &Scope,
        after: u64,
        filter: &Filter,
    ) -> Result<Result<ChangePage, Option<ScopeRow>>, Fault> {
        self.at_one_moment(|reader| {
            let row = match reader.any_scope(scope)? {
                Some(row) if after >= row.floor && after <= row.sequence => row,
                row => return Ok(Err(row)),
            };
            let last = row.sequence.min(after + STEP);
            let sql = const_format(
                Change::COLUMNS,
                "changes WHERE id > ?1 AND id <= ?2 ORDER BY id",
            );
            let mut statement = reader.connection.prepare_cached(&sql)?;
            let mut rows = statement.query(row.ids(after, last))?;
            let mut page = ChangePage {
                changes: Vec::new(),
                up_to: after,
                head: row.sequence,
                has_ended: false,
            };
            let mut bytes = 0;
            while let Some(found) = rows.next()? {
                let change = Change::read(found)?;
                if change.sequence != page.up_to + 1 {
                    break;
                }
                let ends = change.event == Event::DeleteScope;
                let sequence = change.sequence;
                if lets_through(filter, &change) {
                    bytes += change.value.as_ref().map_or(0, Value::len);
                    if bytes > PAGE_BYTES && !page.changes.is_empty() {
                        return Ok(Ok(page));
                    }
                    page.changes.push(change);
                }
                page.up_to = sequence;
                if ends {
                    page.has_ended = true;
                    return Ok(Ok(page));
                }
            }
            if page.up_to != last {
                let missing = page.up_to + 1;
                return Err(Fault::damaged(format!("change {missing} of {scope}")));
            }
            Ok(Ok(page))
        })
    }

    /// A scope's row, also when it was deleted.
    fn any_scope(&self, scope: &Scope) -> Result<Option<ScopeRow>, Fault> {
        let sql = const_format(ScopeRow::COLUMNS, "scopes WHERE scope = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([scope.as_str()])?;
        match rows.next()? {
            Some(row) => Ok(Some(ScopeRow::read(row)?.1)),
            None => Ok(None),
        }
    }

    pub(crate) fn totals(&self) -> Result<Totals, Fault> {
        self.at_one_moment(|reader| {
            let sql = "SELECT count(*), coalesce(sum(keys), 0) FROM scopes WHERE NOT deleted";
            let mut statement = reader.connection.prepare_cached(sql)?;
            let (scopes, keys): (i64, i64) =
                statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Totals {
                scopes: scopes as u64,
                keys: keys as u64,
                commits: read_store_row(&reader.connection)?.commits,
            })
        })
    }
}

fn lets_through(filter: &Filter, change: &Change) -> bool {
    match (filter, &change.key) {
        (Filter::Key(wanted), Some(key)) => wanted == key,
        (Filter::Prefix(prefix), Some(key)) => key.as_str().starts_with(prefix.as_str()),
        (Filter::Prefix(prefix), None) => prefix.is_empty(),
        (Filter::Key(_), None) => false,
    }
}

fn const_format(columns: &str, rest: &str) -> String {
    format!("SELECT {columns} FROM {rest}")
}

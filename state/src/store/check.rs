//! The whole of a store against its checksums: every row, and that none is missing.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, Row};

use super::reader::Reader;
use super::row::{Change, Entry, Event, Found, ScopeRow, change_id};
use super::writer::answer_checksum;
use super::{Fault, read_store_row};

/// How many rows are read between two reports.
const ROWS: u64 = 4_096;

/// What a check has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) scopes: u64,
    pub(crate) keys: u64,
    pub(crate) changes: u64,
    /// Of the values.
    pub(crate) bytes: u64,
    pub(crate) commits: u64,
}

/// Why a check ended before everything was read, or what it found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// Single rows are damaged; everything else is there.
    #[error("{count} damaged: {first}")]
    Rows {
        /// How many.
        count: u64,
        /// The first of them.
        first: String,
    },
    /// What should be there is not, or cannot be found.
    #[error("{0}")]
    Structure(String),
    /// It was told to stop.
    #[error("it was stopped")]
    Stopped,
    /// It could not read.
    #[error(transparent)]
    Fault(Fault),
}

impl From<Fault> for CheckError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Damaged { place } => Self::Structure(place),
            fault @ (Fault::Full
            | Fault::Held
            | Fault::Overtaken
            | Fault::Sqlite(_)
            | Fault::File(_)) => Self::Fault(fault),
        }
    }
}

impl From<rusqlite::Error> for CheckError {
    fn from(error: rusqlite::Error) -> Self {
        Fault::from(error).into()
    }
}

/// Told how many rows of how many are read; says whether to go on.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> bool;

impl Reader {
    /// Reads everything as it is at one moment.
    pub(crate) fn check(&self, progress: Progress<'_>) -> Result<Checked, CheckError> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        let outcome = Check::new(&self.connection, progress).run();
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        outcome
    }
}

struct Check<'a> {
    connection: &'a Connection,
    progress: Progress<'a>,
    scopes: BTreeMap<String, ScopeRow>,
    checked: Checked,
    done: u64,
    total: u64,
    damaged_rows: u64,
    first_damaged: Option<String>,
}

impl<'a> Check<'a> {
    fn new(connection: &'a Connection, progress: Progress<'a>) -> Self {
        Self {
            connection,
            progress,
            scopes: BTreeMap::new(),
            checked: Checked::default(),
            done: 0,
            total: 0,
            damaged_rows: 0,
            first_damaged: None,
        }
    }

    fn run(mut self) -> Result<Checked, CheckError> {
        let sql = "PRAGMA integrity_check(1)";
        let found: String = self.connection.query_row(sql, [], |row| row.get(0))?;
        if found != "ok" {
            return Err(CheckError::Structure(found));
        }
        self.checked.commits = read_store_row(self.connection)?.commits;
        self.read_scopes()?;
        self.read_values()?;
        self.read_changes()?;
        self.read_past()?;
        self.read_deleted()?;
        self.read_answers()?;
        match self.first_damaged {
            None => Ok(self.checked),
            Some(first) => Err(CheckError::Rows {
                count: self.damaged_rows,
                first,
            }),
        }
    }

    fn read_scopes(&mut self) -> Result<(), CheckError> {
        let sql = format!("SELECT {} FROM scopes", ScopeRow::COLUMNS);
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (scope, row) = ScopeRow::read(row)?;
            self.total += row.keys + row.past + (row.sequence - row.floor.min(row.sequence));
            self.checked.scopes += u64::from(!row.is_deleted);
            self.scopes.insert(scope, row);
        }
        Ok(())
    }

    /// Every value, as it is by the history, and for each scope that there are as many as it counts.
    fn read_values(&mut self) -> Result<(), CheckError> {
        let sql = format!("SELECT {}, scope, key FROM state", Entry::COLUMNS);
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut found = self.read_unfolded()?;
        while let Some(row) = rows.next()? {
            let scope = row.get_ref(6)?.as_str().map_err(Fault::from)?;
            let key = row.get_ref(7)?.as_str().map_err(Fault::from)?;
            let holding = match found.get_mut(scope) {
                Some(holding) => holding,
                None => found.entry(scope.to_owned()).or_default(),
            };
            match Found::read(row, scope, key) {
                Ok(value) => {
                    let bytes = row.get_ref(0)?.as_bytes().map_or(0, <[u8]>::len);
                    holding.add(key, value, bytes as u64);
                }
                Err(Fault::Damaged { place }) => {
                    holding.is_damaged = true;
                    holding.keys += u64::from(!holding.later.contains_key(key));
                    self.note(place);
                }
                Err(fault) => return Err(fault.into()),
            }
            self.step()?;
        }
        for holding in found.values_mut() {
            holding.add_later();
            self.checked.keys += holding.keys;
            self.checked.bytes += holding.bytes;
        }
        for (scope, row) in &self.scopes {
            let holding = found.remove(scope).unwrap_or_default();
            let is_whole =
                holding.keys == row.keys && (holding.is_damaged || holding.digest == row.digest);
            if !is_whole {
                let error = format!("{scope} has not the {} keys that it should", row.keys);
                return Err(CheckError::Structure(error));
            }
        }
        match found.into_iter().find(|(_, holding)| holding.keys > 0) {
            Some((scope, _)) => Err(CheckError::Structure(format!("{scope} is no scope"))),
            None => Ok(()),
        }
    }

    /// What the history has beyond the table of values.
    fn read_unfolded(&mut self) -> Result<BTreeMap<String, Holding>, CheckError> {
        let sql = format!(
            "SELECT {} FROM changes WHERE id > ?1 AND id <= ?2 ORDER BY id",
            Change::COLUMNS
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut found = BTreeMap::new();
        for (scope, row) in self.scopes.iter().filter(|(_, row)| row.unfolded() > 0) {
            let mut holding = Holding::default();
            let mut rows = statement.query(row.ids(row.folded, row.sequence))?;
            while let Some(row) = rows.next()? {
                match Change::read(row) {
                    Ok(change) => holding.follow(scope, &change),
                    // It is noted with the other changes.
                    Err(Fault::Damaged { .. }) => holding.is_damaged = true,
                    Err(fault) => return Err(fault.into()),
                }
            }
            found.insert(scope.clone(), holding);
        }
        Ok(found)
    }

    /// Every change, and that there is none missing.
    fn read_changes(&mut self) -> Result<(), CheckError> {
        let sql = format!(
            "SELECT {} FROM changes WHERE id > ?1 AND id <= ?2 ORDER BY id",
            Change::COLUMNS
        );
        let mut statement = self.connection.prepare(&sql)?;
        for (scope, row) in std::mem::take(&mut self.scopes) {
            let (low, high) = row.ids(row.floor, row.sequence);
            let mut rows = statement.query((low, high))?;
            let mut expected = low;
            while let Some(found) = rows.next()? {
                expected += 1;
                if found.get::<_, i64>(0)? != expected {
                    break;
                }
                self.check_change(found, &scope)?;
                if expected == high {
                    break;
                }
            }
            if expected != high {
                let error = format!("the history of {scope} has a hole");
                return Err(CheckError::Structure(error));
            }
            drop(rows);
            self.scopes.insert(scope, row);
        }
        Ok(())
    }

    /// Every change of the past, and for each scope that there are as many as it counts.
    fn read_past(&mut self) -> Result<(), CheckError> {
        let sql = format!(
            "SELECT {} FROM changes WHERE id > ?1 AND id <= ?2",
            Change::COLUMNS
        );
        let mut statement = self.connection.prepare(&sql)?;
        for (scope, row) in std::mem::take(&mut self.scopes) {
            let mut rows = statement.query(row.past_ids())?;
            let mut past = 0;
            while let Some(found) = rows.next()? {
                self.check_change(found, &scope)?;
                past += 1;
            }
            if past != row.past {
                let error = format!("{scope} has {past} changes of its past, not {}", row.past);
                return Err(CheckError::Structure(error));
            }
            drop(rows);
            self.scopes.insert(scope, row);
        }
        Ok(())
    }

    /// That what is known of keys without a value is so.
    fn read_deleted(&mut self) -> Result<(), CheckError> {
        let reader_sql = format!("SELECT {} FROM changes WHERE id = ?1", Change::COLUMNS);
        let mut change = self.connection.prepare(&reader_sql)?;
        let mut statement = self
            .connection
            .prepare("SELECT scope, key, version FROM deleted")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let scope: String = row.get(0)?;
            let key: String = row.get(1)?;
            let version = row.get::<_, i64>(2)? as u64;
            let wrong = || CheckError::Structure(format!("where {scope} {key} was deleted"));
            let of = self.scopes.get(&scope).ok_or_else(wrong)?;
            let mut found = change.query([change_id(of.number, version)])?;
            let found = found.next()?.map(Change::read).transpose()?;
            if found.is_none() && version <= of.floor {
                continue;
            }
            let is_right = found.is_some_and(|change| {
                matches!(change.event, Event::Delete | Event::Expire)
                    && change.key.is_some_and(|of| of.as_str() == key)
            });
            if !is_right {
                return Err(wrong());
            }
            self.step()?;
        }
        Ok(())
    }

    fn read_answers(&mut self) -> Result<(), CheckError> {
        let sql = "SELECT fingerprint, stamp, answer, checksum, id FROM answers";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: String = row.get(4)?;
            let answer: Vec<u8> = row.get(2)?;
            let checksum = answer_checksum(&id, row.get(0)?, row.get(1)?, &answer);
            if row.get::<_, u32>(3)? != checksum {
                self.note(format!("the answer to the id {id}"));
            }
            self.step()?;
        }
        Ok(())
    }

    fn check_change(&mut self, found: &Row<'_>, scope: &str) -> Result<(), CheckError> {
        match Change::read(found) {
            Ok(_) => {}
            Err(Fault::Damaged { place }) => self.note(format!("{place} of {scope}")),
            Err(fault) => return Err(fault.into()),
        }
        self.checked.changes += 1;
        self.step()
    }

    fn note(&mut self, place: String) {
        self.damaged_rows += 1;
        self.first_damaged.get_or_insert(place);
    }

    fn step(&mut self) -> Result<(), CheckError> {
        self.done += 1;
        if self.done.is_multiple_of(ROWS) && !(self.progress)(self.done, self.total.max(self.done))
        {
            return Err(CheckError::Stopped);
        }
        Ok(())
    }
}

/// What is found of a scope.
#[derive(Debug, Default)]
struct Holding {
    keys: u64,
    digest: u64,
    bytes: u64,
    is_damaged: bool,
    /// The last changes of keys that the table of values may not have.
    later: HashMap<String, Later>,
}

/// What a change that the table of values may not have says of its key.
#[derive(Debug, Clone, Copy)]
struct Later {
    version: u64,
    /// The checksum of its row, and how many bytes the value has, if it has one.
    value: Option<(u32, u64)>,
}

impl Holding {
    fn follow(&mut self, scope: &str, change: &Change) {
        if let Some(key) = &change.key {
            let kept = change.kept(scope);
            let later = Later {
                version: change.sequence,
                value: kept.map(|kept| (kept.checksum, kept.entry.value.len() as u64)),
            };
            self.later.insert(key.as_str().to_owned(), later);
        }
    }

    /// Counts a row of the table, unless the history has something later.
    fn add(&mut self, key: &str, found: Found, bytes: u64) {
        match self.later.get(key) {
            Some(later) if later.version > found.version => {}
            Some(_) | None => {
                self.later.remove(key);
                self.count(found.checksum, bytes);
            }
        }
    }

    /// Counts what only the history has.
    fn add_later(&mut self) {
        for later in std::mem::take(&mut self.later).into_values() {
            if let Some((checksum, bytes)) = later.value {
                self.count(checksum, bytes);
            }
        }
    }

    fn count(&mut self, checksum: u32, bytes: u64) {
        self.keys += 1;
        self.bytes += bytes;
        self.digest = self.digest.wrapping_add(checksum.into());
    }
}

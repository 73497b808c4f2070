//! A copy of the store as it is at one moment, made while everything goes on.
//!
//! The copy is made by a reader, page by page, within one read transaction: it has what was
//! committed when it began, exactly, and the writer does not wait for it. While it is made the WAL
//! cannot begin anew, and grows.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::check::{CheckError, Progress};
use super::open::connect;
use super::reader::Reader;
use super::row::{LAST_SEQUENCE, ScopeRow};
use super::writer::fold_history;
use super::{Checked, Fault, Identity, OpenError, read_store_row, schema};

/// Pages that are copied between two reports.
const PAGES: i32 = 256;
/// By how much sequences go up when a backup is restored: more than can have happened since it was
/// made, so that no sequence comes to mean something else.
const JUMP: u64 = 1 << 34;

/// What a copy has, to be compared with what is restored from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) identity: Identity,
    pub(crate) commits: u64,
    pub(crate) scopes: Vec<(String, ScopeRow)>,
}

impl Reader {
    /// Copies the store into a new file.
    pub(crate) fn copy(&self, to: &Path, progress: Progress<'_>) -> Result<Contents, CheckError> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        let outcome = self.copy_in_transaction(to, progress);
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        outcome
    }

    fn copy_in_transaction(
        &self,
        to: &Path,
        progress: Progress<'_>,
    ) -> Result<Contents, CheckError> {
        // Reads, and so fixes the moment.
        let mut contents = self.contents()?;
        for (_, row) in &mut contents.scopes {
            // As it is when it is opened.
            row.folded = row.sequence;
        }
        let mut target = Connection::open(to)?;
        target.pragma_update(None, "journal_mode", "OFF")?;
        target.pragma_update(None, "synchronous", "OFF")?;
        let backup = Backup::new(&self.connection, &mut target)?;
        loop {
            let step = backup.step(PAGES)?;
            let state = backup.progress();
            let total = u64::try_from(state.pagecount).unwrap_or(0);
            let done = total - u64::try_from(state.remaining).unwrap_or(0).min(total);
            if step == StepResult::Done {
                break;
            }
            if !progress(done, total) {
                return Err(CheckError::Stopped);
            }
        }
        drop(backup);
        // Otherwise the copy could not be read without files beside it.
        target.pragma_update(None, "journal_mode", "DELETE")?;
        target
            .close()
            .map_err(|(_, error)| CheckError::from(error))?;
        Ok(contents)
    }

    pub(crate) fn contents(&self) -> Result<Contents, Fault> {
        let row = read_store_row(&self.connection)?;
        let sql = format!("SELECT {} FROM scopes ORDER BY scope", ScopeRow::COLUMNS);
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut scopes = Vec::new();
        while let Some(row) = rows.next()? {
            scopes.push(ScopeRow::read(row)?);
        }
        Ok(Contents {
            identity: row.identity,
            commits: row.commits,
            scopes,
        })
    }

    /// Opens a copy that nobody else has, and brings it to this schema, and its table of values to where its
    /// history is.
    pub(crate) fn open_copy(path: &Path) -> Result<Self, CheckError> {
        let connection = connect(path, OpenFlags::default())?;
        schema::migrate(&connection).map_err(|error| match error {
            OpenError::Damaged { .. } | OpenError::NotAStore | OpenError::NewerSchema { .. } => {
                CheckError::Structure(error.to_string())
            }
            OpenError::OldSqlite { .. }
            | OpenError::Lost { .. }
            | OpenError::Replaced
            | OpenError::File { .. }
            | OpenError::Sqlite(_)
            | OpenError::Writer(_) => CheckError::Fault(Fault::File(error.to_string())),
        })?;
        fold_history(&connection)?;
        connection.pragma_update(None, "query_only", "ON")?;
        Ok(Self {
            connection,
            sees_past: true,
        })
    }

    /// Checks a copy, and that it has what it had when it was made.
    pub(crate) fn check_copy(
        &self,
        expected: &Contents,
        progress: Progress<'_>,
    ) -> Result<Checked, CheckError> {
        let checked = self.check(progress)?;
        if self.contents()? != *expected {
            let error = "the copy has not what its manifest says".to_owned();
            return Err(CheckError::Structure(error));
        }
        Ok(checked)
    }
}

/// Makes a copy a store of its own: with another identity, and sequences that go on far beyond
/// those that may have been told of after the copy was made. Of its history the changes of keys are left,
/// as its past: how many of them are kept is decided by whoever opens it.
pub(crate) fn begin_anew(path: &Path, origin: &str) -> Result<(), Fault> {
    let connection = connect(path, OpenFlags::default())?;
    let mut row = read_store_row(&connection)?;
    row.identity = connection.query_row("SELECT randomblob(16)", [], |row| row.get(0))?;
    row.origin = Some(origin.to_owned());
    connection.execute_batch(
        "BEGIN IMMEDIATE; DELETE FROM changes WHERE key IS NULL; DELETE FROM answers",
    )?;
    connection.execute(
        "UPDATE store SET identity = ?1, origin = ?2, checksum = ?3",
        (row.identity, &row.origin, row.checksum()),
    )?;
    let sql = format!("SELECT {} FROM scopes", ScopeRow::COLUMNS);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut scopes = Vec::new();
    while let Some(row) = rows.next()? {
        scopes.push(ScopeRow::read(row)?);
    }
    for (scope, mut row) in scopes {
        row.sequence = (row.sequence + JUMP).min(LAST_SEQUENCE);
        row.floor = row.sequence;
        let sql = "SELECT count(*) FROM changes WHERE id > ?1 AND id <= ?2";
        let past: i64 = connection.query_row(sql, row.past_ids(), |row| row.get(0))?;
        row.past = past as u64;
        row.folded = row.sequence;
        connection.execute(
            "UPDATE scopes SET sequence = ?2, floor = ?3, past = ?4, checksum = ?5 WHERE number = ?1",
            (
                row.number,
                row.sequence as i64,
                row.floor as i64,
                past,
                row.checksum(&scope),
            ),
        )?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// What a store was restored from, if it was.
pub(crate) fn origin(database: &Path) -> Result<Option<String>, Fault> {
    let connection = connect(database, OpenFlags::default())?;
    Ok(read_store_row(&connection)?.origin)
}

/// The database and the files that SQLite has beside it.
pub(crate) fn files_of(database: &Path) -> [PathBuf; 4] {
    ["", "-wal", "-shm", "-journal"].map(|end| super::beside(database, end))
}

/// Puts a file in the place of a database that is not there.
pub(crate) fn install(file: &Path, database: &Path) -> std::io::Result<()> {
    File::open(file)?.sync_all()?;
    match fs::remove_file(super::mark::Mark::path(database)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::rename(file, database)?;
    sync_folder(database)
}

/// Brings the name of a file to the disk.
pub(crate) fn sync_folder(file: &Path) -> std::io::Result<()> {
    File::open(crate::config::folder_of(file))?.sync_all()
}

//! The writer's statements, prepared once.

use rusqlite::{Connection, Statement};

use crate::store::row::{Change, Entry};

/// Writes the row of a value: scope, key, [`Entry::COLUMNS`].
pub(super) const PUT: &str = "INSERT INTO state
     (scope, key, value, timestamp, version, content_type, expires, checksum)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
     ON CONFLICT (scope, key) DO UPDATE SET value = ?3, timestamp = ?4, version = ?5,
     content_type = ?6, expires = ?7, checksum = ?8";

/// How many changes are written by one statement, where there are that many: half of the time of one that writes
/// one goes into beginning and ending it.
pub(super) const LOGGED: usize = 16;

pub(super) struct Statements<'c> {
    pub(super) begin: Statement<'c>,
    pub(super) commit: Statement<'c>,
    pub(super) find: Statement<'c>,
    pub(super) put: Statement<'c>,
    pub(super) delete: Statement<'c>,
    pub(super) log: Statement<'c>,
    /// The same for [`LOGGED`] changes at once.
    pub(super) log_many: Statement<'c>,
    pub(super) bury: Statement<'c>,
    pub(super) exhume: Statement<'c>,
    pub(super) scope: Statement<'c>,
    pub(super) store: Statement<'c>,
    pub(super) recall: Statement<'c>,
    pub(super) remember: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let prepare = |sql: &str| connection.prepare(sql);
        let columns = Entry::COLUMNS;
        Ok(Self {
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            find: prepare(&format!(
                "SELECT {columns} FROM state WHERE scope = ?1 AND key = ?2"
            ))?,
            put: prepare(PUT)?,
            delete: prepare("DELETE FROM state WHERE scope = ?1 AND key = ?2")?,
            log: prepare(&log(1))?,
            log_many: prepare(&log(LOGGED))?,
            bury: prepare("INSERT INTO deleted (scope, key, version) VALUES (?1, ?2, ?3)")?,
            exhume: prepare("DELETE FROM deleted WHERE scope = ?1 AND key = ?2 RETURNING version")?,
            scope: prepare(
                "INSERT INTO scopes (number, scope, sequence, floor, keys, digest, created, deleted,
                 checksum, past, unfolded) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (number) DO UPDATE SET sequence = ?3, floor = ?4, keys = ?5, digest = ?6,
                 created = ?7, deleted = ?8, checksum = ?9, past = ?10, unfolded = ?11",
            )?,
            store: prepare(
                "UPDATE store SET commits = ?1, stamp = ?2, clock = ?3, wall = ?4, checksum = ?5
                 WHERE id = 1 AND commits = ?1 - 1",
            )?,
            recall: prepare(
                "SELECT fingerprint, stamp, answer, checksum FROM answers WHERE id = ?1",
            )?,
            remember: prepare(
                "INSERT INTO answers (id, fingerprint, stamp, answer, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
        })
    }
}

/// Writes so many changes.
fn log(count: usize) -> String {
    let row = format!("({})", ["?"; Change::WIDTH].join(", "));
    let rows = vec![row; count].join(", ");
    format!("INSERT INTO changes ({}) VALUES {rows}", Change::COLUMNS)
}

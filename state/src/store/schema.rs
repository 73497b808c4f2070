//! The tables, and how a store of an earlier schema becomes one of this.

use rusqlite::Connection;

use super::OpenError;

/// Marks the file as a store of plantd's: "plSt".
const APPLICATION_ID: i64 = 0x706c_5374;

/// The steps from each schema to the next; their number is the present one.
const MIGRATIONS: &[&str] = &[
    // 1
    "
CREATE TABLE store (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    identity  BLOB NOT NULL,
    origin    TEXT,
    commits   INTEGER NOT NULL,
    stamp     INTEGER NOT NULL,
    clock     INTEGER NOT NULL,
    wall      INTEGER NOT NULL,
    checksum  INTEGER NOT NULL
);
CREATE TABLE scopes (
    number    INTEGER PRIMARY KEY,
    scope     TEXT NOT NULL UNIQUE,
    sequence  INTEGER NOT NULL,
    floor     INTEGER NOT NULL,
    keys      INTEGER NOT NULL,
    digest    INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    deleted   INTEGER NOT NULL,
    checksum  INTEGER NOT NULL
);
CREATE TABLE state (
    scope         TEXT NOT NULL,
    key           TEXT NOT NULL,
    value         NOT NULL,
    timestamp     INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    content_type  TEXT,
    expires       INTEGER,
    checksum      INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX state_expires ON state (expires) WHERE expires IS NOT NULL;
CREATE TABLE changes (
    id            INTEGER PRIMARY KEY,
    event         INTEGER NOT NULL,
    key           TEXT,
    value,
    timestamp     INTEGER NOT NULL,
    previous      INTEGER NOT NULL,
    content_type  TEXT,
    more          INTEGER NOT NULL,
    checksum      INTEGER NOT NULL
);
CREATE TABLE deleted (
    scope    TEXT NOT NULL,
    key      TEXT NOT NULL,
    version  INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE TABLE answers (
    number       INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    fingerprint  INTEGER NOT NULL,
    stamp        INTEGER NOT NULL,
    answer       BLOB NOT NULL,
    checksum     INTEGER NOT NULL
);
",
    // 2
    "
ALTER TABLE scopes ADD COLUMN past INTEGER NOT NULL DEFAULT 0;
",
    // 3
    "
ALTER TABLE scopes ADD COLUMN unfolded INTEGER NOT NULL DEFAULT 0;
",
];

/// The number of this schema.
pub(crate) const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// Makes the tables of a new file, or brings those of an older schema to this one.
pub(super) fn migrate(connection: &Connection) -> Result<(), OpenError> {
    let found = number(connection, "user_version")?;
    let application = number(connection, "application_id")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 && found == 0 && application == 0 {
        return apply(connection, 0);
    }
    if application != APPLICATION_ID {
        return Err(OpenError::NotAStore);
    }
    if found > SCHEMA {
        return Err(OpenError::NewerSchema {
            found,
            known: SCHEMA,
        });
    }
    if found < 1 {
        return Err(OpenError::damaged(
            "user_version",
            "there is no such schema",
        ));
    }
    apply(connection, found)?;
    compare(connection)
}

/// Does every step from schema `from` on, in one transaction.
fn apply(connection: &Connection, from: i64) -> Result<(), OpenError> {
    if from == SCHEMA {
        return Ok(());
    }
    let steps = MIGRATIONS[usize::try_from(from).unwrap_or(0)..].concat();
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;{steps}PRAGMA user_version = {SCHEMA};
         PRAGMA application_id = {APPLICATION_ID};COMMIT"
    ))?;
    Ok(())
}

/// Makes the tables of the first schema.
#[cfg(test)]
pub(super) fn make_first(connection: &Connection) -> rusqlite::Result<()> {
    let first = MIGRATIONS[0];
    connection.execute_batch(&format!(
        "{first}PRAGMA user_version = 1; PRAGMA application_id = {APPLICATION_ID}"
    ))
}

/// Compares the tables with those that a new file would have: what a damaged schema would do to
/// queries is not left to chance.
fn compare(connection: &Connection) -> Result<(), OpenError> {
    let fresh = Connection::open_in_memory()?;
    apply(&fresh, 0)?;
    let tables =
        |connection: &Connection| -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
            connection
                .prepare(
                    "SELECT type, name || ' of ' || tbl_name, sql FROM sqlite_schema ORDER BY 1, 2",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        };
    if tables(connection)? != tables(&fresh)? {
        return Err(OpenError::damaged(
            "schema",
            "the tables are not those of a store",
        ));
    }
    Ok(())
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
}

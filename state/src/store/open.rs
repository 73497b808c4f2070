//! How a store is opened: what is checked before anybody is served, and in which order.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::clock::Kept;
use super::mark::{Mark, Marked};
use super::progress::Progress;
use super::reader::Pool;
use super::recent::Recent;
use super::row::StoreRow;
use super::schema;
use super::writer::{Writer, WriterError, fold_history};
use super::{Announcement, Fault, Identity, Lock, Options, Shared, Store, WAITING};

/// The first version of SQLite in which a reset of the WAL cannot damage the database.
const SQLITE: i32 = 3_051_003;
/// How long another program may hold the database before a write is refused.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the WAL shrinks to when it has grown beyond it.
const WAL_BYTES: i64 = 64 << 20;
/// The writer's cache of pages, in KiB.
const CACHE_KIB: i64 = 64 << 10;

/// Why a store was not opened. Nothing was changed, except for tables that were brought to this
/// schema.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The library is too old.
    #[error(
        "SQLite {found} can damage a database when it resets the WAL; 3.51.3 or later is needed"
    )]
    OldSqlite {
        /// Its version.
        found: &'static str,
    },
    /// The file is a database of something else.
    #[error("the file is a database, and not of plantd-state")]
    NotAStore,
    /// The file was written by a later version.
    #[error(
        "the file has schema {found}, which a later version wrote; this one knows schema {known}"
    )]
    NewerSchema {
        /// The schema of the file.
        found: i64,
        /// The schema of this version.
        known: i64,
    },
    /// What is on disk is not what was written.
    #[error(
        "{place} is damaged: {what}; restore a backup, or take a copy and look at it with sqlite3"
    )]
    Damaged {
        /// What is damaged.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// Commits that were acknowledged are not there.
    #[error(
        "{acknowledged} commits were acknowledged and the database has {found}: the WAL is damaged or \
         missing, or the file is an older copy; restore what is right, or set accept_loss to go on \
         without them"
    )]
    Lost {
        /// What the mark says.
        acknowledged: u64,
        /// What the database has.
        found: u64,
    },
    /// The mark is another store's.
    #[error(
        "the mark beside the database is of another store: the file was replaced; restore what is \
         right, or set accept_loss to go on with this one"
    )]
    Replaced,
    /// A file cannot be used.
    #[error("{path}")]
    File {
        /// Which one.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Anything else of SQLite.
    #[error("the database cannot be opened")]
    Sqlite(#[source] rusqlite::Error),
    /// The writer could not begin.
    #[error("the writer cannot begin: {0}")]
    Writer(String),
}

impl OpenError {
    pub(super) fn damaged(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged {
            place: place.into(),
            what: what.into(),
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match Fault::from(error) {
            Fault::Damaged { place } => Self::damaged(place, "it cannot be read"),
            Fault::Full => Self::Writer("the disk is full".to_owned()),
            Fault::Held => Self::Writer("another program holds the database".to_owned()),
            Fault::Sqlite(error) => Self::Sqlite(error),
            fault @ (Fault::Overtaken | Fault::File(_)) => Self::Writer(fault.to_string()),
        }
    }
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Damaged { place } => Self::damaged(place, "its checksum is wrong"),
            Fault::Sqlite(error) => Self::Sqlite(error),
            fault @ (Fault::Full | Fault::Held | Fault::Overtaken | Fault::File(_)) => {
                Self::Writer(fault.to_string())
            }
        }
    }
}

impl Store {
    /// Opens a store, or makes it. Its lock is held until nothing of the store writes any more, however many hold
    /// on to it and whatever became of who has opened it.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be trusted or used.
    pub(crate) fn open(
        lock: Lock,
        options: &Options,
        shared: Arc<Shared>,
        publisher: Option<mpsc::Sender<Vec<Announcement>>>,
    ) -> Result<Self, OpenError> {
        if rusqlite::version_number() < SQLITE {
            return Err(OpenError::OldSqlite {
                found: rusqlite::version(),
            });
        }
        let wal_pages = Arc::new(AtomicI32::new(0));
        let (connection, mark, row) = prepare(options, &wal_pages)?;
        let (submissions, receiver) = sync_channel(WAITING);
        let (began, has_begun) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel();
        let (answered, answers) = mpsc::unbounded_channel();
        let readers = Pool::new(options);
        let recent = Arc::new(Recent::new());
        let progress = Arc::new(Progress::new(row.commits));
        let writer = thread::Builder::new()
            .name("writer".to_owned())
            .spawn({
                let (shared, options) = (shared.clone(), options.clone());
                let (recent, progress) = (recent.clone(), progress.clone());
                move || {
                    // Dropped in the opposite order.
                    let (_lock, connection) = (lock, connection);
                    let writer = Writer::new(
                        &connection,
                        (shared, recent, progress),
                        options,
                        (publisher, answered),
                        (mark, row),
                        wal_pages,
                    );
                    let outcome = match writer {
                        Ok(writer) => {
                            // Who opens the store waits for it.
                            let _ = began.send(());
                            writer.run(&receiver)
                        }
                        Err(fault) => Err(WriterError::Start(fault)),
                    };
                    drop(began);
                    let _ = end.send(outcome);
                }
            })
            .map_err(|error| OpenError::Writer(error.to_string()))?;
        let mut store = Self {
            submissions,
            writer: Mutex::new(Some(writer)),
            answers: Some(answers),
            ended: Some(ended),
            shared,
            readers,
            recent,
            progress,
            database: options.database.clone(),
        };
        if has_begun.recv().is_err() {
            return Err(
                match store.ended.take().map(oneshot::Receiver::blocking_recv) {
                    Some(Ok(Err(WriterError::Start(fault) | WriterError::NotKept(fault)))) => {
                        fault.into()
                    }
                    Some(Ok(Ok(())) | Err(_)) | None => OpenError::Writer("it ended".to_owned()),
                },
            );
        }
        Ok(store)
    }
}

/// Everything up to the moment at which the writer can begin.
pub(super) fn prepare(
    options: &Options,
    wal_pages: &Arc<AtomicI32>,
) -> Result<(Connection, Mark, StoreRow), OpenError> {
    let database = &options.database;
    let connection = connect(database, OpenFlags::default())?;
    if let Some(problem) = quick_check(&connection)? {
        return Err(OpenError::damaged("the database file", problem));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    schema::migrate(&connection)?;
    // What a failed sync may have left in memory only is written again.
    connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE)?;
    let pages = wal_pages.clone();
    let mut connection = connection;
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, frames| {
        pages.store(frames, Ordering::Relaxed);
        Ok(())
    }))?;
    let row = match read_store_row(&connection) {
        Ok(row) => row,
        Err(Fault::Sqlite(rusqlite::Error::QueryReturnedNoRows)) => make_store_row(&connection)?,
        Err(fault) => return Err(fault.into()),
    };
    let file = |source| OpenError::File {
        path: Mark::path(database).display().to_string(),
        source,
    };
    let (mut mark, marked) = Mark::open(database).map_err(file)?;
    check_mark(marked, &row, options.accepts_loss)?;
    fold_history(&connection)?;
    mark.write(Marked {
        identity: row.identity,
        commits: row.commits,
    })
    .map_err(file)?;
    mark.sync().map_err(file)?;
    Ok((connection, mark, row))
}

fn check_mark(marked: Option<Marked>, row: &StoreRow, accepts: bool) -> Result<(), OpenError> {
    let Some(marked) = marked else {
        if row.commits > 0 {
            tracing::warn!(
                context = "state.mark",
                "there is no mark beside the database: whether the last commits are there cannot be told"
            );
        }
        return Ok(());
    };
    let problem = if marked.identity != row.identity {
        OpenError::Replaced
    } else if marked.commits > row.commits {
        OpenError::Lost {
            acknowledged: marked.commits,
            found: row.commits,
        }
    } else {
        return Ok(());
    };
    if accepts {
        tracing::warn!(context = "state.mark", %problem, "accepted, as configured");
        Ok(())
    } else {
        Err(problem)
    }
}

/// A connection with what all of them have.
pub(super) fn connect(database: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags.difference(OpenFlags::SQLITE_OPEN_URI);
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cell_size_check", "ON")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// What SQLite finds wrong with the structure of the file.
pub(super) fn quick_check(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}

pub(super) fn read_store_row(connection: &Connection) -> Result<StoreRow, Fault> {
    let sql = "SELECT identity, commits, stamp, clock, wall, checksum, origin FROM store
               WHERE id = 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        return Err(Fault::Sqlite(rusqlite::Error::QueryReturnedNoRows));
    };
    let read = StoreRow {
        identity: row.get(0)?,
        origin: row.get(6)?,
        commits: row.get::<_, i64>(1)? as u64,
        kept: Kept {
            stamp: row.get(2)?,
            clock: row.get(3)?,
            wall: row.get(4)?,
        },
    };
    if row.get::<_, u32>(5)? != read.checksum() {
        return Err(Fault::damaged("the row of the store"));
    }
    Ok(read)
}

/// The row of a store that is new.
fn make_store_row(connection: &Connection) -> Result<StoreRow, OpenError> {
    let identity: Identity = connection.query_row("SELECT randomblob(16)", [], |row| row.get(0))?;
    let row = StoreRow {
        identity,
        origin: None,
        commits: 0,
        kept: Kept {
            stamp: 0,
            clock: 0,
            wall: 0,
        },
    };
    connection.execute(
        "INSERT INTO store (id, identity, commits, stamp, clock, wall, checksum)
         VALUES (1, ?1, 0, 0, 0, 0, ?2)",
        (identity, row.checksum()),
    )?;
    Ok(row)
}

//! What goes wrong beneath an operation: the disk, another program, damage.

use rusqlite::ffi::ErrorCode;

use crate::refusal::{Code, Refusal};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There is no room on the disk.
    #[error("the disk is full")]
    Full,
    /// Another program has locked the database for longer than one waits.
    #[error("another program holds the database")]
    Held,
    /// What is on disk is not what was written.
    #[error("{place} is damaged")]
    Damaged {
        /// What is damaged.
        place: String,
    },
    /// The store has commits that are not of this daemon, as happens where a file can be locked twice.
    #[error(
        "another daemon has written the store, since the lock beside its file does not hold on this file system"
    )]
    Overtaken,
    /// Anything else of the disk and of SQLite.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    /// A file beside the database.
    #[error("{0}")]
    File(String),
}

impl Fault {
    pub(super) fn damaged(place: impl Into<String>) -> Self {
        Self::Damaged {
            place: place.into(),
        }
    }

    /// What a client is told whose operation met this.
    pub(crate) fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Full => Code::Full,
            Self::Held | Self::Overtaken | Self::Sqlite(_) | Self::File(_) => Code::Unavailable,
            Self::Damaged { .. } => Code::Damaged,
        };
        let error = match self {
            Self::Full => "the disk is full; nothing was changed".to_owned(),
            Self::Held => "another program holds the database; nothing was changed".to_owned(),
            Self::Damaged { place } => format!("{place} is damaged, and not served"),
            Self::Overtaken | Self::Sqlite(_) | Self::File(_) => format!("the store fails: {self}"),
        };
        Refusal::new(code, error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Held,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::damaged("the database file")
            }
            Some(_) => Self::Sqlite(error),
            // A column does not have what was written into it.
            None => Self::damaged(format!("a row ({error})")),
        }
    }
}

impl From<rusqlite::types::FromSqlError> for Fault {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::damaged(format!("a row ({error})"))
    }
}

//! The lock: one daemon at a time.
//!
//! An advisory lock (`flock`) on a file beside the database, so that SQLite's own locks stay as they
//! are and other programs can read the database and back it up. The system gives it back when the
//! process that has it ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a database, if nobody has it.
    ///
    /// # Errors
    /// When the file cannot be made or locked at all. `Ok(Err(holder))`: another process has it.
    pub(crate) fn try_take(database: &Path) -> io::Result<Result<Self, String>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(super::beside(database, "-lock"))?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.rewind()?;
                write!(file, "{}", std::process::id())?;
                Ok(Ok(Self { _file: file }))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // For people; the holder may be writing it.
                let _ = file.read_to_string(&mut holder);
                Ok(Err(holder))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

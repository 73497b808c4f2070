//! The lock: one daemon at a time.
//!
//! An advisory lock (`flock`) on a file beside the database, so that SQLite's own locks stay as they
//! are and other programs can read the database and back it up. The system gives it back when the
//! process that has it ends, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of a database, if nobody has it.
    ///
    /// # Errors
    /// When the file cannot be made or locked at all. `Ok(Err(holder))`: another process has it.
    pub(crate) fn try_take(database: &Path) -> io::Result<Result<Self, String>> {
        let path = super::beside(database, "-lock");
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    // For people; the holder may be writing it.
                    let _ = file.read_to_string(&mut holder);
                    return Ok(Err(holder));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let lock = Self {
                file,
                path: path.clone(),
            };
            // Another one may have removed the file that was opened, with its lock.
            if lock.is_in_place()? {
                lock.sign()?;
                return Ok(Ok(lock));
            }
        }
    }

    /// Gives the lock back and leaves no file.
    pub(crate) fn remove(self) {
        // One that stays does no harm.
        let _ = fs::remove_file(&self.path);
    }

    fn is_in_place(&self) -> io::Result<bool> {
        let held = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Says who has it.
    fn sign(&self) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_was_removed_is_nobodys_and_one_that_is_held_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("state.db");
        let first = Lock::try_take(&database).unwrap().unwrap();
        // Who has opened the file waits for the lock of a file that is gone.
        let late = File::open(folder.path().join("state.db-lock")).unwrap();
        first.remove();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        late.try_lock().unwrap();
        let late = Lock {
            file: late,
            path: folder.path().join("state.db-lock"),
        };
        assert!(!late.is_in_place().unwrap());
        let second = Lock::try_take(&database).unwrap().unwrap();
        assert!(!late.is_in_place().unwrap());
        let holder = Lock::try_take(&database).unwrap().unwrap_err();
        assert_eq!(holder, std::process::id().to_string());
        drop(second);
        assert!(Lock::try_take(&database).unwrap().is_ok());
    }
}

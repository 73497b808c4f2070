//! The store: one SQLite database, one thread that writes it, and readers beside it.
//!
//! # Layout
//!
//! | table | a row is | in the order of |
//! | --- | --- | --- |
//! | `store` | the store: identity, how many commits, the clocks | the only one |
//! | `scopes` | a scope: its sequence, its floor, how much is kept below that, `unfolded`, what it holds | number |
//! | `state` | a value: `scope`, `key`, `value`, `timestamp` (Unix nanoseconds), version, time to stay | scope, key |
//! | `changes` | a change: what happened to which key, the history | scope's number, sequence |
//! | `deleted` | where a key without a value was deleted, as long as the history has it | scope, key |
//! | `answers` | what was answered to a write that had an id | when |
//!
//! Above the floor of a scope `changes` has every one, its log. Below it are those that are among the newest of
//! their key, its past (see [`past`](writer)): the log was shortened around them.
//!
//! JSON is `TEXT`, bytes are `BLOB`. The id of a change is the number of its scope, shifted by 44
//! bits, and its sequence: changes are appended at the end of their scope's range, and a watch is
//! a walk along it. Beside the database are its WAL, `…-lock` (see [`lock`]) and `…-mark` (see
//! [`mark`]).
//!
//! # The rule of updates
//!
//! Only the [writer](writer) writes. It takes everything that waits as one *group*: begins a transaction,
//! decides each write in order against what is there, with those before it in the group, and
//! writes the change and, once a group, the scopes and the `store`. It commits, and has the WAL synced by
//! another thread (see [`writer`]'s `syncing`), which then writes the mark, answers, and tells watchers and the bus;
//! meanwhile the writer decides the next group. So what was answered is on disk, and what is on disk may not have been
//! answered. Readers may see a commit before it is synced; whoever tells somebody of what was read waits for
//! that ([`Store::on_disk`]), so that nobody is told what may still be lost.
//!
//! The rows of `state` follow the history: most values are written there some groups later, in the order of their keys
//! (see [`writer`]'s `folding`). Until then they are in memory, with what was written or read lately (see [`recent`]), and are told
//! from there. `unfolded` of a scope counts its last changes that `state` may not have: whoever reads
//! `state` reads those too, or what memory knows of them, and the later version counts.
//!
//! The lock is held until the writer has ended. Where locks do not hold, a writer sees by the count of commits that
//! another one has been there, and ends without having changed anything.
//!
//! A write that is refused has changed nothing. A group that fails is undone: because of damage, its
//! writes are tried one by one, so that only the one that met it is refused; because the disk is
//! full, all are refused, and the next ones may succeed. When a sync fails, nobody can know what is
//! on disk: nothing more is answered, and the daemon ends.
//!
//! # The rule of crashes
//!
//! SQLite recovers: commits whose frames in the WAL are whole are there, others are not. The changes that
//! `unfolded` counts are put into `state`; one of them that is damaged is an end. What can be
//! wrong then, and where it is seen:
//!
//! | what | seen by |
//! | --- | --- |
//! | a byte of a row | its checksum, whenever it is read; such a value is refused, never served |
//! | a row that cannot be found any more | the count and the sum of checksums that its scope keeps |
//! | a change that is missing | the sequences of a scope, which have no holes; of its past, its count |
//! | pages that are not linked as they should be | SQLite's `quick_check` at each start |
//! | the WAL, from which commits were lost | the mark, at each start |
//! | the tables' definitions | compared at each start |
//!
//! The first is checked whenever a row is read from the file. The others are checked at the start (`check: full`), or in
//! the background right after it (`check: quick`), and by the operation `verify`. A page that is
//! damaged while the daemon runs, and that SQLite reads anew, may hide a key until one of them runs.
//! Nothing is ever repaired by deleting.
//!
//! At each start the WAL is brought into the database and both are synced: what a failed sync had
//! left in the system's memory only is written again before anybody builds on it.
//!
//! What is not here: JSON, Majordomo, the bus.

mod ahead;
mod backup;
mod check;
pub(crate) mod clock;
mod fault;
mod generations;
mod lock;
mod mark;
mod open;
mod outcome;
mod place;
mod progress;
mod reader;
mod recent;
mod row;
mod schema;
mod shared;
mod sum;
mod writer;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use crate::names::{Key, Scope};
use crate::refusal::{Code, Refusal};
use crate::request::Page;

pub(crate) use backup::{Contents, begin_anew, files_of, install, origin, sync_folder};
pub(crate) use check::{CheckError, Checked};
pub use fault::Fault;
pub(crate) use lock::Lock;
pub(crate) use mark::Identity;
pub use open::OpenError;
pub(crate) use reader::{KeyPage, Reader};
pub(crate) use row::{Change, Entry, ScopeRow};
pub(crate) use shared::{Condition, Shared};
pub(crate) use writer::{Announcement, Answered, Edited, Submission, Ticket, WriterError, Written};

use open::read_store_row;
use place::At;
use progress::Progress;
use recent::{Look, Recent};

/// Writes that wait for the writer.
const WAITING: usize = 4_096;
/// How many values are ahead of the table of values before they are brought there.
pub(crate) const AHEAD: usize = 16_384;
/// How long nobody writes before all of them are.
pub(crate) const REST: Duration = Duration::from_millis(100);

/// What a store is told.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The database file.
    pub(crate) database: PathBuf,
    /// The most scopes, deleted ones too.
    pub(crate) scopes: usize,
    /// How many changes of each scope are kept.
    pub(crate) history_count: u64,
    /// For how long.
    pub(crate) history_age: Duration,
    /// How many changes of each key are kept longer than that count; 0: none.
    pub(crate) history_per_key: usize,
    /// How many values may be ahead of the table of values before they are brought there.
    pub(crate) ahead: usize,
    /// How long nobody writes before all that is ahead is brought there.
    pub(crate) rest: Duration,
    /// For how long the answer to an id is remembered.
    pub(crate) retry_window: Duration,
    /// Whether commits that were acknowledged and are gone are accepted.
    pub(crate) accepts_loss: bool,
}

/// A store that is open. Dropped, it finishes what waits and closes.
#[derive(Debug)]
pub(crate) struct Store {
    submissions: SyncSender<Submission>,
    writer: Mutex<Option<JoinHandle<()>>>,
    answers: Option<UnboundedReceiver<Answered>>,
    ended: Option<oneshot::Receiver<Result<(), WriterError>>>,
    shared: Arc<Shared>,
    readers: reader::Pool,
    recent: Arc<Recent>,
    progress: Arc<Progress>,
    database: PathBuf,
}

impl Store {
    /// Gives a write to the writer; it comes back with its [`Answered`] group after the commit, or never when the
    /// disk fails.
    ///
    /// # Errors
    /// `busy` when too many wait.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), Refusal> {
        self.submissions
            .try_send(submission)
            .map_err(|error| match error {
                TrySendError::Full(_) => {
                    let error = format!("{WAITING} writes wait for the disk; try again");
                    Refusal::new(Code::Busy, error)
                }
                TrySendError::Disconnected(_) => draining(),
            })
    }

    /// Where answers come, until the writer has ended. To be asked once.
    pub(crate) fn answers(&mut self) -> Option<UnboundedReceiver<Answered>> {
        self.answers.take()
    }

    /// Reads with one of the connections that are kept for it.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.readers.read(read)
    }

    /// The value of a key, if it is kept in memory: as it is on disk. Never waits for the disk.
    pub(crate) fn recall(&self, scope: &Scope, key: &Key) -> Option<Entry> {
        self.recent.find(At { scope, key })
    }

    /// The value of a key that has one, else its scope, if that exists.
    pub(crate) fn value_or_scope(
        &self,
        scope: &Scope,
        key: &Key,
    ) -> Result<Result<Entry, Option<ScopeRow>>, Fault> {
        match self.recent.look(At { scope, key }) {
            Look::Kept(entry) => Ok(Ok(entry)),
            Look::Unknown { since, ahead } => self.read(|reader| {
                let found = reader.value_or_scope(scope, key, ahead)?;
                if let Ok(entry) = &found {
                    self.recent.found(since, At { scope, key }, entry);
                }
                Ok(found)
            }),
        }
    }

    /// Waits until everything that may have been read before is on disk. Whoever tells somebody of it waits.
    ///
    /// # Errors
    /// The disk has failed: it may be there or not.
    pub(crate) async fn on_disk(&self) -> Result<(), Fault> {
        self.progress.on_disk().await
    }

    /// A page of keys, with their values or without.
    pub(crate) fn keys(
        &self,
        scope: &Scope,
        page: &Page,
        has_values: bool,
    ) -> Result<Option<KeyPage>, Fault> {
        let ahead = self.recent.first_ahead(scope, page.range());
        self.read(|reader| reader.keys(scope, page, has_values, ahead))
    }

    /// What happened to a key before a sequence, the newest first, and whether there is more.
    pub(crate) fn history(
        &self,
        scope: &Scope,
        key: &Key,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Option<(Vec<Change>, bool)>, Fault> {
        let ahead = self.recent.version_ahead(At { scope, key });
        self.read(|reader| reader.history(scope, key, before, limit, ahead))
    }

    /// Reads everything; what is found to be damaged is shown.
    pub(crate) fn check(
        &self,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Checked, CheckError> {
        let outcome = self.readers.read(|reader| Ok(reader.check(progress)))?;
        match &outcome {
            Ok(_) | Err(CheckError::Stopped | CheckError::Fault(_)) => {}
            Err(CheckError::Rows { count, first }) => self.shared.show_damaged_rows(*count, first),
            Err(CheckError::Structure(place)) => self.shared.show_damage(place),
        }
        outcome
    }

    /// What the writer shows of itself.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The database file.
    pub(crate) fn database(&self) -> &Path {
        &self.database
    }

    /// The file of its write-ahead log.
    pub(crate) fn wal(&self) -> PathBuf {
        beside(&self.database, "-wal")
    }

    /// Waits until what was submitted is on disk, and ends the writer. Blocks.
    pub(crate) fn close(&self) {
        self.shared.close();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            // A panic of it was logged.
            let _ = writer.join();
        }
    }

    /// Waits until the writer has ended by itself. To be asked once.
    pub(crate) fn ended(&mut self) -> impl Future<Output = Result<(), WriterError>> + use<> {
        let ended = self.ended.take();
        async move {
            match ended {
                Some(ended) => ended.await.unwrap_or(Ok(())),
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

fn draining() -> Refusal {
    Refusal::new(Code::Draining, "the daemon stops")
}

/// The file beside a database whose name has this at its end.
fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests;

//! What follows a commit: the WAL is synced, and then everybody is told.
//!
//! SQLite commits without a sync (`synchronous = NORMAL`; it syncs around checkpoints all the same). The WAL is synced
//! here, on a thread of its own, while the writer decides the next group. Nobody is told anything of a group before it is
//! on disk: not those who wrote it, not those who watch, and not those who read, since memory shows it afterwards, and
//! what is read from the tables is held back by [`Progress`].
//!
//! One group is synced at a time, and one more may be committed as soon as it is. A group of few writes is synced by the
//! writer itself: waking another thread takes longer than deciding as many meanwhile.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Announcement, Answered};
use crate::names::Scope;
use crate::store::mark::{Identity, Mark, Marked};
use crate::store::progress::Progress;
use crate::store::recent::Recent;
use crate::store::{Fault, Shared};

/// The most writes of a group that the writer syncs itself.
const FEW: usize = 64;

/// A group that SQLite has committed.
#[derive(Debug)]
pub(super) struct Committed {
    /// How many commits there are with it.
    pub(super) commits: u64,
    /// The sequences of the scopes that it has changed.
    pub(super) heads: Vec<(Scope, u64)>,
    pub(super) announcements: Vec<Announcement>,
    pub(super) answers: Answered,
}

/// What is told after a commit, and to whom.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) identity: Identity,
    pub(super) mark: Mark,
    pub(super) shared: Arc<Shared>,
    pub(super) recent: Arc<Recent>,
    pub(super) progress: Arc<Progress>,
    pub(super) publisher: Option<mpsc::Sender<Vec<Announcement>>>,
    pub(super) answers: mpsc::UnboundedSender<Answered>,
}

/// The thread that syncs, as the writer has it.
#[derive(Debug)]
pub(super) struct Syncing {
    disk: Arc<Disk>,
    groups: SyncSender<Committed>,
    thread: JoinHandle<()>,
}

/// What both threads have.
#[derive(Debug)]
struct Disk {
    wal: File,
    present: Mutex<Use>,
    /// How long the last sync took, in nanoseconds.
    took: AtomicU64,
    has_changed: Condvar,
    telling: Mutex<Telling>,
}

/// What is done with the disk.
#[derive(Debug)]
enum Use {
    /// Nothing.
    Free,
    /// A group is being synced.
    Busy,
    /// A sync has failed, for this reason.
    Failed(String),
}

impl Syncing {
    /// Starts the thread, for a store that has its WAL in this file.
    pub(super) fn start(wal: &Path, telling: Telling) -> io::Result<Self> {
        let disk = Arc::new(Disk {
            wal: OpenOptions::new().read(true).write(true).open(wal)?,
            present: Mutex::new(Use::Free),
            took: AtomicU64::new(0),
            has_changed: Condvar::new(),
            telling: Mutex::new(telling),
        });
        // There is one at most, since the next one is sent when the disk is free.
        let (groups, committed) = sync_channel(1);
        let thread = thread::Builder::new().name("sync".to_owned()).spawn({
            let disk = disk.clone();
            move || disk.run(&committed)
        })?;
        Ok(Self {
            disk,
            groups,
            thread,
        })
    }

    /// Whether nothing is being synced.
    ///
    /// # Errors
    /// A sync has failed.
    pub(super) fn is_free(&self) -> Result<bool, Fault> {
        lock(&self.disk.present).is_free()
    }

    /// How long the last sync took.
    pub(super) fn took(&self) -> Duration {
        Duration::from_nanos(self.disk.took.load(Ordering::Relaxed))
    }

    /// Waits until nothing is being synced.
    ///
    /// # Errors
    /// A sync has failed.
    pub(super) fn wait(&self) -> Result<(), Fault> {
        let mut present = lock(&self.disk.present);
        while !present.is_free()? {
            let changed = self.disk.has_changed.wait(present);
            present = changed.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Has a group synced, and told of. To be called when the disk is free.
    ///
    /// # Errors
    /// The sync has failed, if it is known already.
    pub(super) fn sync(&self, committed: Committed) -> Result<(), Fault> {
        self.disk.turn(Use::Busy);
        if committed.answers.len() <= FEW {
            return self.disk.sync(committed);
        }
        let sent = self.groups.send(committed);
        sent.map_err(|_| Fault::File("the thread that syncs has ended".to_owned()))
    }

    /// Syncs the mark.
    pub(super) fn sync_mark(&self) -> Result<(), Fault> {
        let synced = lock(&self.disk.telling).mark.sync();
        synced.map_err(|error| Fault::File(format!("the mark: {error}")))
    }

    /// Waits until everything that was committed is on disk or cannot be brought there, and ends the thread.
    pub(super) fn end(self) -> Result<(), Fault> {
        let waited = self.wait();
        let synced = waited.and_then(|()| self.sync_mark());
        drop(self.groups);
        // A panic of it was logged.
        let _ = self.thread.join();
        synced
    }
}

impl Disk {
    fn run(&self, committed: &Receiver<Committed>) {
        let _ending = Ending(self);
        for group in committed {
            if self.sync(group).is_err() {
                return;
            }
        }
    }

    fn sync(&self, committed: Committed) -> Result<(), Fault> {
        let mut telling = lock(&self.telling);
        let began = clock();
        if let Err(error) = self.wal.sync_data() {
            let reason = format!("the WAL is not synced: {error}");
            telling.progress.fail();
            self.turn(Use::Failed(reason.clone()));
            return Err(Fault::File(reason));
        }
        // Before the writer is woken, which may take this core.
        let took = clock() - began;
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.took.store(nanos, Ordering::Relaxed);
        self.turn(Use::Free);
        telling.tell(committed, took);
        Ok(())
    }

    fn turn(&self, to: Use) {
        *lock(&self.present) = to;
        self.has_changed.notify_one();
    }
}

/// Says that nothing is synced any more if the thread ends by a panic.
struct Ending<'a>(&'a Disk);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            lock(&self.0.telling).progress.fail();
            let reason = "the thread that syncs has ended".to_owned();
            self.0.turn(Use::Failed(reason));
        }
    }
}

impl Use {
    fn is_free(&self) -> Result<bool, Fault> {
        match self {
            Self::Free => Ok(true),
            Self::Busy => Ok(false),
            Self::Failed(reason) => Err(Fault::File(reason.clone())),
        }
    }
}

impl Telling {
    /// Tells everybody of what is on disk, and took so long to get there.
    fn tell(&mut self, committed: Committed, took: Duration) {
        let marked = Marked {
            identity: self.identity,
            commits: committed.commits,
        };
        if let Err(error) = self.mark.write(marked) {
            // It is behind from here on, which makes it see less.
            tracing::warn!(context = "state.mark", %error, "the mark cannot be written");
        }
        // Whoever is told of the group by anybody finds it in memory.
        self.recent.show_commit();
        self.progress.end(committed.commits);
        self.shared.metrics.committed(committed.answers.len(), took);
        if !committed.answers.is_empty() {
            // Who no longer waits for an answer has it in the history.
            let _ = self.answers.send(committed.answers);
        }
        let heads = committed.heads.iter();
        self.shared
            .show_commit(heads.map(|(scope, sequence)| (scope, *sequence)));
        self.announce(committed.announcements);
        self.recent.take_in();
    }

    /// Hands changes to whoever publishes them. Does not wait: what there is no room for is counted,
    /// and shows on the bus as a jump of its scope's sequence.
    fn announce(&self, announcements: Vec<Announcement>) {
        let count = announcements.len() as u64;
        let Some(publisher) = self.publisher.as_ref().filter(|_| count > 0) else {
            return;
        };
        match publisher.try_send(announcements) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                self.shared.metrics.unpublished.inc_by(count);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long the disk takes")]
fn clock() -> Instant {
    Instant::now()
}

/// What is behind these locks is as good after a panic as before: the disk is said to have failed then.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! How far the writer is, and how far the disk.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::Fault;

/// Counts of commits: those that a reader may see, and those that are on disk.
///
/// Readers see a commit when SQLite has it, which is before it is synced. Who tells somebody of what was read
/// waits for the disk first.
#[derive(Debug)]
pub(super) struct Progress {
    committed: AtomicU64,
    disk: watch::Sender<Disk>,
}

/// How far the disk is.
#[derive(Debug, Clone, Copy, Default)]
struct Disk {
    commits: u64,
    has_failed: bool,
}

impl Progress {
    /// Of a store of which so many commits are on disk.
    pub(super) fn new(commits: u64) -> Self {
        let disk = Disk {
            commits,
            has_failed: false,
        };
        Self {
            committed: AtomicU64::new(commits),
            disk: watch::Sender::new(disk),
        }
    }

    /// Says that a commit begins, before a reader can see it.
    pub(super) fn begin(&self, commits: u64) {
        self.committed.store(commits, Ordering::SeqCst);
    }

    /// Says that the commit that had begun came to nothing.
    pub(super) fn undo(&self) {
        self.committed.fetch_sub(1, Ordering::SeqCst);
        // Somebody may wait for it.
        self.disk.send_modify(|_| {});
    }

    /// Says that so many commits are on disk, and that memory has what they come to.
    pub(super) fn end(&self, commits: u64) {
        self.disk.send_modify(|disk| disk.commits = commits);
    }

    /// Says that nothing more will be on disk for certain.
    pub(super) fn fail(&self) {
        self.disk.send_modify(|disk| disk.has_failed = true);
    }

    /// Waits until everything that may have been read before is on disk.
    ///
    /// # Errors
    /// The disk has failed: it may be there or not.
    pub(super) async fn on_disk(&self) -> Result<(), Fault> {
        let seen = self.committed.load(Ordering::SeqCst);
        if self.disk.borrow().commits >= seen {
            return Ok(());
        }
        let is_over = |disk: &Disk| {
            let committed = self.committed.load(Ordering::SeqCst);
            disk.has_failed || disk.commits >= seen.min(committed)
        };
        let mut disk = self.disk.subscribe();
        match disk.wait_for(is_over).await {
            Ok(disk) if !disk.has_failed => Ok(()),
            Ok(_) | Err(_) => Err(Fault::File("the disk has failed".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Whether who waits may tell, if that is known now.
    fn now(mut waiting: Pin<&mut impl Future<Output = Result<(), Fault>>>) -> Option<bool> {
        match waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(told) => Some(told.is_ok()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_was_read_is_told_when_it_is_on_disk() {
        let progress = Progress::new(3);
        assert_eq!(now(pin!(progress.on_disk())), Some(true));
        progress.begin(4);
        let mut fourth = pin!(progress.on_disk());
        assert_eq!(now(fourth.as_mut()), None);
        progress.begin(5);
        let mut fifth = pin!(progress.on_disk());
        assert_eq!(now(fifth.as_mut()), None);
        progress.end(4);
        assert_eq!(now(fourth.as_mut()), Some(true));
        assert_eq!(now(fifth.as_mut()), None);
        progress.end(5);
        assert_eq!(now(fifth.as_mut()), Some(true));
    }

    #[test]
    fn nobody_waits_for_a_commit_that_came_to_nothing() {
        let progress = Progress::new(3);
        progress.begin(4);
        let mut waiting = pin!(progress.on_disk());
        assert_eq!(now(waiting.as_mut()), None);
        progress.undo();
        assert_eq!(now(waiting.as_mut()), Some(true));
    }

    #[test]
    fn what_may_not_be_on_disk_is_not_told_when_the_disk_fails() {
        let progress = Progress::new(3);
        progress.begin(4);
        let mut waiting = pin!(progress.on_disk());
        assert_eq!(now(waiting.as_mut()), None);
        progress.fail();
        assert_eq!(now(waiting.as_mut()), Some(false));
    }
}

//! The thread that owns the spool, and the handle by which tasks reach it.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::{AppendError, BatchId, Spool, Waiting};
use crate::batch::Batch;
use crate::metrics::Published;
use plantd_daemon::health::Check;

/// Batches that the disk has not taken yet; beyond them the bus waits.
const COMMANDS: usize = 4;
/// How long a batch that waits may be without a sync.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Command {
    Append(Batch),
    /// Answered when there is a batch; dropped when there will be none.
    Take(oneshot::Sender<(BatchId, Batch)>),
    Stored(BatchId),
    Sync,
    /// Nothing is appended from here on.
    Finish,
}

/// Reaches the spool. Clones reach the same.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
}

/// Says how the spool ended.
pub(crate) type Ended = JoinHandle<io::Result<Waiting>>;

/// Starts the thread, which ends when the last handle is dropped.
pub(crate) fn start(
    spool: Spool,
    check: Check,
    published: Published,
) -> io::Result<(Handle, Ended)> {
    let (commands, received) = mpsc::channel(COMMANDS);
    let owner = Owner {
        spool,
        check,
        published,
        taker: None,
        is_finished: false,
        is_refusing: false,
    };
    let span = tracing::Span::current();
    let thread = thread::Builder::new().name("spool".to_owned());
    let ended = thread.spawn(move || span.in_scope(|| owner.run(received)))?;
    let handle = Handle { commands };
    tokio::spawn(keep_synced(handle.commands.downgrade()));
    Ok((handle, ended))
}

impl Handle {
    /// Takes a batch in; what becomes of it is counted.
    pub(crate) async fn append(&self, batch: Batch) {
        self.send(Command::Append(batch)).await;
    }

    /// Waits for the batch at the front, the same until it is [`Handle::stored`]. `None` once
    /// nothing waits and nothing more comes.
    pub(crate) async fn take(&self) -> Option<(BatchId, Batch)> {
        let (sender, taken) = oneshot::channel();
        self.send(Command::Take(sender)).await;
        taken.await.ok()
    }

    /// Removes a batch.
    pub(crate) async fn stored(&self, id: BatchId) {
        self.send(Command::Stored(id)).await;
    }

    /// Says that nothing more is appended.
    pub(crate) async fn finish(&self) {
        self.send(Command::Finish).await;
    }

    async fn send(&self, command: Command) {
        // A thread that is gone has panicked, and its end is seen by who joins it.
        let _ = self.commands.send(command).await;
    }
}

async fn keep_synced(commands: mpsc::WeakSender<Command>) {
    let mut ticks = interval(SYNC_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(commands) = commands.upgrade() else {
            return;
        };
        let _ = commands.send(Command::Sync).await;
    }
}

struct Owner {
    spool: Spool,
    check: Check,
    published: Published,
    /// Who waits for a batch.
    taker: Option<oneshot::Sender<(BatchId, Batch)>>,
    is_finished: bool,
    /// Whether the last batch was dropped.
    is_refusing: bool,
}

impl Owner {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) -> io::Result<Waiting> {
        self.show();
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Append(batch) => self.append(batch),
                Command::Take(taker) => self.taker = Some(taker),
                Command::Stored(id) => self.spool.stored(id),
                Command::Sync => self.sync(),
                Command::Finish => self.is_finished = true,
            }
            self.give();
            self.show();
        }
        let waiting = self.spool.waiting();
        self.spool.close()?;
        Ok(waiting)
    }

    fn append(&mut self, batch: Batch) {
        let count = u64::from(batch.count);
        let refused = self.spool.append(batch).err();
        if let Some(error) = &refused {
            let reason = match error {
                AppendError::Full { .. } => "spool_full",
                AppendError::Disk(_) => "spool_failed",
            };
            self.published.dropped(reason, count);
            // Told once: how much is dropped is a metric.
            if !self.is_refusing {
                tracing::error!(context = "spool.dropped", "metrics are dropped: {error}");
            }
        } else if self.is_refusing {
            tracing::info!(context = "spool.room", "metrics are taken again");
        }
        self.is_refusing = refused.is_some();
    }

    /// Gives the batch at the front to who waits for it.
    fn give(&mut self) {
        let before = self.spool.damaged();
        if let Some(taker) = self.taker.take_if(|taker| !taker.is_closed()) {
            match self.spool.front() {
                // A taker that went away asks again.
                Some(front) => drop(taker.send(front)),
                None if self.is_finished => {}
                None => self.taker = Some(taker),
            }
        }
        self.published
            .dropped("spool_damaged", self.spool.damaged() - before);
    }

    fn sync(&mut self) {
        if let Err(error) = self.spool.sync() {
            tracing::warn!(context = "spool.sync", "the disk does not sync: {error}");
        }
    }

    fn show(&self) {
        self.published.waiting(self.spool.waiting());
        match (self.is_refusing, self.spool.disk_error()) {
            (true, Some(error)) => self.check.down(error),
            (true, None) => self.check.down("full: metrics are dropped"),
            (false, Some(error)) => self.check.degraded(error),
            (false, None) => self.check.up(),
        }
    }
}

//! Where batches wait for the database: files in one directory, read in the order of writing.
//!
//! **Layout.** `<ordinal>.spool` is a *segment*: a header of 32 bytes (magic with version, the
//! random id of the run of the logger that wrote it, CRC-32), then records: length (4 bytes, big
//! endian), CRC-32 of what follows (4), number of the batch in its run (8), number of rows (4),
//! number of days (4), the days (4 each), and the rows as PostgreSQL's binary COPY takes them.
//! `lock` is held by the logger that uses the directory. `<ordinal>.damaged` is a segment that
//! could not be read to its end.
//!
//! **Update rule.** Every batch goes through here, also while the database is there. A run appends
//! to segments of its own, the last of which is the *active* one, and never to those that it finds.
//! A batch is read from the front and removed when it is known to be stored: a segment whose
//! batches are all stored is deleted, the active one is cut back to its header. A batch that the
//! disk does not take waits in memory, up to 16 MiB, and is written as soon as the disk does.
//! What waited for a second has been synced; what is younger survives the process and not the
//! machine.
//!
//! **Crash rule.** A record counts when it is whole. The end of a segment that is not is *torn*: it
//! was being written when the process or the machine stopped, and is reported and left out. What
//! is damaged elsewhere is reported, what comes before it is used, and the file is set aside.
//! Nothing says on disk how far a segment is stored: the database does (`database/ledger.rs`), by
//! run and number, so that a batch that is read twice is stored once. Since no run writes to
//! another's segments, a number is never used again, not even after the machine forgot a record
//! that was stored.

mod owner;
mod record;
mod segment;

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::batch::Batch;
use record::Record;
use segment::{Flaw, Segment};

pub(crate) use owner::{Ended, Handle, start};

/// Beyond this the active segment is followed by another.
const SEGMENT_BYTES: u64 = 8 << 20;
/// What waits in memory while the disk takes nothing.
const MEMORY_BYTES: usize = 16 << 20;

/// Counts the batches of a run.
type Number = u64;

/// Names one run of a logger, by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run(pub(crate) u128);

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Names a batch for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchId {
    pub(crate) run: Run,
    pub(crate) number: Number,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) metrics: u64,
    pub(crate) bytes: u64,
}

impl Waiting {
    fn add(&mut self, count: u32, bytes: u64) {
        self.metrics += u64::from(count);
        self.bytes += bytes;
    }

    fn remove(&mut self, count: u32, bytes: u64) {
        self.metrics = self.metrics.saturating_sub(u64::from(count));
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Says that a spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The directory cannot be made or read.
    #[error("the spool directory {}", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    /// Another process holds it.
    #[error("the spool directory {} is in use by another logger", .0.display())]
    InUse(PathBuf),
    /// A file cannot be read.
    #[error("the segment {} cannot be read; move it away to start without what it holds", .0.display())]
    Segment(PathBuf, #[source] io::Error),
}

/// Says that a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error("the spool is full: {used} bytes of {limit}")]
    Full { used: u64, limit: u64 },
    #[error("the disk does not take it")]
    Disk(#[source] io::Error),
}

/// The batches that wait for the database.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    limit_bytes: u64,
    run: Run,
    next_number: Number,
    next_ordinal: u64,
    /// In the order of writing. The last one is active if this run wrote it.
    segments: VecDeque<Segment>,
    /// What the disk did not take, newer than all in segments.
    memory: VecDeque<Record>,
    /// Whether the limit was reached and nothing is taken until an eighth of it is free.
    is_full: bool,
    /// Why the disk took nothing last.
    disk_error: Option<String>,
    /// Metrics that were damaged after they were written.
    damaged: u64,
    /// Held while this lives.
    _lock: File,
}

impl Spool {
    /// Opens a directory, which is made if it is missing, and reads what is in it.
    pub(crate) fn open(directory: &Path, limit_bytes: u64, run: Run) -> Result<Self, OpenError> {
        let in_directory = |error| OpenError::Directory(directory.to_owned(), error);
        fs::create_dir_all(directory).map_err(in_directory)?;
        let lock = lock(directory)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).map_err(in_directory)? {
            let path = entry.map_err(in_directory)?.path();
            found.extend(segment::ordinal(&path).map(|ordinal| (ordinal, path)));
        }
        found.sort();
        let next_ordinal = found.last().map_or(1, |(ordinal, _)| ordinal + 1);
        let mut segments = VecDeque::new();
        for (_, path) in found {
            let opened = Segment::open(path.clone());
            let (segment, flaw) =
                opened.map_err(|error| OpenError::Segment(path.clone(), error))?;
            if let Some(flaw) = flaw {
                report(flaw, &path);
            }
            match segment {
                Some(segment) => segments.push_back(segment),
                // Without a header nothing says whose it is.
                None => drop(Segment::set_aside(&path)),
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            limit_bytes,
            run,
            next_number: 1,
            next_ordinal,
            segments,
            memory: VecDeque::new(),
            is_full: false,
            disk_error: None,
            damaged: 0,
            _lock: lock,
        })
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// When it is beyond the limit, or beyond what waits in memory for a disk that takes nothing.
    pub(crate) fn append(&mut self, batch: Batch) -> Result<(), AppendError> {
        let (used, limit) = (self.len_bytes(), self.limit_bytes);
        let least_free = if self.is_full { limit / 8 } else { 0 };
        self.is_full = used + least_free.max(batch.rows.len() as u64) > limit;
        if self.is_full {
            return Err(AppendError::Full { used, limit });
        }
        let number = self.next_number;
        self.next_number += 1;
        self.memory.push_back(Record { number, batch });
        if let Err(error) = self.write() {
            self.disk_error = Some(error.to_string());
            let held: usize = self.memory.iter().map(|held| held.batch.rows.len()).sum();
            if held > MEMORY_BYTES {
                self.memory.pop_back();
                return Err(AppendError::Disk(error));
            }
        }
        Ok(())
    }

    /// Writes what is in memory.
    fn write(&mut self) -> io::Result<()> {
        while let Some(record) = self.memory.front() {
            let is_full = |active: &Segment| active.len_bytes() >= SEGMENT_BYTES;
            let active = self.segments.back_mut();
            let segment = match active.filter(|last| last.run == self.run && !is_full(last)) {
                Some(active) => active,
                None => {
                    let created = Segment::create(&self.directory, self.next_ordinal, self.run)?;
                    self.next_ordinal += 1;
                    self.segments.push_back(created);
                    self.segments.back_mut().expect("one was added")
                }
            };
            segment.append(record)?;
            self.memory.pop_front();
        }
        self.disk_error = None;
        Ok(())
    }

    /// Reads the batch at the front, again until it is [`Spool::stored`].
    pub(crate) fn front(&mut self) -> Option<(BatchId, Batch)> {
        self.remove_drained();
        while let Some(segment) = self.segments.front_mut() {
            let run = segment.run;
            match segment.next() {
                Ok(Some(Record { number, batch })) => {
                    return Some((BatchId { run, number }, batch));
                }
                Ok(None) => break,
                Err(error) => self.set_front_aside(&error),
            }
        }
        let Record { number, batch } = self.memory.front()?.clone();
        let run = self.run;
        Some((BatchId { run, number }, batch))
    }

    /// Removes the batch at the front, if it is this one.
    pub(crate) fn stored(&mut self, id: BatchId) {
        match self
            .segments
            .front_mut()
            .filter(|front| !front.is_drained())
        {
            Some(front) if front.run == id.run => front.stored(id.number),
            Some(_) => {}
            None => {
                let is_it = |front: &mut Record| front.number == id.number;
                self.memory.pop_front_if(is_it);
            }
        }
        self.remove_drained();
    }

    /// Deletes segments at the front that are stored, and cuts the active one back.
    fn remove_drained(&mut self) {
        while let Some(front) = self.segments.pop_front_if(|front| front.is_drained()) {
            let mut front = front;
            let is_active = self.segments.is_empty() && front.run == self.run;
            let path = front.path.clone();
            let done = if is_active {
                let cleared = front.clear();
                self.segments.push_front(front);
                cleared
            } else {
                front.remove()
            };
            if let Err(error) = done {
                // Its batches are read again by the next run, and found to be stored.
                tracing::warn!(
                    context = "spool.remove",
                    path = %path.display(),
                    "a segment that is stored cannot be removed: {error}"
                );
            }
            if is_active {
                return;
            }
        }
    }

    /// Has the disk hold what waits.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.segments.iter_mut().try_for_each(Segment::sync)
    }

    /// Deletes what is empty, before the process ends.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.write()?;
        self.sync()?;
        match self.segments.pop_back_if(|last| last.is_drained()) {
            Some(last) => last.remove(),
            None => Ok(()),
        }
    }

    /// What waits, on disk and in memory.
    pub(crate) fn waiting(&self) -> Waiting {
        let mut waiting = Waiting::default();
        for segment in &self.segments {
            waiting.metrics += segment.waiting.metrics;
            waiting.bytes += segment.waiting.bytes;
        }
        for Record { batch, .. } in &self.memory {
            waiting.add(batch.count, batch.rows.len() as u64);
        }
        waiting
    }

    /// Why the disk takes nothing, if it does not.
    pub(crate) fn disk_error(&self) -> Option<&str> {
        self.disk_error.as_deref()
    }

    /// How many metrics were damaged after they were written.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The bytes of all files and of what is in memory.
    fn len_bytes(&self) -> u64 {
        let files: u64 = self.segments.iter().map(Segment::len_bytes).sum();
        let memory: usize = self.memory.iter().map(|held| held.batch.rows.len()).sum();
        files + memory as u64
    }

    fn set_front_aside(&mut self, error: &io::Error) {
        let Some(mut front) = self.segments.pop_front() else {
            return;
        };
        let lost = front.give_up();
        self.damaged += lost.metrics;
        let aside = Segment::set_aside(&front.path).unwrap_or_else(|_| front.path.clone());
        tracing::error!(
            context = "spool.damaged",
            path = %aside.display(),
            metrics = lost.metrics,
            "a segment cannot be read any more and is set aside: {error}"
        );
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    let opened = File::options().create(true).append(true).open(path);
    let file = opened.map_err(|error| OpenError::Directory(directory.to_owned(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
        Err(fs::TryLockError::Error(error)) => {
            Err(OpenError::Directory(directory.to_owned(), error))
        }
    }
}

fn report(flaw: Flaw, path: &Path) {
    let path = path.display();
    match flaw {
        Flaw::Torn { bytes } => tracing::warn!(
            context = "spool.torn",
            %path,
            bytes,
            "the end of a segment was never written whole and is left out"
        ),
        Flaw::Damaged { offset, bytes } => tracing::error!(
            context = "spool.damaged",
            %path,
            offset,
            bytes,
            "a segment is damaged; what comes before is stored, what comes after is not read"
        ),
    }
}

#[cfg(test)]
mod tests;

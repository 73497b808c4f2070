//! The thread that writes: takes what waits, decides it in order, commits it together, and answers
//! after the commit.

mod answers;
mod crowd;
mod edits;
mod folding;
mod group;
mod past;
mod scopes;
mod statements;
mod syncing;
mod upkeep;

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::clock::Clock;
use super::mark::Mark;
use super::progress::Progress;
use super::recent::Recent;
use super::row::{Change, ScopeRow, StoreRow};
use super::{Fault, Options, Shared, read_store_row};
use crate::names::Scope;
use crate::refusal::Refusal;
use crate::request::{Write, WriteId};
pub(super) use answers::answer_checksum;
use crowd::Crowd;
use folding::Folding;
pub(super) use folding::fold_history;
use group::Group;
use statements::Statements;
use syncing::{Syncing, Telling};

/// How often what is overdue is looked after, at least.
const TURN: Duration = Duration::from_millis(100);
/// How often the rest of the upkeep is done.
const UPKEEP: Duration = Duration::from_secs(1);
/// Pages of the WAL beyond which it is brought into the database. It begins anew then, and a page that is
/// written over another one of a file is synced sooner than one that makes the file longer.
const WAL_PAGES: i32 = 2_048;

slotmap::new_key_type! {
    /// Names who waits for a write; given by whoever submits it.
    pub(crate) struct Ticket;
}

/// A write on its way to the writer, and back with its answer.
#[derive(Debug)]
pub(crate) struct Submission {
    /// In a box, which whoever made it lets go of: only a pointer moves.
    pub(crate) write: Box<Write>,
    pub(crate) id: Option<WriteId>,
    pub(crate) ticket: Ticket,
}

/// Writes that were committed or refused together, each with what came of it.
pub(crate) type Answered = Vec<(Submission, Answer)>;

/// What came of a write, told after it is on disk.
pub(crate) type Answer = Result<Written, Refusal>;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Written {
    Scope {
        sequence: u64,
        deleted: u64,
    },
    Edit(Edited),
    Batch(Vec<Edited>),
    Prefix {
        deleted: u64,
        has_more: bool,
        sequence: u64,
    },
}

/// What came of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edited {
    pub(crate) version: u64,
    pub(crate) previous: u64,
}

/// A change that is on disk, for whoever publishes it.
#[derive(Debug, Clone)]
pub(crate) struct Announcement {
    pub(crate) scope: Scope,
    pub(crate) change: Change,
}

/// The writer's state. What it holds of the tables is as they are between two groups.
pub(super) struct Writer<'c> {
    connection: &'c Connection,
    statements: Statements<'c>,
    shared: Arc<Shared>,
    recent: Arc<Recent>,
    progress: Arc<Progress>,
    options: Options,
    answers: mpsc::UnboundedSender<Answered>,
    syncing: Syncing,
    crowd: Crowd,
    clock: Clock,
    row: StoreRow,
    scopes: BTreeMap<Scope, ScopeRow>,
    folding: Folding,
    next_number: i64,
    /// The first moment at which a value may be due.
    next_due: Option<i64>,
    wal_pages: Arc<AtomicI32>,
    last_upkeep: Instant,
    upkeep_from: Option<Scope>,
    /// From where on the past is to be looked through; `None`: it was.
    past_from: Option<i64>,
    group: Group,
    /// Empty between two groups: the room for the submissions of one.
    submitted: Vec<Submission>,
}

/// The wall clock, the one clock and the clock of `ttl`, as they are for a whole group.
#[derive(Debug, Clone, Copy)]
struct Now {
    instant: Instant,
    wall: SystemTime,
    clock: i64,
}

/// Why the writer ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriterError {
    /// What was being committed may or may not be on disk; nobody was told that it is.
    #[error("what is written is not kept")]
    NotKept(#[source] Fault),
    /// The thread could not begin.
    #[error("the writer cannot start")]
    Start(#[source] Fault),
}

impl<'c> Writer<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        (shared, recent, progress): (Arc<Shared>, Arc<Recent>, Arc<Progress>),
        options: Options,
        (publisher, answers): (
            Option<mpsc::Sender<Vec<Announcement>>>,
            mpsc::UnboundedSender<Answered>,
        ),
        (mark, row): (Mark, StoreRow),
        wal_pages: Arc<AtomicI32>,
    ) -> Result<Self, Fault> {
        // From here on commits are synced by the other thread.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let telling = Telling {
            identity: row.identity,
            mark,
            shared: shared.clone(),
            recent: recent.clone(),
            progress: progress.clone(),
            publisher,
            answers: answers.clone(),
        };
        let wal = super::beside(&options.database, "-wal");
        let syncing = Syncing::start(&wal, telling)
            .map_err(|error| Fault::File(format!("{}: {error}", wal.display())))?;
        let (now, wall) = clocks();
        let kept = (row.commits > 0).then_some(row.kept);
        let mut writer = Self {
            connection,
            statements: Statements::prepare(connection)?,
            shared,
            recent,
            progress,
            options,
            answers,
            syncing,
            crowd: Crowd::default(),
            clock: Clock::start(kept, now, wall),
            row,
            scopes: BTreeMap::new(),
            folding: Folding::default(),
            next_number: 1,
            next_due: None,
            wal_pages,
            last_upkeep: now,
            upkeep_from: None,
            past_from: Some(0),
            group: Group::default(),
            submitted: Vec::new(),
        };
        writer.read_scopes()?;
        writer.next_due = writer.read_next_due()?;
        writer.shared.began(writer.clock.clone());
        Ok(writer)
    }

    /// Writes until nobody can submit any more, or the disk fails.
    pub(super) fn run(mut self, submissions: &Receiver<Submission>) -> Result<(), WriterError> {
        let written = self.write_all(submissions);
        let written = written.map_err(|fault| self.cause(fault));
        let outcome = written.and(self.syncing.end());
        outcome.map_err(WriterError::NotKept)
    }

    /// Why a group failed: what another daemon has written may be in the way.
    fn cause(&self, fault: Fault) -> Fault {
        match read_store_row(self.connection) {
            Ok(found) if found.commits > self.row.commits => Fault::Overtaken,
            Ok(_) | Err(_) => fault,
        }
    }

    fn write_all(&mut self, submissions: &Receiver<Submission>) -> Result<(), Fault> {
        loop {
            let first = match submissions.recv_timeout(TURN) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) if self.shared.is_closing() => break,
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.turn(first, submissions)?;
        }
        let now = self.now();
        self.fold_the_rest(now)?;
        self.syncing.wait()?;
        self.checkpoint(CheckpointMode::TRUNCATE)
    }

    /// One group, and what else is due. An error is the end.
    fn turn(
        &mut self,
        first: Option<Submission>,
        submissions: &Receiver<Submission>,
    ) -> Result<(), Fault> {
        let now = self.now();
        if self.syncing.is_free()? {
            self.shared.beat(now.instant);
        }
        let is_due = self.next_due.is_some_and(|due| due <= now.clock);
        if first.is_some() || is_due {
            let mut group = mem::take(&mut self.submitted);
            group.extend(first);
            self.commit_group(&mut group, Some(submissions), now)?;
            self.submitted = group;
        } else if self.is_at_rest(now) {
            self.fold_the_rest(now)?;
        }
        if now.instant.saturating_duration_since(self.last_upkeep) >= UPKEEP {
            self.last_upkeep = now.instant;
            self.syncing.sync_mark()?;
            self.keep_up(now)?;
            self.show_sizes();
        }
        if self.wal_pages.load(Ordering::Relaxed) > WAL_PAGES {
            self.checkpoint(CheckpointMode::PASSIVE)?;
        }
        Ok(())
    }

    fn decide(&mut self, write: &Write, now: Now) -> Result<Answer, Fault> {
        match write {
            Write::CreateScope(scope) => self.create_scope(scope, now),
            Write::DeleteScope(scope) => self.delete_scope(scope, now),
            Write::Edit(edit) => Ok(self.edit(edit, now)?.map(Written::Edit)),
            Write::Batch(edits) => Ok(self.edit_all(edits, now)?.map(Written::Batch)),
            Write::DeletePrefix {
                scope,
                prefix,
                limit,
            } => self.delete_prefix(scope, prefix, *limit, now),
        }
    }

    fn now(&self) -> Now {
        let (instant, wall) = clocks();
        Now {
            instant,
            wall,
            clock: self.clock.clock(instant),
        }
    }
}

/// The one place of the writer's loop where clocks are read.
#[expect(clippy::disallowed_methods, reason = "the clock of the writer's loop")]
fn clocks() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}

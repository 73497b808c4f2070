//! The thread that writes: takes what waits, decides it in order, commits it together, and answers
//! after the commit.

mod answers;
mod crowd;
mod edits;
mod folding;
mod past;
mod scopes;
mod statements;
mod syncing;
mod upkeep;

use std::collections::BTreeMap;
use std::fs;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::clock::{Clock, Kept};
use super::mark::{Identity, Mark};
use super::outcome::Outcome;
use super::progress::Progress;
use super::recent::Recent;
use super::row::{Change, ScopeRow, Sum};
use super::{Fault, Options, Shared, read_store_row};
use crate::names::Scope;
use crate::refusal::Refusal;
use crate::request::{Write, WriteId};
pub(super) use answers::answer_checksum;
use crowd::Crowd;
use folding::Folding;
pub(super) use folding::fold_history;
use statements::Statements;
use syncing::{Committed, Syncing, Telling};

/// The most writes of a group.
const GROUP: usize = 1_024;
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

/// What a store knows of itself, apart from its scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoreRow {
    pub(super) identity: Identity,
    /// The backup that it was restored from.
    pub(super) origin: Option<String>,
    pub(super) commits: u64,
    pub(super) kept: Kept,
}

impl StoreRow {
    pub(super) fn checksum(&self) -> u32 {
        let mut sum = Sum::of("store");
        sum.bytes(&self.identity)
            .text(self.origin.as_deref().unwrap_or_default())
            .number(self.commits as i64)
            .number(self.kept.stamp)
            .number(self.kept.clock)
            .number(self.kept.wall);
        sum.end()
    }
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

/// What the present group has done to the writer's state.
#[derive(Default)]
struct Group {
    /// Scopes as they were before.
    before: BTreeMap<Scope, Option<ScopeRow>>,
    /// What it has changed, which is announced afterwards.
    announcements: Vec<Announcement>,
    /// The ids of those changes that the history does not have yet: the last ones.
    unlogged: Vec<i64>,
    /// What it comes to for values.
    outcome: Outcome,
    /// Scopes whose sweep it has ended.
    swept: Vec<Scope>,
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

    /// Commits a group, of these and of what else is submitted, and has it answered, which leaves none. When it fails for a
    /// reason that may lie in one write, each is tried alone.
    fn commit_group(
        &mut self,
        group: &mut Vec<Submission>,
        submissions: Option<&Receiver<Submission>>,
        now: Now,
    ) -> Result<(), Fault> {
        match self.try_group(group, submissions, now) {
            Ok(answers) => self.after_commit(group.drain(..).zip(answers).collect()),
            Err(fault @ Fault::Damaged { .. }) if group.len() > 1 => {
                self.roll_back()?;
                tracing::debug!(%fault, "a group is committed one by one");
                for submission in group.drain(..) {
                    self.commit_group(&mut vec![submission], None, now)?;
                }
                Ok(())
            }
            Err(fault @ (Fault::Full | Fault::Held | Fault::Damaged { .. })) => {
                self.roll_back()?;
                self.shared.show_refusing(&fault);
                let refuse = |submission| (submission, Err(fault.refusal()));
                // Who no longer waits for an answer needs none.
                let _ = self.answers.send(group.drain(..).map(refuse).collect());
                Ok(())
            }
            // Nobody is answered: what was being committed may be on disk or not.
            Err(fault @ (Fault::Overtaken | Fault::Sqlite(_) | Fault::File(_))) => Err(fault),
        }
    }

    /// Decides and commits a group. While the group before is synced, more is taken into it, and while the
    /// rest of a [crowd](crowd) is on its way.
    fn try_group(
        &mut self,
        group: &mut Vec<Submission>,
        submissions: Option<&Receiver<Submission>>,
        mut now: Now,
    ) -> Result<Vec<Answer>, Fault> {
        self.statements.begin.execute([])?;
        self.fold_some(now)?;
        self.expire_due(now)?;
        let mut answers = Vec::new();
        let mut patience = self.crowd.patience(self.syncing.took());
        loop {
            let is_free = self.syncing.is_free()?;
            if let Some(submissions) = submissions {
                group.extend(submissions.try_iter().take(GROUP - group.len()));
            }
            answers.reserve(group.len() - answers.len());
            let is_idle = answers.len() == group.len();
            for submission in &group[answers.len()..] {
                answers.push(self.answer(submission, now)?);
            }
            if is_free {
                let next = submissions.and_then(|submissions| {
                    let left = patience.left(group.len(), || self.now().instant)?;
                    submissions.recv_timeout(left).ok()
                });
                let Some(next) = next else { break };
                group.push(next);
            } else if is_idle {
                self.syncing.wait()?;
            }
            now = self.now();
        }
        self.end_group(now)?;
        self.commit()?;
        self.crowd.committed(group.len());
        Ok(answers)
    }

    /// Commits what was decided; the disk is free. Readers may see it from here on.
    fn commit(&mut self) -> Result<(), Fault> {
        self.syncing.wait()?;
        self.shared.beat(self.now().instant);
        let outcome = mem::take(&mut self.group.outcome);
        self.folding.last_group = outcome.values.len();
        self.progress.begin(self.row.commits);
        self.recent.begin_commit(self.heads(), outcome);
        let committed = self.statements.commit.execute([]);
        if committed.is_err() {
            self.recent.undo_commit();
            self.progress.undo();
        }
        committed?;
        Ok(())
    }

    /// The sequences of the scopes that the group has changed.
    fn heads(&self) -> Vec<(Scope, u64)> {
        let changed = self.group.before.keys();
        let heads =
            changed.filter_map(|scope| Some((scope.clone(), self.scopes.get(scope)?.sequence)));
        heads.collect()
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

    /// Writes what the group has changed of scopes, and that there was a commit.
    fn end_group(&mut self, now: Now) -> Result<(), Fault> {
        self.write_log()?;
        self.shorten_histories(now)?;
        self.write_scopes()?;
        let kept = self.clock.kept(now.instant, now.wall);
        let row = StoreRow {
            commits: self.row.commits + 1,
            kept,
            ..self.row.clone()
        };
        let updated = self.statements.store.execute((
            row.commits as i64,
            kept.stamp,
            kept.clock,
            kept.wall,
            row.checksum(),
        ))?;
        if updated == 0 {
            return Err(Fault::Overtaken);
        }
        self.row = row;
        Ok(())
    }

    /// Has what was committed synced, and everybody told of it.
    fn after_commit(&mut self, answers: Answered) -> Result<(), Fault> {
        let heads = self.heads();
        let group = self.next_group();
        self.syncing.sync(Committed {
            commits: self.row.commits,
            heads,
            announcements: group.announcements,
            answers,
        })
    }

    /// Takes the present group, in whose place comes one that may be as large.
    fn next_group(&mut self) -> Group {
        let size = self.folding.last_group;
        let next = Group {
            announcements: Vec::with_capacity(size),
            unlogged: Vec::with_capacity(size),
            outcome: Outcome::with_capacity(size),
            ..Group::default()
        };
        mem::replace(&mut self.group, next)
    }

    /// Undoes the present group, in the tables and here.
    fn roll_back(&mut self) -> Result<(), Fault> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        self.folding.give_up_sweep();
        let Group { before, swept, .. } = self.next_group();
        self.folding.put_back(swept);
        for (scope, row) in before {
            match row {
                Some(row) => drop(self.scopes.insert(scope, row)),
                None => drop(self.scopes.remove(&scope)),
            }
        }
        let found = read_store_row(self.connection)?;
        // Its count is not to be taken for the own one.
        if found.commits > self.row.commits {
            return Err(Fault::Overtaken);
        }
        self.row = found;
        self.next_due = self.read_next_due()?;
        Ok(())
    }

    fn show_sizes(&self) {
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        let metrics = &self.shared.metrics;
        let database = &self.options.database;
        metrics.file_bytes.set(size(database).cast_signed());
        let wal = super::beside(database, "-wal");
        metrics.wal_bytes.set(size(&wal).cast_signed());
    }

    /// Brings the WAL into the database, as far as readers let it.
    fn checkpoint(&mut self, mode: CheckpointMode) -> Result<(), Fault> {
        match self.connection.wal_checkpoint_v2(None::<&str>, mode) {
            Ok(_) => {
                self.wal_pages.store(0, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => match Fault::from(error) {
                Fault::Full => {
                    self.shared.show_refusing(&Fault::Full);
                    Ok(())
                }
                // A reader is in the way; the next one will do.
                Fault::Held => Ok(()),
                fault @ (Fault::Damaged { .. }
                | Fault::Overtaken
                | Fault::Sqlite(_)
                | Fault::File(_)) => Err(fault),
            },
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

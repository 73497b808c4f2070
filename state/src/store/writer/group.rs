//! A group: what is decided, committed, synced and answered together, or undone together.

use std::collections::BTreeMap;
use std::mem;
use std::sync::mpsc::Receiver;

use super::syncing::Committed;
use super::{Announcement, Answer, Answered, Now, Submission, Writer};
use crate::names::Scope;
use crate::store::outcome::Outcome;
use crate::store::row::{ScopeRow, StoreRow};
use crate::store::{Fault, read_store_row};

/// The most writes of a group.
const GROUP: usize = 1_024;

/// What the present group has done to the writer's state.
#[derive(Default)]
pub(super) struct Group {
    /// Scopes as they were before.
    pub(super) before: BTreeMap<Scope, Option<ScopeRow>>,
    /// What it has changed, which is announced afterwards.
    pub(super) announcements: Vec<Announcement>,
    /// The ids of those changes that the history does not have yet: the last ones.
    pub(super) unlogged: Vec<i64>,
    /// What it comes to for values.
    pub(super) outcome: Outcome,
    /// Scopes whose sweep it has ended.
    pub(super) swept: Vec<Scope>,
    /// The sequences of the scopes that it has changed, once it is being committed.
    heads: Vec<(Scope, u64)>,
}

impl Writer<'_> {
    /// Commits a group, of these and of what else is submitted, and has it answered, which leaves none. When it fails for a
    /// reason that may lie in one write, each is tried alone.
    pub(super) fn commit_group(
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
    /// rest of a [crowd](super::crowd) is on its way.
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
    pub(super) fn commit(&mut self) -> Result<(), Fault> {
        self.syncing.wait()?;
        self.shared.beat(self.now().instant);
        let outcome = mem::take(&mut self.group.outcome);
        self.folding.last_group = outcome.values.len();
        self.progress.begin(self.row.commits);
        self.group.heads = self.heads();
        let heads = self.group.heads.clone();
        self.recent.begin_commit(heads, outcome);
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

    /// Writes what the group has changed of scopes, and that there was a commit.
    pub(super) fn end_group(&mut self, now: Now) -> Result<(), Fault> {
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
    pub(super) fn after_commit(&mut self, answers: Answered) -> Result<(), Fault> {
        let group = self.next_group();
        self.syncing.sync(Committed {
            commits: self.row.commits,
            heads: group.heads,
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
    pub(super) fn roll_back(&mut self) -> Result<(), Fault> {
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
}

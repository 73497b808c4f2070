//! Writes that wait until they are on disk, who waits for each, and what they are told.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use plantd_client::{Pledge, WorkerError};
use slotmap::SlotMap;
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Service, clock, damaged};
use crate::refusal::{Code, Refusal};
use crate::reply::Object;
use crate::request::{Action, Edit, Write, WriteRequest};
use crate::store::{Answered, Condition, Edited, Submission, Ticket, Written};

/// What a task that waits for a write is told.
type Told = Result<Answer, WorkerError>;

/// Everybody who waits for a write.
#[derive(Debug, Default)]
pub(super) struct Writing(Mutex<Writes>);

#[derive(Debug, Default)]
struct Writes {
    waiters: SlotMap<Ticket, Waiter>,
    /// Whether nobody tells of writes any more.
    is_over: bool,
}

#[derive(Debug)]
struct Waiter {
    by: By,
    echo: bool,
}

/// How somebody waits.
#[derive(Debug)]
pub(super) enum By {
    /// By a pledge, since this moment.
    Pledge(Pledge, Instant),
    Task(oneshot::Sender<Told>),
}

impl Writing {
    fn writes(&self) -> MutexGuard<'_, Writes> {
        // A map that a panic left is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Gives a write to the writer; whoever waits is told by [`Service::tell_written`]. Refused at once, nobody waits.
    pub(super) fn begin_write(&self, request: WriteRequest, by: By) -> Result<(), Refusal> {
        if let Condition::Damaged(place) = self.store.shared().condition() {
            return Err(damaged(&place));
        }
        let WriteRequest { write, id, echo } = request;
        let mut writes = self.writing.writes();
        if writes.is_over {
            return Err(Refusal::new(Code::Draining, "the daemon stops"));
        }
        let ticket = writes.waiters.insert(Waiter { by, echo });
        let submission = Submission {
            write: Box::new(write),
            id,
            ticket,
        };
        let submitted = self.store.submit(submission);
        if submitted.is_err() {
            writes.waiters.remove(ticket);
        }
        submitted
    }

    /// Writes, and waits until it is on disk.
    pub(super) async fn write(&self, request: WriteRequest) -> Told {
        let (sender, told) = oneshot::channel();
        match self.begin_write(request, By::Task(sender)) {
            Ok(()) => told.await.unwrap_or_else(|_| Err(disk_failed())),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Tells everybody who waits what came of the write, a group at a time, until the writer has ended: who waits
    /// then is told that nobody knows.
    pub(crate) async fn tell_written(self, mut groups: mpsc::UnboundedReceiver<Answered>) {
        while let Some(group) = groups.recv().await {
            let now = clock();
            let mut writes = self.writing.writes();
            for (Submission { write, ticket, .. }, answer) in group {
                let Some(Waiter { by, echo }) = writes.waiters.remove(ticket) else {
                    continue;
                };
                let answer = answer.map(|written| written_reply(&write, &written, echo));
                match by {
                    By::Pledge(pledge, began) => pledge.answer(Ok(self.reply(answer, began, now))),
                    // Who no longer waits has it in the history.
                    By::Task(sender) => drop(sender.send(Ok(answer))),
                }
            }
        }
        let waiters = {
            let mut writes = self.writing.writes();
            writes.is_over = true;
            std::mem::take(&mut writes.waiters)
        };
        for (_, waiter) in waiters {
            match waiter.by {
                By::Pledge(pledge, _) => pledge.answer(Err::<Vec<u8>, _>(disk_failed())),
                By::Task(sender) => drop(sender.send(Err(disk_failed()))),
            }
        }
    }
}

/// What a client is told whose write is on disk.
fn written_reply(write: &Write, written: &Written, echo: bool) -> Vec<u8> {
    let mut out = Object::data();
    match (write, written) {
        (Write::CreateScope(scope), Written::Scope { sequence, .. }) => {
            out.text("scope", scope.as_str())
                .text("status", "created")
                .number("sequence", *sequence);
        }
        (Write::DeleteScope(scope), Written::Scope { sequence, deleted }) => {
            out.text("scope", scope.as_str())
                .text("status", "deleted")
                .number("deleted", *deleted)
                .number("sequence", *sequence);
        }
        (Write::Edit(edit), Written::Edit(edited)) => write_edited(&mut out, edit, *edited, echo),
        (Write::Batch(edits), Written::Batch(edited)) => {
            out.list("results");
            for (edit, edited) in edits.iter().zip(edited) {
                out.item()
                    .text("scope", edit.scope.as_str())
                    .text("key", edit.key.as_str())
                    .number("version", edited.version)
                    .number("previous", edited.previous)
                    .end();
            }
            out.end().number("count", edits.len() as u64);
        }
        (
            Write::DeletePrefix { scope, prefix, .. },
            Written::Prefix {
                deleted,
                has_more,
                sequence,
            },
        ) => {
            out.text("scope", scope.as_str())
                .text("prefix", prefix)
                .number("deleted", *deleted)
                .flag("more", *has_more)
                .number("sequence", *sequence);
        }
        // An answer is that of its write: an id is bound to what it was used for.
        (_, _) => {}
    }
    out.finish()
}

fn write_edited(out: &mut Object, edit: &Edit, edited: Edited, echo: bool) {
    out.text("scope", edit.scope.as_str())
        .text("key", edit.key.as_str());
    match &edit.action {
        Action::Set { value, .. } => {
            if echo {
                out.value(value);
            }
            out.text("status", "set")
                .number("version", edited.version)
                .number("previous", edited.previous);
        }
        Action::Delete => {
            out.text("status", "deleted")
                .number("version", edited.version)
                .number("previous", edited.previous);
        }
        Action::Touch { ttl } => {
            out.text("status", "touched")
                .number("version", edited.version);
            if let Some(ttl) = ttl {
                out.seconds("ttl", *ttl);
            }
        }
        Action::Check => {}
    }
}

fn disk_failed() -> WorkerError {
    let message = "the disk failed while it was written; it may be there or not";
    WorkerError::new("disk-failed", message)
}

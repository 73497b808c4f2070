//! The way back from handlers to the task that owns the connections, and answers that somebody owes.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::sync::mpsc;

use super::{Outcome, WorkerError, held::HeldKey, request::PartToSend};
use crate::Reply;

/// The promise to answer a request, kept by whoever has it, on whatever thread.
///
/// Made by [`Request::pledge`](super::Request::pledge), in a handler that runs in place and returns the
/// [`Answering`](super::Answering) that comes with it. An answer costs no task and no future; those that are
/// given before the worker looks are sent together, and wake it once. Given up, it answers with the error
/// `unanswered`. What comes after the request has ended, for the worker or for its client, is dropped.
#[derive(Debug)]
#[must_use = "a pledge that is dropped answers with an error"]
pub struct Pledge {
    returns: Arc<Returns>,
    key: HeldKey,
    is_kept: bool,
}

impl Pledge {
    pub(super) fn new(returns: Arc<Returns>, key: HeldKey) -> Self {
        Self {
            returns,
            key,
            is_kept: false,
        }
    }

    /// Answers the request, or ends it with an error.
    pub fn answer(mut self, outcome: Result<impl Into<Reply>, WorkerError>) {
        self.is_kept = true;
        self.returns.answer(self.key, outcome.map(Into::into));
    }
}

impl Drop for Pledge {
    fn drop(&mut self) {
        if !self.is_kept {
            let error = WorkerError::new("unanswered", "whoever was to answer gave it up");
            self.returns.answer(self.key, Err(error));
        }
    }
}

/// What handlers give back: parts, and answers that were owed.
#[derive(Debug)]
pub(super) struct Returns {
    pub(super) parts: mpsc::Sender<PartToSend>,
    answers: Mutex<Answers>,
}

/// Answers that were given.
pub(super) type Returned = VecDeque<(HeldKey, Outcome)>;

#[derive(Debug, Default)]
struct Answers {
    given: Returned,
    /// Who waits for the first one.
    waker: Option<Waker>,
    /// Whether nobody takes them any more.
    is_over: bool,
}

impl Returns {
    pub(super) fn new(parts: mpsc::Sender<PartToSend>) -> Arc<Self> {
        Arc::new(Self {
            parts,
            answers: Mutex::default(),
        })
    }

    /// Takes what was given, in its order; otherwise the task is woken when something is.
    pub(super) fn poll_take(&self, into: &mut Returned, context: &Context<'_>) -> Poll<()> {
        let mut answers = self.answers();
        if answers.given.is_empty() {
            match &mut answers.waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => answers.waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        answers.take(into);
        Poll::Ready(())
    }

    /// Takes what was given, if there is something.
    pub(super) fn try_take(&self, into: &mut Returned) -> bool {
        let mut answers = self.answers();
        answers.take(into);
        !into.is_empty()
    }

    /// Drops what was given and what will be.
    pub(super) fn close(&self) {
        let given = {
            let mut answers = self.answers();
            answers.is_over = true;
            answers.waker = None;
            mem::take(&mut answers.given)
        };
        drop(given);
    }

    fn answer(&self, key: HeldKey, outcome: Outcome) {
        let waker = {
            let mut answers = self.answers();
            if answers.is_over {
                return;
            }
            answers.given.push_back((key, outcome));
            answers.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing that is done under this lock can panic half-way.
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    /// Moves what was given; the room that it had is used again.
    fn take(&mut self, into: &mut Returned) {
        if into.is_empty() {
            mem::swap(&mut self.given, into);
        } else {
            into.append(&mut self.given);
        }
    }
}

#[cfg(test)]
mod tests;

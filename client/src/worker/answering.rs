//! How a handler that runs in place answers.

use std::{fmt, future::Future, pin::Pin};

use futures_util::FutureExt as _;

use super::{Outcome, WorkerError, held::HeldKey};
use crate::Reply;

/// A handler that has begun.
pub(super) type Waiting = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// How far the answer is when a handler that runs in place returns; see
/// [`Worker::serve_in_place`](super::Worker::serve_in_place).
///
/// Its third form, that somebody else answers, comes from [`Request::pledge`](super::Request::pledge).
#[must_use = "it is what a handler returns"]
pub struct Answering(pub(super) Form);

/// How far it is.
pub(super) enum Form {
    Now(Outcome),
    Later(Waiting),
    /// Whoever has the pledge of this request answers.
    Pledged(HeldKey),
}

impl Answering {
    /// This is the answer.
    pub fn now(outcome: Result<impl Into<Reply>, WorkerError>) -> Self {
        Self(Form::Now(outcome.map(Into::into)))
    }

    /// This future has the answer. It is polled on the worker's own task, and dropped when nobody waits for the
    /// answer any more.
    pub fn later<F, R>(answer: F) -> Self
    where
        F: Future<Output = Result<R, WorkerError>> + Send + 'static,
        R: Into<Reply>,
    {
        let answer = answer.map(|outcome| outcome.map(Into::into));
        Self(Form::Later(Box::pin(answer)))
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Now(outcome) => f.debug_tuple("Now").field(outcome).finish(),
            Form::Later(_) => f.debug_tuple("Later").finish_non_exhaustive(),
            Form::Pledged(key) => f.debug_tuple("Pledged").field(key).finish(),
        }
    }
}

//! The requests that a worker holds: waiting for a slot, or with a handler.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    fmt,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_util::{
    FutureExt, StreamExt,
    future::{self, Abortable, Aborted},
    stream::FuturesUnordered,
};
use plantd_mdp::Token;
use tokio::{
    sync::oneshot,
    task::{self, AbortHandle, JoinError, JoinSet},
};

use super::{Answer, Answering, Outcome, Request, WorkerError, registration::RegistrationId};
use crate::Reply;

/// Bytes of answers that wait for being sent, beyond which no other handler is tried.
const ANSWERED_BYTES: usize = 1 << 20;

/// Names a request that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct HeldKey {
    pub(super) registration: RegistrationId,
    pub(super) token: Token,
}

/// What is held, and the tasks that answer it.
pub(super) struct Held {
    answer: Answer,
    /// How many handlers may run at once, streams not counted.
    slots: usize,
    /// Whether handlers run here, and not in tasks of their own.
    is_in_place: bool,
    /// What handlers answered without waiting.
    answered: VecDeque<(HeldKey, Outcome)>,
    /// The bytes of their bodies.
    answered_bytes: usize,
    /// Handlers that run here and wait.
    here: FuturesUnordered<Here>,
    used_slots: usize,
    queue: VecDeque<(HeldKey, Request)>,
    running: HashMap<HeldKey, Running>,
    tasks: JoinSet<Outcome>,
    /// Whom each task answers.
    keys: HashMap<task::Id, HeldKey>,
}

/// A request that is with its handler.
#[derive(Debug)]
struct Running {
    stop: Stop,
    has_slot: bool,
    has_window: bool,
    /// A part that is held back until it can be sent.
    part: Option<(Reply, oneshot::Sender<()>)>,
}

/// How a handler is stopped; it ends with [`Held::next`] all the same.
#[derive(Debug)]
enum Stop {
    Task(AbortHandle),
    Here(future::AbortHandle),
}

impl Stop {
    fn stop(&self) {
        match self {
            Self::Task(task) => task.abort(),
            Self::Here(handler) => handler.abort(),
        }
    }
}

/// A handler that runs here.
struct Here {
    key: HeldKey,
    handler: Abortable<Answering>,
}

impl Future for Here {
    type Output = (HeldKey, Outcome);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let poll = AssertUnwindSafe(|| self.handler.poll_unpin(context));
        let outcome = match panic::catch_unwind(poll) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(outcome))) => outcome,
            Ok(Poll::Ready(Err(Aborted))) => Err(given_up()),
            Err(panic) => Err(panicked(&*panic)),
        };
        Poll::Ready((self.key, outcome))
    }
}

impl Held {
    pub(super) fn new(slots: usize, is_in_place: bool, answer: Answer) -> Self {
        Self {
            answer,
            slots,
            is_in_place,
            answered: VecDeque::new(),
            answered_bytes: 0,
            here: FuturesUnordered::new(),
            used_slots: 0,
            queue: VecDeque::new(),
            running: HashMap::new(),
            tasks: JoinSet::new(),
            keys: HashMap::new(),
        }
    }

    /// Gives a request to a handler, as soon as a slot is free.
    pub(super) fn take(&mut self, key: HeldKey, request: Request) {
        self.queue.push_back((key, request));
        self.fill_slots();
    }

    /// Stops a handler; the request ends with [`Held::next`], unless it had none yet, which is
    /// what is returned.
    pub(super) fn cancel(&mut self, key: HeldKey) -> bool {
        let queued = self.queue.len();
        self.queue.retain(|(held, _)| *held != key);
        if let Some(running) = self.running.get_mut(&key) {
            running.part = None;
            running.stop.stop();
        }
        self.queue.len() < queued
    }

    /// Notes that a part was sent: to a client with a window the answer is a stream from here on,
    /// which leaves its slot to another request.
    pub(super) fn begin_stream(&mut self, key: HeldKey) {
        if let Some(running) = self.running.get_mut(&key)
            && running.has_window
            && std::mem::take(&mut running.has_slot)
        {
            self.used_slots -= 1;
            self.fill_slots();
        }
    }

    /// Keeps a part that cannot be sent yet; dropped if its handler is gone.
    pub(super) fn keep_part(&mut self, key: HeldKey, part: Reply, sent: oneshot::Sender<()>) {
        if let Some(running) = self.running.get_mut(&key) {
            running.part = Some((part, sent));
        }
    }

    /// Takes a part out that was kept.
    pub(super) fn take_part(&mut self, key: HeldKey) -> Option<(Reply, oneshot::Sender<()>)> {
        self.running.get_mut(&key)?.part.take()
    }

    /// The requests of one registration that have a part kept.
    pub(super) fn with_parts(&self, registration: RegistrationId) -> Vec<HeldKey> {
        let running = self.running.iter();
        let with_parts = running
            .filter(|(key, running)| key.registration == registration && running.part.is_some());
        let mut keys: Vec<HeldKey> = with_parts.map(|(key, _)| *key).collect();
        // Those that came first are tried first.
        keys.sort_unstable();
        keys
    }

    /// Takes what a handler has answered when it was tried, or that runs here and has ended.
    pub(super) fn take_answered(&mut self) -> Option<(HeldKey, Outcome)> {
        if self.answered.is_empty() {
            self.fill_slots();
        }
        if let Some((key, outcome)) = self.answered.pop_front() {
            self.answered_bytes -= body_bytes(&outcome);
            return Some((key, outcome));
        }
        let ended = self.here.next().now_or_never().flatten()?;
        Some(self.end(ended))
    }

    /// Waits until a handler that had to wait has ended. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> (HeldKey, Outcome) {
        let ended = tokio::select! {
            ended = next_task(&mut self.tasks, &mut self.keys) => ended,
            Some(ended) = self.here.next() => ended,
        };
        self.end(ended)
    }

    /// Gives the slot of a handler that has ended to another request.
    fn end(&mut self, (key, outcome): (HeldKey, Outcome)) -> (HeldKey, Outcome) {
        if let Some(running) = self.running.remove(&key) {
            self.used_slots -= usize::from(running.has_slot);
        }
        self.fill_slots();
        (key, outcome)
    }

    fn fill_slots(&mut self) {
        while self.used_slots < self.slots
            && self.answered_bytes < ANSWERED_BYTES
            && let Some((key, request)) = self.queue.pop_front()
        {
            let has_window = request.property("window").is_some();
            let stop = if self.is_in_place {
                match begin(&self.answer, request) {
                    Ok(outcome) => {
                        self.answered_bytes += body_bytes(&outcome);
                        self.answered.push_back((key, outcome));
                        continue;
                    }
                    Err(waiting) => {
                        let (handler, stop) = future::abortable(waiting);
                        self.here.push(Here { key, handler });
                        Stop::Here(stop)
                    }
                }
            } else {
                let answer = self.answer.clone();
                let task = self.tasks.spawn(async move { answer(request).await });
                self.keys.insert(task.id(), key);
                Stop::Task(task)
            };
            self.used_slots += 1;
            let running = Running {
                stop,
                has_slot: true,
                has_window,
                part: None,
            };
            self.running.insert(key, running);
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("slots", &self.slots)
            .field("queued", &self.queue.len())
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

/// Waits until a handler with a task has ended.
async fn next_task(
    tasks: &mut JoinSet<Outcome>,
    keys: &mut HashMap<task::Id, HeldKey>,
) -> (HeldKey, Outcome) {
    loop {
        let Some(ended) = tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), Err(worker_error(error))),
        };
        if let Some(key) = keys.remove(&id) {
            return (key, outcome);
        }
    }
}

/// Runs a handler up to where it waits; what is left of it then.
fn begin(answer: &Answer, request: Request) -> Result<Outcome, Answering> {
    let begin = AssertUnwindSafe(|| {
        let mut answering = answer(request);
        // What is left is polled again.
        let mut context = Context::from_waker(Waker::noop());
        match answering.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => Ok(outcome),
            Poll::Pending => Err(answering),
        }
    });
    panic::catch_unwind(begin).unwrap_or_else(|panic| Ok(Err(panicked(&*panic))))
}

/// The bytes of an answer's body.
pub(super) fn body_bytes(outcome: &Outcome) -> usize {
    outcome.as_ref().map_or(0, |reply| reply.body.len_bytes())
}

fn worker_error(error: JoinError) -> WorkerError {
    if error.is_cancelled() {
        return given_up();
    }
    panicked(&*error.into_panic())
}

fn given_up() -> WorkerError {
    WorkerError::new("cancelled", "nobody waited for the answer")
}

fn panicked(panic: &(dyn Any + Send)) -> WorkerError {
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => (*message).to_owned(),
        (None, Some(message)) => message.clone(),
        (None, None) => String::new(),
    };
    WorkerError::new("panic", message)
}

//! The requests that a worker holds: waiting for a slot, with a handler, or answered by somebody else.

use std::{
    any::Any,
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt,
    future::poll_fn,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    FutureExt, StreamExt,
    future::{self, Abortable, Aborted},
    stream::FuturesUnordered,
};
use plantd_mdp::{Header, Token};
use plantd_zmtp::Message;
use slotmap::SlotMap;
use tokio::{
    sync::oneshot,
    task::{self, AbortHandle, JoinError, JoinSet},
};

use super::{
    Answer, Outcome, Request, WorkerError,
    answering::{Answering, Form, Waiting},
    pledge::{Returned, Returns},
    registration::RegistrationId,
};
use crate::Reply;

/// Bytes of answers that wait for being sent, beyond which no other handler is tried.
const ANSWERED_BYTES: usize = 1 << 20;

slotmap::new_key_type! {
    /// Names a request that is held, towards those who answer it; never used again.
    pub(super) struct HeldKey;
}

/// Where a request came from, and what it is called there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Origin {
    pub(super) registration: RegistrationId,
    pub(super) token: Token,
}

/// What is held, and what answers it.
pub(super) struct Held {
    answer: Answer,
    returns: Arc<Returns>,
    /// How many handlers may run at once, streams not counted.
    slots: usize,
    used_slots: usize,
    requests: SlotMap<HeldKey, Asked>,
    /// Those of them that were not answered at once.
    keys: foldhash::HashMap<Origin, HeldKey>,
    queue: VecDeque<(HeldKey, Request)>,
    /// What was answered without waiting, or was given up.
    answered: VecDeque<(Origin, Outcome)>,
    /// The bytes of their bodies.
    answered_bytes: usize,
    /// Answers that came by pledges.
    returned: Returned,
    /// Handlers that run here and wait.
    here: FuturesUnordered<Here>,
    tasks: JoinSet<Outcome>,
    /// Whom each task answers.
    tasked: HashMap<task::Id, HeldKey>,
}

/// A request that is held.
#[derive(Debug)]
struct Asked {
    origin: Origin,
    with: With,
    has_slot: bool,
    has_window: bool,
    /// A part that is held back until it can be sent.
    part: Option<Box<(Reply, oneshot::Sender<()>)>>,
}

/// Who has a request. Tasks and handlers that are stopped end with [`Held::next`] all the same.
#[derive(Debug)]
enum With {
    Nobody,
    Task(AbortHandle),
    Here(future::AbortHandle),
    Pledge,
}

/// A handler that runs here.
struct Here {
    key: HeldKey,
    handler: Abortable<Waiting>,
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
    pub(super) fn new(slots: usize, answer: Answer, returns: Arc<Returns>) -> Self {
        Self {
            answer,
            returns,
            slots,
            used_slots: 0,
            requests: SlotMap::with_key(),
            keys: foldhash::HashMap::default(),
            queue: VecDeque::new(),
            answered: VecDeque::new(),
            answered_bytes: 0,
            returned: Returned::new(),
            here: FuturesUnordered::new(),
            tasks: JoinSet::new(),
            tasked: HashMap::new(),
        }
    }

    /// Gives a request to a handler, as soon as a slot is free.
    pub(super) fn take(&mut self, origin: Origin, header: Header, body: Message) {
        let key = self.requests.insert(Asked {
            origin,
            with: With::Nobody,
            has_slot: false,
            has_window: header.properties.get("window").is_some(),
            part: None,
        });
        let is_read_at_once = match &self.answer {
            Answer::InPlace(_) => self.queue.is_empty() && self.has_slot(),
            Answer::Tasks(_) => false,
        };
        let body = match is_read_at_once {
            true => body,
            false => body.into_held(),
        };
        let request = Request::new(key, header, body.into(), self.returns.clone());
        self.queue.push_back((key, request));
        self.fill_slots();
        if self.requests.contains_key(key) {
            self.keys.insert(origin, key);
        }
    }

    /// Stops a handler; the request ends with [`Held::take_answered`] or [`Held::next`], unless it had
    /// none yet, which is what is returned.
    pub(super) fn cancel(&mut self, origin: Origin) -> bool {
        let Some((key, asked)) = self.find(origin) else {
            return false;
        };
        asked.part = None;
        match &asked.with {
            With::Nobody => {
                self.queue.retain(|(held, _)| *held != key);
                self.end(key);
                return true;
            }
            With::Task(task) => task.abort(),
            With::Here(handler) => handler.abort(),
            With::Pledge => {
                self.end(key);
                self.answered.push_back((origin, Err(given_up())));
            }
        }
        false
    }

    /// Where a request came from that is still held.
    pub(super) fn origin(&self, key: HeldKey) -> Option<Origin> {
        self.requests.get(key).map(|asked| asked.origin)
    }

    /// Notes that a part was sent: to a client with a window the answer is a stream from here on,
    /// which leaves its slot to another request.
    pub(super) fn begin_stream(&mut self, key: HeldKey) {
        if let Some(asked) = self.requests.get_mut(key)
            && asked.has_window
            && std::mem::take(&mut asked.has_slot)
        {
            self.used_slots -= 1;
            self.fill_slots();
        }
    }

    /// Keeps a part that cannot be sent yet; dropped if its handler is gone.
    pub(super) fn keep_part(&mut self, key: HeldKey, part: Reply, sent: oneshot::Sender<()>) {
        if let Some(asked) = self.requests.get_mut(key) {
            asked.part = Some(Box::new((part, sent)));
        }
    }

    /// Takes a part out that was kept.
    pub(super) fn take_part(&mut self, key: HeldKey) -> Option<(Reply, oneshot::Sender<()>)> {
        self.requests.get_mut(key)?.part.take().map(|part| *part)
    }

    /// What a request of this origin is called here.
    pub(super) fn key(&self, origin: Origin) -> Option<HeldKey> {
        self.keys.get(&origin).copied()
    }

    /// The requests of one registration that have a part kept.
    pub(super) fn with_parts(&self, registration: RegistrationId) -> Vec<HeldKey> {
        let asked = self.requests.iter();
        let with_parts = asked
            .filter(|(_, asked)| asked.origin.registration == registration && asked.part.is_some());
        let mut found: Vec<(Origin, HeldKey)> =
            with_parts.map(|(key, asked)| (asked.origin, key)).collect();
        // Those that came first are tried first.
        found.sort_unstable();
        found.into_iter().map(|(_, key)| key).collect()
    }

    /// Takes what a handler has answered when it was tried.
    pub(super) fn take_answered_at_once(&mut self) -> Option<(Origin, Outcome)> {
        let (origin, outcome) = self.answered.pop_front()?;
        self.answered_bytes -= body_bytes(&outcome);
        Some((origin, outcome))
    }

    /// Takes what is answered, however it was.
    pub(super) fn take_answered(&mut self) -> Option<(Origin, Outcome)> {
        loop {
            if self.answered.is_empty() {
                self.fill_slots();
            }
            if let Some(answered) = self.take_answered_at_once() {
                return Some(answered);
            }
            if self.returned.is_empty() {
                self.returns.try_take(&mut self.returned);
            }
            let (key, outcome) = match self.returned.pop_front() {
                Some(returned) => returned,
                None => self.here.next().now_or_never().flatten()?,
            };
            if let Some(origin) = self.end(key) {
                return Some((origin, outcome));
            }
        }
    }

    /// Waits until a request has ended that had to wait. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> (Origin, Outcome) {
        loop {
            let (key, outcome) = tokio::select! {
                ended = next_task(&mut self.tasks, &mut self.tasked) => ended,
                Some(ended) = self.here.next() => ended,
                returned = next_returned(&self.returns, &mut self.returned) => returned,
            };
            if let Some(origin) = self.end(key) {
                return (origin, outcome);
            }
        }
    }

    fn has_slot(&self) -> bool {
        self.used_slots < self.slots && self.answered_bytes < ANSWERED_BYTES
    }

    fn find(&mut self, origin: Origin) -> Option<(HeldKey, &mut Asked)> {
        let key = *self.keys.get(&origin)?;
        Some((key, self.requests.get_mut(key)?))
    }

    /// Lets go of a request, whose slot goes to another one; where it came from, unless it was let go of
    /// before.
    fn end(&mut self, key: HeldKey) -> Option<Origin> {
        let asked = self.requests.remove(key)?;
        self.used_slots -= usize::from(asked.has_slot);
        if let Entry::Occupied(known) = self.keys.entry(asked.origin)
            && *known.get() == key
        {
            known.remove();
        }
        Some(asked.origin)
    }

    fn fill_slots(&mut self) {
        while self.has_slot()
            && let Some((key, request)) = self.queue.pop_front()
        {
            let with = match &self.answer {
                Answer::InPlace(answer) => match begin(&**answer, key, request) {
                    Form::Now(outcome) => {
                        self.answered_bytes += body_bytes(&outcome);
                        if let Some(origin) = self.end(key) {
                            self.answered.push_back((origin, outcome));
                        }
                        continue;
                    }
                    Form::Later(waiting) => {
                        let (handler, stop) = future::abortable(waiting);
                        self.here.push(Here { key, handler });
                        With::Here(stop)
                    }
                    Form::Pledged(_) => With::Pledge,
                },
                Answer::Tasks(answer) => {
                    let answer = answer.clone();
                    let task = self.tasks.spawn(async move { answer(request).await });
                    self.tasked.insert(task.id(), key);
                    With::Task(task)
                }
            };
            if let Some(asked) = self.requests.get_mut(key) {
                self.used_slots += 1;
                asked.has_slot = true;
                asked.with = with;
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.returns.close();
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("slots", &self.slots)
            .field("queued", &self.queue.len())
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// Waits until a handler with a task has ended.
async fn next_task(
    tasks: &mut JoinSet<Outcome>,
    tasked: &mut HashMap<task::Id, HeldKey>,
) -> (HeldKey, Outcome) {
    loop {
        let Some(ended) = tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), Err(worker_error(error))),
        };
        if let Some(key) = tasked.remove(&id) {
            return (key, outcome);
        }
    }
}

/// Waits until somebody has kept a pledge.
async fn next_returned(returns: &Returns, returned: &mut Returned) -> (HeldKey, Outcome) {
    loop {
        if let Some(first) = returned.pop_front() {
            return first;
        }
        poll_fn(|context| returns.poll_take(returned, context)).await;
    }
}

/// Runs a handler up to where it waits; how far it is then.
fn begin(
    answer: &(dyn Fn(Request) -> Answering + Send + Sync),
    key: HeldKey,
    request: Request,
) -> Form {
    let begin = AssertUnwindSafe(|| match answer(request).0 {
        Form::Later(mut waiting) => {
            // What is left is polled again.
            let mut context = Context::from_waker(std::task::Waker::noop());
            match waiting.as_mut().poll(&mut context) {
                Poll::Ready(outcome) => Form::Now(outcome),
                Poll::Pending => Form::Later(waiting),
            }
        }
        Form::Pledged(pledged) if pledged != key => Form::Now(Err(WorkerError::new(
            "unanswered",
            "the handler returned the pledge of another request",
        ))),
        form @ (Form::Now(_) | Form::Pledged(_)) => form,
    });
    panic::catch_unwind(begin).unwrap_or_else(|panic| Form::Now(Err(panicked(&*panic))))
}

/// The bytes of an answer's body.
pub(super) fn body_bytes(outcome: &Outcome) -> usize {
    outcome.as_ref().map_or(0, |reply| reply.body.len_encoded())
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

#[cfg(test)]
mod tests;

//! The requests that a worker holds: waiting for a slot, or with a handler.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
};

use plantd_mdp::Token;
use tokio::{
    sync::oneshot,
    task::{self, AbortHandle, JoinError, JoinSet},
};

use super::{Answer, Outcome, Request, WorkerError, registration::RegistrationId};
use crate::Reply;

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
    used_slots: usize,
    queue: VecDeque<(HeldKey, Request)>,
    running: BTreeMap<HeldKey, Running>,
    tasks: JoinSet<Outcome>,
    /// Whom each task answers.
    keys: HashMap<task::Id, HeldKey>,
}

/// A request that is with its handler.
#[derive(Debug)]
struct Running {
    task: AbortHandle,
    has_slot: bool,
    has_window: bool,
    /// A part that is held back until it can be sent.
    part: Option<(Reply, oneshot::Sender<()>)>,
}

impl Held {
    pub(super) fn new(slots: usize, answer: Answer) -> Self {
        Self {
            answer,
            slots,
            used_slots: 0,
            queue: VecDeque::new(),
            running: BTreeMap::new(),
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
            running.task.abort();
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
        with_parts.map(|(key, _)| *key).collect()
    }

    /// Waits until a handler has ended. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> (HeldKey, Outcome) {
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let (id, outcome) = match ended {
                Ok((id, outcome)) => (id, outcome),
                Err(error) => (error.id(), Err(worker_error(error))),
            };
            let Some(key) = self.keys.remove(&id) else {
                continue;
            };
            if let Some(running) = self.running.remove(&key) {
                self.used_slots -= usize::from(running.has_slot);
            }
            self.fill_slots();
            return (key, outcome);
        }
    }

    fn fill_slots(&mut self) {
        while self.used_slots < self.slots
            && let Some((key, request)) = self.queue.pop_front()
        {
            let answer = self.answer.clone();
            let has_window = request.property("window").is_some();
            let task = self.tasks.spawn(async move { answer(request).await });
            self.keys.insert(task.id(), key);
            self.used_slots += 1;
            let running = Running {
                task,
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

fn worker_error(error: JoinError) -> WorkerError {
    if error.is_cancelled() {
        return WorkerError::new("cancelled", "nobody waited for the answer");
    }
    let panic = error.into_panic();
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => (*message).to_owned(),
        (None, Some(message)) => message.clone(),
        (None, None) => String::new(),
    };
    WorkerError::new("panic", message)
}

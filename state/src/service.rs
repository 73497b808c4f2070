//! What answers: each request becomes one operation of the store, and one reply.

mod backing_up;
mod listing;
mod place;
mod reading;
mod verifying;
mod watching;
mod writing;

use std::ops::Deref;
use std::panic;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use plantd_client::{Answering, Reply, Request, Source, WorkerError};
use plantd_daemon::shutdown::Shutdown;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;

use crate::backups::Backups;
use crate::metrics::Published;
use crate::names::{Key, Scope};
use crate::refusal::{Code, Refusal};
use crate::reply::refused;
use crate::request::{Limits, Operation, two_frames};
use crate::store::{Condition, Fault, Reader, Store};

pub(crate) use listing::write_change;
pub(crate) use place::Place;
use writing::{By, Writing};

/// A request of more bytes takes a while to be read.
const QUICK_BYTES: usize = 16 << 10;
/// How many read the database for an answer at once; each answer has some MiB at most.
const READERS: usize = 16;

/// What a client is told.
type Answer = Result<Vec<u8>, Refusal>;

/// An answer that is found apart from the task that has the connections.
type Apart = Pin<Box<dyn Future<Output = Result<Answer, WorkerError>> + Send>>;

/// The service. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Service(Arc<Parts>);

/// A store, and what it is limited to.
#[derive(Debug)]
pub(crate) struct Parts {
    store: Arc<Store>,
    metrics: Published,
    limits: Limits,
    backups: Backups,
    writing: Writing,
    /// Held while a backup is made.
    backing_up: Arc<Semaphore>,
    /// Held while the database is read for an answer.
    reading: Semaphore,
    watches: Arc<Semaphore>,
    most_watches: usize,
    place: Place,
    /// What changes are published with.
    source: OnceLock<Source>,
    stop: Shutdown,
    /// Where everything runs that is apart from the connections.
    runtime: Handle,
}

impl Deref for Service {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Service {
    pub(crate) fn new(
        store: Arc<Store>,
        metrics: Published,
        limits: Limits,
        backups: Backups,
        watches: usize,
        place: Place,
        stop: Shutdown,
    ) -> Self {
        Self(Arc::new(Parts {
            store,
            metrics,
            limits,
            backups,
            writing: Writing::default(),
            backing_up: Arc::new(Semaphore::new(1)),
            reading: Semaphore::new(READERS),
            watches: Arc::new(Semaphore::new(watches)),
            most_watches: watches,
            place,
            source: OnceLock::new(),
            stop,
            runtime: Handle::current(),
        }))
    }

    /// Says whether changes are published, for those who want to rely on it.
    pub(crate) fn publishing_with(self, source: Source) -> Self {
        // It is said once.
        let _ = self.source.set(source);
        self
    }

    /// Answers one request. An error says that what became of it is not known.
    ///
    /// This runs on the task that owns the worker's connections: what may read the disk or compute
    /// for long is done apart from it, and a write is answered by [`Service::tell_written`].
    pub(crate) fn answer(&self, request: Request) -> Answering {
        let began = clock();
        if request.body().len_bytes() > QUICK_BYTES {
            return self.answer_later(self.answer_apart(request.into_held()), began);
        }
        let answer = match self.parse(&request) {
            Ok(Operation::Write(write)) => {
                let (pledge, answering) = request.pledge();
                match self.begin_write(write, By::Pledge(pledge, began)) {
                    Ok(()) => return answering,
                    Err(refusal) => Err(refusal),
                }
            }
            Ok(operation) => match self.recall(&operation) {
                Some(answer) => answer,
                None => {
                    let apart = self.work_apart(operation, request.into_held());
                    return self.answer_later(apart, began);
                }
            },
            Err(refusal) => Err(refusal),
        };
        Answering::now(Ok(self.reply(answer, began, clock())))
    }

    fn answer_later(&self, apart: Apart, began: Instant) -> Answering {
        let service = self.clone();
        Answering::later(async move {
            let answer = apart.await?;
            Ok(service.reply(answer, began, clock()))
        })
    }

    /// The reply that an answer is sent as; how long it took is counted.
    fn reply(&self, answer: Answer, began: Instant, now: Instant) -> Reply {
        let reply = answer.unwrap_or_else(|refusal| {
            self.metrics.asked.refused(refusal.code, 1);
            refused(&refusal)
        });
        let took = now.saturating_duration_since(began);
        self.metrics.asked.seconds.observe(took.as_secs_f64());
        reply.into()
    }

    /// Reads a request and does what it asks, apart from the task that has the connections.
    fn answer_apart(&self, request: Request) -> Apart {
        let service = self.clone();
        let work = async move {
            match service.parse(&request) {
                Ok(operation) => service.work(operation, request).await,
                Err(refusal) => Ok(Err(refusal)),
            }
        };
        Box::pin(apart(self.runtime.clone(), work))
    }

    /// Does what was asked, apart from the task that has the connections.
    fn work_apart(&self, operation: Operation, request: Request) -> Apart {
        let service = self.clone();
        Box::pin(async move {
            let _place = service.place_to_read(&operation).await;
            let runtime = service.runtime.clone();
            let service = service.clone();
            let work = async move { service.work(operation, request).await };
            apart(runtime, work).await
        })
    }

    /// Waits until few enough are reading. A place is kept until the answer is taken, so that answers
    /// do not pile up before they are sent.
    async fn place_to_read(&self, operation: &Operation) -> Option<SemaphorePermit<'_>> {
        match operation {
            Operation::Get { .. }
            | Operation::ListScopes(_)
            | Operation::ListKeys { .. }
            | Operation::History { .. } => self.reading.acquire().await.ok(),
            // They hold little, or have a limit of their own.
            Operation::Write(_)
            | Operation::Watch(_)
            | Operation::Backup { .. }
            | Operation::Verify { .. }
            | Operation::Health(_)
            | Operation::Stats(_)
            | Operation::Shards => None,
        }
    }

    /// Does what was asked, however long it takes.
    async fn work(
        &self,
        operation: Operation,
        mut request: Request,
    ) -> Result<Answer, WorkerError> {
        let answer = match operation {
            Operation::Write(write) => return self.write(write).await,
            Operation::Watch(watch) => self.watch(watch, &mut request).await,
            Operation::Backup { has_progress } => self.back_up(has_progress, &mut request).await,
            Operation::Verify {
                backup: Some(backup),
                has_progress,
            } => self.verify_backup(backup, has_progress, &mut request).await,
            Operation::Verify {
                backup: None,
                has_progress,
            } => self.verify(has_progress, &mut request).await,
            read @ (Operation::Get { .. }
            | Operation::ListScopes(_)
            | Operation::ListKeys { .. }
            | Operation::History { .. }
            | Operation::Health(_)
            | Operation::Stats(_)
            | Operation::Shards) => Ok(self.read(read).await),
        };
        Ok(self.on_disk(answer?).await)
    }

    /// What was read, once all of it is on disk.
    async fn on_disk<T>(&self, read: Result<T, Refusal>) -> Result<T, Refusal> {
        let on_disk = self.store.on_disk().await;
        on_disk.map_err(|fault| fault.refusal()).and(read)
    }

    fn parse(&self, request: &Request) -> Result<Operation, Refusal> {
        let (name, json) = two_frames(request.body())?;
        let (name, operation) = Operation::parse(name, json, &self.limits)?;
        operation.check_scopes(|scope| self.place.check(scope))?;
        self.metrics.asked.operation(name);
        if let Operation::Write(_) = operation {
            self.check_age(request)?;
        }
        Ok(operation)
    }

    fn check_age(&self, request: &Request) -> Result<(), Refusal> {
        match asked_before(request) {
            Some(before) => self.limits.check_age(before),
            None => Ok(()),
        }
    }

    /// Does what takes longer than a look at one key where it delays nobody.
    async fn in_the_background<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let service = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&service)).await;
        let stops = || Refusal::new(Code::Draining, "the daemon stops");
        self.on_disk(done.map_err(|_| stops()).flatten()).await
    }

    /// Reads from the store; what is damaged is refused and remembered.
    fn look<T>(&self, read: impl FnOnce(&Reader) -> Result<T, Fault>) -> Result<T, Refusal> {
        self.checked(|store| store.read(read))
    }

    fn look_at_one_moment<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, Fault>,
    ) -> Result<T, Refusal> {
        self.look(|reader| reader.at_one_moment(read))
    }

    fn checked<T>(&self, read: impl FnOnce(&Store) -> Result<T, Fault>) -> Result<T, Refusal> {
        if let Condition::Damaged(place) = self.store.shared().condition() {
            return Err(damaged(&place));
        }
        read(&self.store).map_err(|fault| {
            tracing::warn!(context = "state.read", %fault, "a read failed");
            fault.refusal()
        })
    }
}

/// How long ago a write was first asked for that may have been done since; nothing of a first attempt.
fn asked_before(request: &Request) -> Option<Duration> {
    let before = request.property(ASKED_BEFORE)?.parse().ok()?;
    Some(Duration::from_millis(before))
}

/// Does work in a task of its own, which ends with whoever waits for it.
async fn apart<T: Send + 'static>(
    runtime: Handle,
    work: impl Future<Output = Result<T, WorkerError>> + Send + 'static,
) -> Result<T, WorkerError> {
    let mut tasks = JoinSet::new();
    tasks.spawn_on(work, &runtime);
    match tasks.join_next().await {
        Some(Ok(done)) => done,
        // Whoever waits answers for the panic.
        Some(Err(error)) if error.is_panic() => panic::resume_unwind(error.into_panic()),
        Some(Err(_)) | None => Err(WorkerError::new("draining", "the daemon stops")),
    }
}

fn damaged(place: &str) -> Refusal {
    let error = format!("the store is damaged ({place}) and not served; restore a backup");
    Refusal::new(Code::Damaged, error)
}

fn no_scope(scope: &Scope) -> Refusal {
    Refusal::new(Code::NoScope, format!("there is no scope {scope}")).with("scope", scope.as_str())
}

fn not_found(scope: &Scope, key: &Key, sequence: u64) -> Refusal {
    Refusal::new(Code::NotFound, format!("{scope} has no key {key}"))
        .with("scope", scope.as_str())
        .with("key", key.as_str())
        .with("sequence", sequence)
}

/// Where operations are timed.
#[expect(clippy::disallowed_methods, reason = "the clock of the service")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

/// The property of a write that may have been done: how long ago it was first asked for.
pub(crate) const ASKED_BEFORE: &str = "asked-before-ms";

/// A time span that is waited for between looks at what nobody tells of.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

//! What was read from the state service, kept near and coherent by the state bus.

mod coherence;
mod follower;
mod shelf;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::Instant as Clock};

use self::{
    coherence::{Coherence, Effect, Ticket, Told},
    follower::{Command, Follower},
    shelf::{Limits, Shelf, Shelved},
};
use super::{
    Entry, State,
    error::ReadError,
    scope::{Answered, Scope},
    wire::Fields,
};
use crate::{ConfigError, Sink};

/// How much is cached, unless it is said otherwise.
const LIMITS: Limits = Limits {
    bytes: 32 << 20,
    entries: 100_000,
    age: Duration::from_secs(10),
};
/// Scopes that are followed at a time.
const SCOPES: usize = 1_024;

/// Keeps what is read, to be given to [`StateBuilder::cache`](super::StateBuilder::cache).
///
/// [`Scope::get`] and [`Scope::get_value`] of a [`State`] with a cache answer from memory what they have
/// read before, also that there is no such key, for as long as nothing is known to have changed it.
/// Everything else asks the service: writes with their conditions, versions, lists, histories, watches.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use plantd_client::{Client, State, state::Cache};
///
/// let client = Client::connect("tcp://127.0.0.1:9797")?;
/// let cache = Cache::connect("tcp://127.0.0.1:13001")?;
/// let state = State::builder(&client).cache(cache).build();
/// let plant = state.scope("org.example.Plant");
/// for _ in 0..1_000 {
///     println!("{:?}", plant.get::<bool>("pump/1").await?);
/// }
/// println!("{:?}", state.cache_stats());
/// # Ok(())
/// # }
/// ```
///
/// # What it promises
/// - **Own writes.** A write through this `State`, and its clones, is seen by every read that begins after
///   it has returned.
/// - **Never back.** Of one key, a read never gives something older than an earlier one gave.
/// - **Changes of others** are seen once the bus has told them: as a rule within a millisecond or two.
/// - **Nothing older than the [age](CacheBuilder::age)**, whatever happens: what is given was right at
///   some moment since then.
///
/// It is not linearizable, as reads without it are: somebody who was told by other means than the bus
/// that a value has changed may still read the old one. Keys are cached each by itself: two reads
/// may be of two moments. Where that matters, decide by a condition: the service compares versions, and a
/// version from the cache that is out of date only has its write refused.
///
/// # How it knows
/// A scope is followed from its first read on: subscribed to at the state bus, and served from memory
/// once the broker has read the subscription and the service says that it publishes there. Each change has the
/// next number of its scope. When one is missing, a connection to the bus was lost, or another process
/// publishes, what is cached of the scope is not served any more, and reads ask the service until the
/// scope is followed again. A service that does not publish on this bus is never cached.
///
/// What shows with the next change only is that the last ones were lost between the service and its
/// broker; that is what the age is for.
///
/// At most 1,024 scopes are followed at a time; reads of others ask the service.
#[derive(Debug)]
pub struct Cache {
    sink: Sink,
    limits: Limits,
}

/// Configures a [`Cache`].
#[derive(Debug, Clone)]
pub struct CacheBuilder {
    brokers: Vec<String>,
    limits: Limits,
}

/// What a cache counts of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Reads that were answered from memory.
    pub hits: u64,
    /// Reads that asked the service, whose answers could be cached.
    pub misses: u64,
    /// Reads that asked the service because their scope was not followed at the time.
    pub bypassed: u64,
    /// Entries that were dropped because their keys were changed, by others or from here.
    pub invalidated: u64,
    /// Times that a scope had to be followed anew: changes were missing, or the bus was lost.
    pub interruptions: u64,
    /// Entries that are held.
    pub entries: u64,
    /// Their bytes, with keys and what an entry takes beside them.
    pub bytes: u64,
    /// Scopes that are served from memory.
    pub scopes: u64,
}

impl Cache {
    /// Creates a cache of the default size that follows the state bus at one broker's backend, such as
    /// `tcp://127.0.0.1:13001`, and begins to connect in the background.
    ///
    /// # Errors
    /// [`ConfigError`] when the endpoint cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time enabled.
    pub fn connect(backend: impl AsRef<str>) -> Result<Self, ConfigError> {
        Self::builder().broker(backend).build()
    }

    /// Begins to configure a cache.
    pub fn builder() -> CacheBuilder {
        CacheBuilder {
            brokers: Vec::new(),
            limits: LIMITS,
        }
    }
}

impl CacheBuilder {
    /// Adds the backend of a broker's state bus, as [`SinkBuilder::broker`](crate::SinkBuilder::broker)
    /// does. Nothing is served from memory while one of them is away.
    #[must_use]
    pub fn broker(mut self, backend: impl AsRef<str>) -> Self {
        self.brokers.push(backend.as_ref().to_owned());
        self
    }

    /// Adds several; see [`CacheBuilder::broker`].
    #[must_use]
    pub fn brokers<I>(mut self, backends: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let backends = backends.into_iter();
        self.brokers
            .extend(backends.map(|it| it.as_ref().to_owned()));
        self
    }

    /// Limits the bytes that are held; 32 MiB by default. An entry counts with its key twice, its value,
    /// and 256 bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// Limits the entries that are held; 100,000 by default. Of the bytes, each takes at least its share.
    #[must_use]
    pub fn entries(mut self, entries: u64) -> Self {
        self.limits.entries = entries;
        self
    }

    /// Limits how long an entry is served after it was asked for; 10 s by default.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.limits.age = age;
        self
    }

    /// Creates the cache, and begins to connect to the bus in the background.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no broker, or an endpoint is not usable.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time enabled.
    pub fn build(self) -> Result<Cache, ConfigError> {
        let sink = Sink::builder().brokers(self.brokers).build()?;
        Ok(Cache {
            sink,
            limits: self.limits,
        })
    }
}

impl CacheStats {
    /// The share of reads that were answered from memory, 0 to 1; `None` before the first read.
    pub fn hit_rate(&self) -> Option<f64> {
        let reads = self.hits + self.misses + self.bypassed;
        (reads > 0).then(|| self.hits as f64 / reads as f64)
    }
}

/// The cache of one [`State`].
#[derive(Debug)]
pub(super) struct Cached {
    shelf: Arc<Shelf>,
    followed: Mutex<HashMap<Arc<str>, Arc<Followed>>>,
    commands: mpsc::UnboundedSender<Command>,
    counts: Arc<Counts>,
    /// Numbers the scopes.
    scopes: AtomicU64,
}

/// A scope that may be cached.
#[derive(Debug)]
pub(super) struct Followed {
    name: Arc<str>,
    /// Its place in the shelf; never used again.
    number: u64,
    is_asked: AtomicBool,
    coherence: Mutex<Coherence>,
    /// The era of `coherence` that may be served; 0: none. Read without the lock.
    era: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    bypassed: AtomicU64,
    invalidated: AtomicU64,
    interruptions: AtomicU64,
}

impl Cached {
    /// Begins to follow what is asked for; `asker` is the state without a cache.
    pub(super) fn start(cache: Cache, asker: State) -> Self {
        let Cache { sink, limits } = cache;
        let shelf = Arc::new(Shelf::new(limits));
        let counts = Arc::new(Counts::default());
        let (commands, receiver) = mpsc::unbounded_channel();
        let follower = Follower::new(sink, asker, shelf.clone(), counts.clone());
        tokio::spawn(follower.run(receiver));
        Self {
            shelf,
            followed: Mutex::default(),
            commands,
            counts,
            scopes: AtomicU64::new(0),
        }
    }

    /// The scope of this name, if it can be followed. It is from its first read on.
    pub(super) fn scope(&self, name: &str) -> Option<Arc<Followed>> {
        let mut all = lock(&self.followed);
        if let Some(followed) = all.get(name) {
            return Some(followed.clone());
        }
        if all.len() >= SCOPES {
            // Those that nobody holds are followed no more.
            all.retain(|_, followed| {
                let is_held = Arc::strong_count(followed) > 1 + usize::from(followed.is_followed());
                if !is_held {
                    // Without a follower there is nothing to be told.
                    let _ = self.commands.send(Command::Leave(followed.name.clone()));
                }
                is_held
            });
        }
        if all.len() >= SCOPES {
            return None;
        }
        let followed = Arc::new(Followed {
            name: name.into(),
            number: self.scopes.fetch_add(1, Ordering::Relaxed),
            is_asked: AtomicBool::new(false),
            coherence: Mutex::default(),
            era: AtomicU64::new(0),
        });
        all.insert(followed.name.clone(), followed.clone());
        Some(followed)
    }

    /// Reads a key of a scope that is followed.
    pub(super) async fn get(
        &self,
        scope: &Scope,
        followed: &Arc<Followed>,
        key: &str,
    ) -> Result<Option<Entry>, ReadError> {
        // The time of this read; the runtime's, so that tests can let time pass.
        let now = Clock::now().into_std();
        let era = followed.era.load(Ordering::Acquire);
        if era != 0
            && let Some(shelved) = self.shelf.find(followed.number, era, key, now)
        {
            self.counts.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(shelved.entry_at(now));
        }
        if !followed.is_asked.swap(true, Ordering::Relaxed) {
            // Without a follower everything is asked.
            let _ = self.commands.send(Command::Follow(followed.clone()));
        }
        let flight = Flight::begin(followed, key);
        let counted = match &flight.ticket {
            Some(_) => &self.counts.misses,
            None => &self.counts.bypassed,
        };
        counted.fetch_add(1, Ordering::Relaxed);
        let answered = scope.ask(key).await?;
        self.take(&flight, &answered, now);
        Ok(answered.entry)
    }

    /// Caches an answer, if it may be.
    fn take(&self, flight: &Flight<'_>, answered: &Answered, asked: Instant) {
        let Some(as_of) = answered.as_of else {
            return;
        };
        let Flight {
            followed,
            key,
            ticket,
        } = flight;
        let number = followed.number;
        let mut coherence = followed.lock();
        let Some(ticket) = *ticket else {
            coherence.handle_seen(key, as_of);
            self.shelf.drop_older(number, key, as_of);
            return;
        };
        if coherence.handle_answered(ticket, key, as_of) {
            let shelved = Shelved {
                era: coherence.era().unwrap_or_default(),
                as_of,
                entry: answered.entry.clone(),
                asked,
            };
            self.shelf.put(number, key, shelved);
        } else {
            self.shelf.drop_older(number, key, as_of);
        }
    }

    /// Drops what a write from here, done or not, may have changed.
    fn forget(&self, fields: &Fields<'_>) {
        match &fields.operations {
            Some(operations) => {
                for operation in operations {
                    self.forget_one(operation.scope.or(fields.scope), operation.key);
                }
            }
            None => self.forget_one(fields.scope, fields.key),
        }
    }

    /// Drops a key, or all of a scope.
    fn forget_one(&self, scope: Option<&str>, key: Option<&str>) {
        let followed = scope.and_then(|scope| lock(&self.followed).get(scope).cloned());
        let Some(followed) = followed else {
            return;
        };
        let mut coherence = followed.lock();
        match key {
            Some(key) => {
                coherence.handle_written(key);
                if self.shelf.drop_older(followed.number, key, u64::MAX) {
                    self.counts.invalidated.fetch_add(1, Ordering::Relaxed);
                }
            }
            None => coherence.handle_scope_written(),
        }
        followed.show(&coherence);
    }

    pub(super) fn stats(&self) -> CacheStats {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let (entries, bytes) = self.shelf.held();
        let followed = lock(&self.followed);
        let scopes = followed.values();
        let scopes = scopes.filter(|it| it.era.load(Ordering::Relaxed) != 0);
        CacheStats {
            hits: count(&self.counts.hits),
            misses: count(&self.counts.misses),
            bypassed: count(&self.counts.bypassed),
            invalidated: count(&self.counts.invalidated),
            interruptions: count(&self.counts.interruptions),
            entries,
            bytes,
            scopes: scopes.count() as u64,
        }
    }
}

impl Followed {
    fn lock(&self) -> MutexGuard<'_, Coherence> {
        lock(&self.coherence)
    }

    fn is_followed(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// Shows the readers which era may be served.
    fn show(&self, coherence: &Coherence) {
        let era = coherence.era().unwrap_or_default();
        self.era.store(era, Ordering::Release);
    }

    fn joined(&self, sequence: u64) {
        let mut coherence = self.lock();
        coherence.handle_joined(sequence);
        self.show(&coherence);
    }

    /// Whether it was joined.
    fn lost(&self) -> bool {
        let mut coherence = self.lock();
        let was_joined = coherence.era().is_some();
        coherence.handle_lost();
        self.show(&coherence);
        was_joined
    }

    /// Takes a change of the bus; false if it shows that others are missing.
    fn told(&self, told: Told<'_>, shelf: &Shelf, counts: &Counts) -> bool {
        let mut coherence = self.lock();
        let effect = coherence.handle_told(told);
        if let Effect::Drop { key, older_than } = effect
            && shelf.drop_older(self.number, key, older_than)
        {
            counts.invalidated.fetch_add(1, Ordering::Relaxed);
        }
        self.show(&coherence);
        effect != Effect::Lost
    }
}

/// A read that is under way.
#[derive(Debug)]
struct Flight<'a> {
    followed: &'a Followed,
    key: &'a str,
    ticket: Option<Ticket>,
}

impl<'a> Flight<'a> {
    fn begin(followed: &'a Followed, key: &'a str) -> Self {
        let ticket = followed.lock().handle_asked(key);
        Self {
            followed,
            key,
            ticket,
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.followed.lock().handle_landed(self.key);
        }
    }
}

/// Drops what a write may have changed when it is over, however it ends.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    pub(super) cached: &'a Cached,
    pub(super) fields: &'a Fields<'a>,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.cached.forget(self.fields);
    }
}

/// What is behind these locks is whole after each of its methods, none of which can panic in between.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Keeps state by scope and key, at the service `org.plantd.State`.

mod attempts;
mod batch;
#[cfg(feature = "cache")]
mod cache;
mod entry;
mod error;
mod exchange;
mod list;
mod scope;
mod shards;
mod stats;
mod upkeep;
mod value;
mod watch;
mod wire;
mod write;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::de::IgnoredAny;

use crate::Client;
use wire::Fields;

pub use batch::Operation;
#[cfg(feature = "cache")]
pub use cache::{Cache, CacheBuilder, CacheStats};
pub use entry::{Change, Entry, Event, Written};
pub use error::{ReadError, Refusal, StateError, WatchError, WriteError};
pub use list::{ListBuilder, Listing};
pub use scope::Scope;
pub use shards::{Shard, Shards, Share};
pub use stats::{ScopeStats, StateStats};
pub use upkeep::{Backup, ShardBackup, Upkeep, UpkeepItem, Verified};
pub use value::{DecodeError, EncodeError, Json, Value};
pub use watch::{Watch, WatchBuilder, WatchItem};
pub use write::{DeleteBuilder, SetBuilder, TouchBuilder};

/// Where state is kept, unless it is said otherwise.
const SERVICE: &str = "org.plantd.State";
/// How long an operation may take, unless it is said otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps values by scope and key at the state service. Cheap to clone.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use plantd_client::{Client, State};
///
/// let client = Client::connect("tcp://127.0.0.1:9797")?;
/// let plant = State::new(&client).scope("org.example.Plant");
/// let written = plant.set("pump/1", &true).await?;
/// let entry = plant.get::<bool>("pump/1").await?.expect("it was set");
/// assert_eq!((entry.value, entry.version), (true, written.version));
/// # Ok(())
/// # }
/// ```
///
/// **Shards.** Where the scopes are divided among several services, a `State` learns so from the first
/// reply of their router, and asks the service of a scope's shard itself from then on.
///
/// **Trying again.** What gets no answer because a connection, a broker or the service was lost is asked
/// again until the [timeout](StateBuilder::timeout) has passed. Every write has an id of its own, under
/// which the service does it once, so that it is never done twice. A write that is without an answer
/// in the end is [`WriteError::UnknownOutcome`]: it was done once or not at all. A refusal, such as
/// [`WriteError::VersionMismatch`], is that of the last attempt.
#[derive(Debug, Clone)]
pub struct State {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    service: String,
    timeout: Duration,
    shards: shards::Known,
    /// Begins the ids of all writes of this `State`.
    writer: String,
    writes: AtomicU64,
    #[cfg(feature = "cache")]
    cached: Option<cache::Cached>,
}

/// Configures a [`State`].
#[derive(Debug)]
pub struct StateBuilder {
    client: Client,
    service: String,
    timeout: Duration,
    #[cfg(feature = "cache")]
    cache: Option<Cache>,
}

impl State {
    /// Keeps state at the service `org.plantd.State` of a client's brokers.
    pub fn new(client: &Client) -> Self {
        Self::builder(client).build()
    }

    /// Begins to configure it.
    pub fn builder(client: &Client) -> StateBuilder {
        StateBuilder {
            client: client.clone(),
            service: SERVICE.to_owned(),
            timeout: TIMEOUT,
            #[cfg(feature = "cache")]
            cache: None,
        }
    }

    /// Returns the keys of one scope. Nothing is asked: a name that is none shows with the first
    /// operation, as `bad-request` or `too-large`.
    pub fn scope(&self, name: impl AsRef<str>) -> Scope {
        Scope {
            state: self.clone(),
            name: name.as_ref().into(),
            #[cfg(feature = "cache")]
            followed: self.cached().and_then(|it| it.scope(name.as_ref())),
        }
    }

    /// Makes a scope.
    ///
    /// # Errors
    /// [`WriteError::ScopeExists`], and whatever keeps it from being made.
    pub async fn create_scope(&self, name: &str) -> Result<(), WriteError> {
        let _: IgnoredAny = self.write("create-scope", Fields::of(name)).await?;
        Ok(())
    }

    /// Deletes a scope with its keys and their history; returns how many keys there were. One with
    /// more than 10,000 keys is refused: [`Scope::delete_prefix`] first.
    ///
    /// # Errors
    /// [`WriteError::NoScope`], and whatever keeps it from being deleted.
    pub async fn delete_scope(&self, name: &str) -> Result<u64, WriteError> {
        #[derive(serde::Deserialize)]
        struct Deleted {
            deleted: u64,
        }
        let done: Deleted = self.write("delete-scope", Fields::of(name)).await?;
        Ok(done.deleted)
    }

    /// Reads what the service counts of itself.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    pub async fn stats(&self) -> Result<StateStats, ReadError> {
        Ok(self.read("stats", &Fields::default()).await?)
    }

    /// What the cache counts, if there is one.
    #[cfg(feature = "cache")]
    pub fn cache_stats(&self) -> Option<CacheStats> {
        self.cached().map(cache::Cached::stats)
    }

    #[cfg(feature = "cache")]
    fn cached(&self) -> Option<&cache::Cached> {
        self.shared.cached.as_ref()
    }

    fn next_write_id(&self) -> String {
        let count = self.shared.writes.fetch_add(1, Ordering::Relaxed);
        format!("{}-{count}", self.shared.writer)
    }
}

impl StateBuilder {
    /// Names the service, such as one shard; `org.plantd.State` by default.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = service.into();
        self
    }

    /// Limits the time of an operation with all its attempts; 10 s by default.
    ///
    /// A write whose answer was lost is tried again for no longer than half of the service's
    /// `retry_window`, five minutes by default: then its id may be forgotten, and it is
    /// [`WriteError::UnknownOutcome`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Answers reads from memory as far as the cache knows; without one by default. See [`Cache`].
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Creates it. Nothing is asked.
    ///
    /// # Panics
    /// With a cache, outside of a tokio runtime.
    pub fn build(self) -> State {
        #[cfg(feature = "cache")]
        let cached = self.cache.map(|cache| {
            let asker = Shared::new(self.client.clone(), self.service.clone(), self.timeout);
            let asker = State {
                shared: Arc::new(asker),
            };
            cache::Cached::start(cache, asker)
        });
        let shared = Shared {
            #[cfg(feature = "cache")]
            cached,
            ..Shared::new(self.client, self.service, self.timeout)
        };
        State {
            shared: Arc::new(shared),
        }
    }
}

impl Shared {
    fn new(client: Client, service: String, timeout: Duration) -> Self {
        // The seeds of two maps, which differ between processes and between calls.
        let random = || RandomState::new().hash_one(0);
        Self {
            client,
            service,
            timeout,
            shards: shards::Known::default(),
            writer: format!("{:016x}{:016x}", random(), random()),
            writes: AtomicU64::new(1),
            #[cfg(feature = "cache")]
            cached: None,
        }
    }
}

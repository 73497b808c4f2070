//! One scope: reading and writing its keys.

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    State,
    entry::{Change, Entry, Told},
    error::{Failed, ReadError, WriteError},
    list::{ListBuilder, Listing},
    stats::ScopeStats,
    value::Value,
    watch::WatchBuilder,
    wire::Fields,
    write::{DeleteBuilder, SetBuilder, TouchBuilder},
};

/// Keys that are deleted at once, step by step.
const STEP_KEYS: u32 = 1_000;

/// The keys of one scope. Made by [`State::scope`]; cheap to clone.
#[derive(Debug, Clone)]
pub struct Scope {
    pub(super) state: State,
    pub(super) name: Arc<str>,
    #[cfg(feature = "cache")]
    pub(super) followed: Option<Arc<super::cache::Followed>>,
}

/// What the service answers of a key.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) entry: Option<Entry>,
    /// How new that is: the version, or the scope's sequence at which there was none.
    #[cfg_attr(
        not(feature = "cache"),
        expect(dead_code, reason = "of use to the cache")
    )]
    pub(super) as_of: Option<u64>,
}

impl Scope {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads what a key holds as a type; `None` where there is no such key or scope.
    ///
    /// # Errors
    /// [`ReadError::Value`] when it is of another type, and whatever keeps it from being read.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Entry<T>>, ReadError> {
        let entry = self.get_value(key).await?;
        entry.map(Entry::decode).transpose()
    }

    /// Reads what a key holds, whatever it is; `None` where there is no such key or scope.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    pub async fn get_value(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        #[cfg(feature = "cache")]
        if let (Some(cached), Some(followed)) = (self.state.cached(), &self.followed) {
            return cached.get(self, followed, key).await;
        }
        Ok(self.ask(key).await?.entry)
    }

    /// Reads what one change wrote; `None` where the history does not have it (any more).
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    pub async fn get_version(&self, key: &str, version: u64) -> Result<Option<Entry>, ReadError> {
        Ok(self.read_entry(key, Some(version)).await?.entry)
    }

    /// Asks the service what a key holds.
    pub(super) async fn ask(&self, key: &str) -> Result<Answered, ReadError> {
        self.read_entry(key, None).await
    }

    async fn read_entry(&self, key: &str, version: Option<u64>) -> Result<Answered, ReadError> {
        let fields = Fields {
            key: Some(key),
            version,
            ..self.fields()
        };
        let failed = match self.state.read::<Told>("state-get", &fields).await {
            Ok(told) => {
                let entry = told.into_entry().map_err(Failed::invalid)?;
                return Ok(Answered {
                    as_of: Some(entry.version),
                    entry: Some(entry),
                });
            }
            Err(failed) => failed,
        };
        // An older service does not say it.
        let as_of = failed.sequence().filter(|sequence| *sequence > 0);
        match ReadError::from(failed) {
            ReadError::NotFound => Ok(Answered { entry: None, as_of }),
            ReadError::NoScope => Ok(Answered {
                entry: None,
                as_of: None,
            }),
            error @ (ReadError::Value { .. } | ReadError::Failed(_)) => Err(error),
        }
    }

    /// Writes whatever serde can write, when it is awaited. The scope is made if it is missing.
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> SetBuilder {
        SetBuilder::new(self.clone(), key, Value::json(value))
    }

    /// Writes a value, JSON as its text or bytes, when it is awaited.
    pub fn set_value(&self, key: &str, value: Value) -> SetBuilder {
        SetBuilder::new(self.clone(), key, Ok(value))
    }

    /// Deletes a key, when it is awaited. Of a missing one nothing changes.
    pub fn delete(&self, key: &str) -> DeleteBuilder {
        DeleteBuilder::new(self.clone(), key)
    }

    /// Gives a value another time to live, `None`: for ever, when it is awaited. Its version stays.
    pub fn touch(&self, key: &str, ttl: Option<Duration>) -> TouchBuilder {
        TouchBuilder::new(self.clone(), key, ttl)
    }

    /// Deletes all keys that begin with a prefix, 1,000 at once; returns how many there were.
    ///
    /// # Errors
    /// [`WriteError`]; keys of the steps before are deleted.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<u64, WriteError> {
        #[derive(serde::Deserialize)]
        struct Step {
            deleted: u64,
            more: bool,
        }
        let mut deleted = 0;
        loop {
            let fields = Fields {
                prefix: Some(prefix),
                limit: Some(STEP_KEYS),
                ..self.fields()
            };
            let step: Step = self.state.write("delete-prefix", fields).await?;
            deleted += step.deleted;
            if !step.more {
                return Ok(deleted);
            }
        }
    }

    /// Begins to list keys, or entries.
    pub fn list(&self) -> ListBuilder {
        ListBuilder::new(self.clone())
    }

    /// Lists what happened to a key, the newest first, as far as the history goes back.
    pub fn history(&self, key: &str) -> Listing<Change> {
        super::list::history(self.clone(), key)
    }

    /// Begins to watch the scope.
    pub fn watch(&self) -> WatchBuilder {
        WatchBuilder::new(self.clone())
    }

    /// Reads what the service counts of the scope.
    ///
    /// # Errors
    /// [`ReadError::NoScope`], and whatever keeps it from being read.
    pub async fn stats(&self) -> Result<ScopeStats, ReadError> {
        Ok(self.state.read("stats", &self.fields()).await?)
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        Fields::of(&self.name)
    }
}

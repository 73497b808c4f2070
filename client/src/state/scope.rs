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
        self.read_entry(key, None).await
    }

    /// Reads what one change wrote; `None` where the history does not have it (any more).
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    pub async fn get_version(&self, key: &str, version: u64) -> Result<Option<Entry>, ReadError> {
        self.read_entry(key, Some(version)).await
    }

    async fn read_entry(
        &self,
        key: &str,
        version: Option<u64>,
    ) -> Result<Option<Entry>, ReadError> {
        let fields = Fields {
            key: Some(key),
            version,
            ..self.fields()
        };
        match self.state.read::<Told>("state-get", &fields).await {
            Ok(told) => Ok(Some(told.into_entry().map_err(Failed::invalid)?)),
            Err(failed) => match ReadError::from(failed) {
                ReadError::NoScope | ReadError::NotFound => Ok(None),
                error @ (ReadError::Value { .. } | ReadError::Failed(_)) => Err(error),
            },
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

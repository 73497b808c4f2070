//! What the service counts.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

/// What the service counts of itself. What a later or an older one does not tell is 0 or empty.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct StateStats {
    /// Scopes that exist.
    pub scopes: u64,
    /// Keys in all of them.
    pub keys: u64,
    /// Commits since the store was made.
    pub commits: u64,
    /// Bytes of the store's file.
    pub file_bytes: u64,
    /// Bytes of its write-ahead log.
    pub wal_bytes: u64,
    /// Watches that are open.
    #[serde(rename = "watches")]
    pub watchers: u64,
    /// Scopes of other shards that a shard's store holds and does not serve.
    pub outside: u64,
    backup_age: Option<f64>,
    /// The version of SQLite.
    pub sqlite: String,
    /// The version of the daemon.
    pub version: String,
    /// The shard's name, in [`StateStats::shards`].
    pub name: String,
    /// Where there are shards, what each of them counts; the rest is of all together.
    pub shards: Vec<StateStats>,
}

impl StateStats {
    /// How old the last backup is; `None` if there is none.
    pub fn backup_age(&self) -> Option<Duration> {
        self.backup_age
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

/// What the service counts of a scope.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ScopeStats {
    /// The sequence of its last change.
    pub sequence: u64,
    /// From which change on the history has every one; 0 if it has none.
    pub oldest: u64,
    /// How many changes before that it has, which are the newest of their keys.
    #[serde(default)]
    pub past: u64,
    /// Its keys.
    pub keys: u64,
    /// Whether each change from now on is published on the state bus, and its brokers have subscribers of
    /// it.
    #[serde(rename = "published", default)]
    pub is_published: bool,
    created: u64,
}

impl ScopeStats {
    /// When it was made.
    pub fn created(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.created)
    }
}

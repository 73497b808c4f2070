//! Backups and their verification: long work, that tells how far it is.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use futures_util::Stream;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    State,
    error::StateError,
    exchange::{data, refusal},
    wire::Fields,
};
use crate::{ReplyStream, RequestError};

/// Parts that are sent ahead of the reader.
const WINDOW: u32 = 16;

/// A backup that was written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Backup {
    /// Its name in the folder of the daemon; of shards those of all.
    #[serde(rename = "backup")]
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// How many commits the store had had.
    pub commits: u64,
    /// How many scopes are in it.
    pub scopes: u64,
    /// How many keys.
    pub keys: u64,
    timestamp: u64,
    /// Where there are shards, what each of them wrote; the rest is of all together.
    #[serde(default)]
    pub shards: Vec<ShardBackup>,
}

/// A backup that a shard has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShardBackup {
    /// The shard.
    #[serde(rename = "name")]
    pub shard: String,
    /// The name of the backup in the folder of the shard's daemon.
    #[serde(rename = "backup")]
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// How many keys.
    pub keys: u64,
}

impl Backup {
    /// When it was taken, by the clock of the service.
    pub fn timestamp(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.timestamp)
    }
}

/// What was read and found to be as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Verified {
    /// Scopes.
    pub scopes: u64,
    /// Keys.
    pub keys: u64,
    /// Changes in the history.
    pub changes: u64,
    /// Bytes.
    pub bytes: u64,
    /// The name of the backup, if it was one.
    pub backup: Option<String>,
}

/// Long work of the service: how far it is, and what it came to.
#[must_use = "the work is given up unless it is read"]
#[derive(Debug)]
pub struct Upkeep<T> {
    parts: Option<ReplyStream>,
    read: fn(&crate::Body) -> Result<T, RequestError>,
}

/// What long work tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpkeepItem<T> {
    /// How far it is.
    Progress {
        /// Bytes that are done.
        done: u64,
        /// Bytes that there are.
        total: u64,
    },
    /// It is done.
    Done(T),
}

impl State {
    /// Has a backup written into the daemon's folder, while everything goes on.
    ///
    /// # Errors
    /// What keeps it from being asked. What comes later comes in what is returned.
    pub async fn backup(&self) -> Result<Upkeep<Backup>, StateError> {
        self.work("backup", None).await
    }

    /// Has the store read against its checksums, or the backup of this name.
    ///
    /// # Errors
    /// As [`State::backup`].
    pub async fn verify(&self, backup: Option<&str>) -> Result<Upkeep<Verified>, StateError> {
        self.work("verify", backup).await
    }

    async fn work<T: DeserializeOwned>(
        &self,
        operation: &str,
        backup: Option<&str>,
    ) -> Result<Upkeep<T>, StateError> {
        let fields = Fields {
            backup,
            progress: Some(true),
            ..Fields::default()
        };
        let way = self.way(&fields);
        let body = fields.body(operation);
        let request = self.shared.client.request(way.service, body);
        // A backup that was begun and lost its answer is not begun once more.
        let parts = request.retry_never().stream(WINDOW).await?;
        Ok(Upkeep {
            parts: Some(parts),
            read: data,
        })
    }
}

impl<T> Upkeep<T> {
    /// Waits for the next; `None` after it is done and after an error.
    pub async fn next(&mut self) -> Option<Result<UpkeepItem<T>, StateError>> {
        std::future::poll_fn(|cx| self.poll_item(cx)).await
    }

    /// Waits until it is done.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn done(mut self) -> Result<T, StateError> {
        while let Some(item) = self.next().await {
            if let UpkeepItem::Done(done) = item? {
                return Ok(done);
            }
        }
        Err(RequestError::Closed.into())
    }

    fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<UpkeepItem<T>, StateError>>> {
        #[derive(Deserialize)]
        struct Progress {
            done: u64,
            total: u64,
        }
        let Some(parts) = &mut self.parts else {
            return Poll::Ready(None);
        };
        let part = ready!(Pin::new(parts).poll_next(cx));
        let part = part.unwrap_or(Err(RequestError::Closed));
        let item = part.map_err(StateError::from).and_then(|part| {
            if let Some(refusal) = refusal(&part.body)? {
                return Err(refusal.into());
            }
            if part.is_final {
                return Ok(UpkeepItem::Done((self.read)(&part.body)?));
            }
            let Progress { done, total } = data(&part.body)?;
            Ok(UpkeepItem::Progress { done, total })
        });
        if !matches!(item, Ok(UpkeepItem::Progress { .. })) {
            self.parts = None;
        }
        Poll::Ready(Some(item))
    }
}

impl<T> Stream for Upkeep<T> {
    type Item = Result<UpkeepItem<T>, StateError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(cx)
    }
}

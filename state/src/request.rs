//! What a request asks: two frames, parsed once into an [`Operation`] that keeps every rule.

mod aim;
mod fields;
mod reading;

use std::time::Duration;

use plantd_client::Body;

use crate::names::{Key, Scope};
use crate::refusal::{Code, Refusal};
use crate::value::Value;
use fields::Fields;
use reading::missing;

pub(crate) use aim::Aim;
pub(crate) use fields::operations;

/// The most operations of a batch.
pub(crate) const BATCH_OPERATIONS: usize = 1_000;
/// The most bytes of values in a batch.
pub(crate) const BATCH_BYTES: usize = 4 << 20;
/// The most entries of a page of keys or scopes, and without a `limit`.
const PAGE: Range = Range(10_000, 1_000);
/// The same of a page of history.
const HISTORY_PAGE: Range = Range(1_000, 100);
/// The most keys that one operation deletes.
pub(crate) const DELETED_KEYS: usize = 10_000;

/// A limit: the most, and what is taken if nothing is said.
struct Range(usize, usize);

/// An operation that keeps every rule that can be checked without the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operation {
    Write(WriteRequest),
    Get {
        scope: Scope,
        key: Key,
        version: Option<u64>,
    },
    ListScopes(Page),
    ListKeys {
        scope: Scope,
        page: Page,
        has_values: bool,
    },
    History {
        scope: Scope,
        key: Key,
        before: Option<u64>,
        limit: usize,
    },
    Watch(WatchRequest),
    Health(Option<Scope>),
    Stats(Option<Scope>),
    Backup {
        has_progress: bool,
    },
    Verify {
        backup: Option<String>,
        has_progress: bool,
    },
    Shards,
}

/// A part of an ordered list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// How what is listed begins.
    pub prefix: String,
    /// What comes after this.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatchRequest {
    pub(crate) scope: Scope,
    pub(crate) filter: Filter,
    pub(crate) from: From,
    pub(crate) has_values: bool,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Now,
    Sequence(u64),
    Snapshot,
}

/// Which keys a watch tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    Key(Key),
    Prefix(String),
}

/// A write, and what its reply repeats.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WriteRequest {
    pub(crate) write: Write,
    pub(crate) id: Option<WriteId>,
    /// Whether the reply has the value.
    pub(crate) echo: bool,
}

/// The id that a client gave a write, and what else it would have to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriteId {
    /// The id.
    pub id: String,
    /// Of the frames of the request.
    pub fingerprint: u32,
}

/// What changes the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Write {
    /// Makes a scope that does not exist.
    CreateScope(Scope),
    /// Deletes a scope with all that is in it.
    DeleteScope(Scope),
    /// Changes one key.
    Edit(Edit),
    /// Changes several keys or none.
    Batch(Vec<Edit>),
    /// Deletes keys that begin alike.
    DeletePrefix {
        /// Of this scope.
        scope: Scope,
        /// How the keys begin.
        prefix: String,
        /// How many at most.
        limit: usize,
    },
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edit {
    /// Of this scope.
    pub scope: Scope,
    /// The key.
    pub key: Key,
    /// When it is done.
    pub condition: Condition,
    /// What is done.
    pub action: Action,
}

/// When an edit is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Always.
    None,
    /// If the key has this version; 0: no value.
    Version(u64),
    /// If the key has no value; the refusal says that it exists.
    Absent,
}

/// What is done with a key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Gives it a value.
    Set {
        /// The value.
        value: Value,
        /// How long it stays; `None`: until it is deleted.
        ttl: Option<Duration>,
        /// Whether a missing scope is made.
        creates_scope: bool,
    },
    /// Takes its value away.
    Delete,
    /// Gives its value another time to stay.
    Touch {
        /// How long it stays; `None`: until it is deleted.
        ttl: Option<Duration>,
    },
    /// Leaves it.
    Check,
}

/// The frames of a request: the name of an operation, and JSON.
pub(crate) fn two_frames(body: &Body) -> Result<(&[u8], &[u8]), Refusal> {
    let mut frames = body.frames();
    match (frames.next(), frames.next(), frames.next()) {
        (Some(name), Some(json), None) => Ok((name, json)),
        (_, _, _) => {
            let count = body.frames().len();
            let error = format!(
                "a request has two frames, an operation and a JSON object; this one has {count}"
            );
            Err(Refusal::new(Code::BadRequest, error))
        }
    }
}

impl Operation {
    /// Reads a request's frames.
    ///
    /// # Errors
    /// The refusal that the client is answered with.
    pub(crate) fn parse(
        name: &[u8],
        json: &[u8],
        limits: &Limits,
    ) -> Result<(&'static str, Self), Refusal> {
        let operation = fields::operation(name)?;
        let fields = Fields::parse(json, operation)?;
        let fingerprint = || {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(name);
            hasher.update(json);
            hasher.finalize()
        };
        let read = match operation.kind {
            fields::Kind::CreateScope => Write::CreateScope(fields.scope()?),
            fields::Kind::DeleteScope => Write::DeleteScope(fields.scope()?),
            fields::Kind::Edit(kind) => Write::Edit(fields.edit(fields.scope()?, kind, limits)?),
            fields::Kind::Batch => Write::Batch(fields.batch(limits)?),
            fields::Kind::DeletePrefix => Write::DeletePrefix {
                scope: fields.scope()?,
                prefix: fields.prefix()?.ok_or_else(|| missing("prefix"))?,
                limit: fields.limit(&Range(DELETED_KEYS, 1_000))?,
            },
            fields::Kind::Get => {
                return Ok((
                    operation.name,
                    Self::Get {
                        scope: fields.scope()?,
                        key: fields.key()?,
                        version: fields.version,
                    },
                ));
            }
            fields::Kind::ListScopes => {
                return Ok((operation.name, Self::ListScopes(fields.page()?)));
            }
            fields::Kind::ListKeys => {
                return Ok((
                    operation.name,
                    Self::ListKeys {
                        scope: fields.scope()?,
                        page: fields.page()?,
                        has_values: fields.values.unwrap_or(false),
                    },
                ));
            }
            fields::Kind::History => {
                return Ok((
                    operation.name,
                    Self::History {
                        scope: fields.scope()?,
                        key: fields.key()?,
                        before: fields.before,
                        limit: fields.limit(&HISTORY_PAGE)?,
                    },
                ));
            }
            fields::Kind::Watch => return Ok((operation.name, Self::Watch(fields.watch()?))),
            fields::Kind::Health => {
                return Ok((operation.name, Self::Health(fields.optional_scope()?)));
            }
            fields::Kind::Stats => {
                return Ok((operation.name, Self::Stats(fields.optional_scope()?)));
            }
            fields::Kind::Backup => {
                let has_progress = fields.progress.unwrap_or(false);
                return Ok((operation.name, Self::Backup { has_progress }));
            }
            fields::Kind::Verify => {
                let verify = Self::Verify {
                    backup: fields.backup.map(String::from),
                    has_progress: fields.progress.unwrap_or(false),
                };
                return Ok((operation.name, verify));
            }
            fields::Kind::Shards => return Ok((operation.name, Self::Shards)),
        };
        let write = Self::Write(WriteRequest {
            write: read,
            id: fields.id(fingerprint)?,
            echo: fields.echo.unwrap_or(true),
        });
        Ok((operation.name, write))
    }
}

/// What may be configured of what a request may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The bytes of a value.
    pub(crate) value_bytes: usize,
    /// For how long an id is remembered.
    pub(crate) retry_window: Duration,
}

impl Limits {
    /// Refuses a write that was first asked for so long ago, and may have been done, when its id may be
    /// forgotten. Half of the time is left to the way of the request.
    pub(crate) fn check_age(&self, asked_before: Duration) -> Result<(), Refusal> {
        let window = self.retry_window;
        if asked_before < window / 2 {
            return Ok(());
        }
        let error = format!(
            "it was first asked for {:.1} s ago and may be done since; ids are remembered for {} s: \
             read what is there, and decide",
            asked_before.as_secs_f64(),
            window.as_secs_f64()
        );
        Err(Refusal::new(Code::TooLate, error))
    }
}

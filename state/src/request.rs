//! What a request asks: two frames, parsed once into an [`Operation`] that keeps every rule.

mod aim;
mod fields;

use std::time::Duration;

use plantd_client::Body;
use serde_json::value::RawValue;

use crate::names::{Key, Scope, check_text};
use crate::refusal::{Code, Refusal};
use crate::value::Value;
use fields::Fields;

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
/// The longest time a value may be given.
const LONGEST_TTL: f64 = 100.0 * 365.0 * 86_400.0;
/// The longest id of a write.
const ID_BYTES: usize = 64;
/// The longest content type.
const CONTENT_TYPE_BYTES: usize = 255;

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
            fields::Kind::Set => {
                Write::Edit(fields.edit(fields.scope()?, fields::Kind::Set, limits)?)
            }
            fields::Kind::Delete => {
                Write::Edit(fields.edit(fields.scope()?, fields::Kind::Delete, limits)?)
            }
            fields::Kind::Touch => {
                Write::Edit(fields.edit(fields.scope()?, fields::Kind::Touch, limits)?)
            }
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

impl Fields<'_> {
    fn scope(&self) -> Result<Scope, Refusal> {
        self.optional_scope()?.ok_or_else(|| missing("scope"))
    }

    fn optional_scope(&self) -> Result<Option<Scope>, Refusal> {
        let name = match (&self.scope, &self.service) {
            (Some(scope), Some(service)) if scope != service => {
                let error = format!(
                    "scope and service are two names of one field: {scope:?} is not {service:?}"
                );
                return Err(Refusal::new(Code::BadRequest, error));
            }
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => return Ok(None),
        };
        Scope::parse(name).map(Some)
    }

    fn key(&self) -> Result<Key, Refusal> {
        Key::parse(self.key.as_deref().ok_or_else(|| missing("key"))?)
    }

    fn prefix(&self) -> Result<Option<String>, Refusal> {
        let Some(prefix) = &self.prefix else {
            return Ok(None);
        };
        check_text("prefix", prefix)?;
        Ok(Some(prefix.clone().into_owned()))
    }

    fn limit(&self, range: &Range) -> Result<usize, Refusal> {
        let Some(limit) = self.limit else {
            return Ok(range.1);
        };
        let most = range.0;
        usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| {
                let error = format!("limit: {limit} is out of range; write 1 to {most}");
                Refusal::new(Code::BadRequest, error)
            })
    }

    fn page(&self) -> Result<Page, Refusal> {
        let after = self.after.as_deref();
        after.map_or(Ok(()), |after| check_text("after", after))?;
        Ok(Page {
            prefix: self.prefix()?.unwrap_or_default(),
            after: after.map(str::to_owned),
            limit: self.limit(&PAGE)?,
        })
    }

    fn id(&self, fingerprint: impl FnOnce() -> u32) -> Result<Option<WriteId>, Refusal> {
        let Some(id) = self.id.as_deref() else {
            return Ok(None);
        };
        if !(1..=ID_BYTES).contains(&id.len()) || id.chars().any(char::is_control) {
            let error = format!("id: write 1 to {ID_BYTES} bytes without control characters");
            return Err(Refusal::new(Code::BadRequest, error));
        }
        Ok(Some(WriteId {
            id: id.to_owned(),
            fingerprint: fingerprint(),
        }))
    }

    fn edit(&self, scope: Scope, kind: fields::Kind, limits: &Limits) -> Result<Edit, Refusal> {
        let condition = match (self.if_version, self.create_only.unwrap_or(false)) {
            (None, false) => Condition::None,
            (Some(version), false) => Condition::Version(version),
            (None | Some(0), true) => Condition::Absent,
            (Some(version), true) => {
                let error = format!("if-version: with create-only it can only be 0, not {version}");
                return Err(Refusal::new(Code::BadRequest, error));
            }
        };
        let action = match kind {
            fields::Kind::Set => Action::Set {
                value: self.stored_value(limits)?,
                ttl: self.ttl()?,
                creates_scope: self.create_scope.unwrap_or(true),
            },
            fields::Kind::Touch => Action::Touch { ttl: self.ttl()? },
            fields::Kind::Delete => Action::Delete,
            fields::Kind::CreateScope
            | fields::Kind::DeleteScope
            | fields::Kind::ListScopes
            | fields::Kind::Get
            | fields::Kind::DeletePrefix
            | fields::Kind::Batch
            | fields::Kind::ListKeys
            | fields::Kind::History
            | fields::Kind::Watch
            | fields::Kind::Health
            | fields::Kind::Stats
            | fields::Kind::Backup
            | fields::Kind::Verify
            | fields::Kind::Shards => Action::Check,
        };
        Ok(Edit {
            scope,
            key: self.key()?,
            condition,
            action,
        })
    }

    fn ttl(&self) -> Result<Option<Duration>, Refusal> {
        match self.ttl {
            None => Ok(None),
            Some(None) => Ok(None),
            Some(Some(0.0)) => Ok(None),
            Some(Some(seconds)) if (1e-3..=LONGEST_TTL).contains(&seconds) => {
                Ok(Some(Duration::from_secs_f64(seconds)))
            }
            Some(Some(seconds)) => {
                let error = format!(
                    "ttl: {seconds} is out of range; write seconds from 0.001 to {LONGEST_TTL}, \
                     or 0 for a value that stays"
                );
                Err(Refusal::new(Code::BadRequest, error))
            }
        }
    }

    fn stored_value(&self, limits: &Limits) -> Result<Value, Refusal> {
        let value = match (
            self.value,
            self.base64.as_deref(),
            self.content_type.as_deref(),
        ) {
            (Some(json), None, None) => Value::Json(json.get().into()),
            (None, Some(base64), Some(content_type)) => {
                let content_type = checked_content_type(content_type)?;
                let data = Value::decode(base64)
                    .map_err(|error| Refusal::new(Code::BadRequest, format!("base64: {error}")))?;
                Value::bytes(content_type, data)
            }
            (None, Some(_), None) => return Err(missing("content-type")),
            (None, None, Some(_)) => return Err(missing("base64")),
            (None, None, None) => return Err(missing("value")),
            (Some(_), _, _) => {
                let error = "value: it is JSON; write either it, or base64 and content-type";
                return Err(Refusal::new(Code::BadRequest, error));
            }
        };
        let most = limits.value_bytes;
        if value.len() > most {
            let error = format!("value: {} bytes; a value has at most {most}", value.len());
            return Err(Refusal::new(Code::TooLarge, error));
        }
        Ok(value)
    }

    fn watch(&self) -> Result<WatchRequest, Refusal> {
        let filter = match (&self.key, self.prefix()?) {
            (Some(key), None) => Filter::Key(Key::parse(key)?),
            (None, prefix) => Filter::Prefix(prefix.unwrap_or_default()),
            (Some(_), Some(_)) => {
                let error = "key and prefix: write one of them";
                return Err(Refusal::new(Code::BadRequest, error));
            }
        };
        let from = match (self.from, self.snapshot.unwrap_or(false)) {
            (None, false) => From::Now,
            (Some(sequence), false) => From::Sequence(sequence),
            (None, true) => From::Snapshot,
            (Some(_), true) => {
                let error = "from and snapshot: write one of them";
                return Err(Refusal::new(Code::BadRequest, error));
            }
        };
        Ok(WatchRequest {
            scope: self.scope()?,
            filter,
            from,
            has_values: self.values.unwrap_or(true),
        })
    }

    /// The operations of a batch, as they are written.
    fn operations(&self) -> Result<&[&RawValue], Refusal> {
        let operations = self.operations.as_deref();
        let operations = operations.ok_or_else(|| missing("operations"))?;
        let count = operations.len();
        if (1..=BATCH_OPERATIONS).contains(&count) {
            return Ok(operations);
        }
        let error = format!("operations: {count}; a batch has 1 to {BATCH_OPERATIONS}");
        let code = if count == 0 {
            Code::BadRequest
        } else {
            Code::TooLarge
        };
        Err(Refusal::new(code, error))
    }

    /// The operations of a batch, each with the rules that it would have alone.
    fn batch(&self, limits: &Limits) -> Result<Vec<Edit>, Refusal> {
        let operations = self.operations()?;
        let scope = self.optional_scope()?;
        let mut edits = Vec::with_capacity(operations.len());
        let mut keys = std::collections::BTreeSet::new();
        let mut bytes = 0;
        for (index, json) in operations.iter().enumerate() {
            let of_batch = |refusal| refused_in_batch(refusal, index);
            let edit = self
                .batch_edit(json.get().as_bytes(), scope.as_ref(), limits)
                .map_err(of_batch)?;
            if !keys.insert((edit.scope.clone(), edit.key.clone())) {
                let error = format!("key: {} occurs twice in the batch", edit.key);
                return Err(of_batch(Refusal::new(Code::BadRequest, error)));
            }
            if let Action::Set { value, .. } = &edit.action {
                bytes += value.len();
            }
            edits.push(edit);
        }
        if bytes > BATCH_BYTES {
            let error =
                format!("operations: {bytes} bytes of values; a batch has at most {BATCH_BYTES}");
            return Err(Refusal::new(Code::TooLarge, error));
        }
        Ok(edits)
    }

    fn batch_edit(
        &self,
        json: &[u8],
        scope: Option<&Scope>,
        limits: &Limits,
    ) -> Result<Edit, Refusal> {
        let mut fields = Fields::parse_in_batch(json)?;
        let kind = fields::batch_kind(&fields)?;
        fields.create_scope = self.create_scope;
        let own = fields.optional_scope()?;
        let scope = own
            .or_else(|| scope.cloned())
            .ok_or_else(|| missing("scope"))?;
        fields.edit(scope, kind, limits)
    }
}

fn refused_in_batch(refusal: Refusal, index: usize) -> Refusal {
    Refusal {
        error: format!("operations[{index}]: {}", refusal.error),
        ..refusal.with("index", index)
    }
}

fn checked_content_type(text: &str) -> Result<String, Refusal> {
    let is_valid = (1..=CONTENT_TYPE_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && text.contains('/');
    if is_valid {
        return Ok(text.to_owned());
    }
    let error = format!("content-type: {text:?} is none; write one such as image/png");
    Err(Refusal::new(Code::BadRequest, error))
}

fn missing(field: &str) -> Refusal {
    Refusal::new(Code::BadRequest, format!("{field}: it is missing"))
}

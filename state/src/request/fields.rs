//! The fields of a request's JSON object, and which operation has which.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::value::RawValue;

use super::reading::missing;
use crate::refusal::{Code, Refusal};

/// An operation, by what it is called.
#[derive(Debug)]
pub(super) struct Named<K> {
    pub(super) name: &'static str,
    pub(super) kind: K,
    /// Its fields, without `scope`, `service` and `token`.
    fields: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Edit(EditKind),
    Get,
    Batch,
    DeletePrefix,
    CreateScope,
    DeleteScope,
    ListScopes,
    ListKeys,
    History,
    Watch,
    Health,
    Stats,
    Backup,
    Verify,
    Shards,
}

/// What an edit of a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EditKind {
    Set,
    Delete,
    Touch,
    /// Only in a batch.
    Check,
}

const fn named<K: Copy>(name: &'static str, kind: K, fields: &'static [&'static str]) -> Named<K> {
    Named { name, kind, fields }
}

const SET: &[&str] = &[
    "key",
    "value",
    "base64",
    "content-type",
    "if-version",
    "create-only",
    "ttl",
    "create-scope",
    "echo",
    "id",
];
const SET_IN_BATCH: &[&str] = &[
    "op",
    "key",
    "value",
    "base64",
    "content-type",
    "if-version",
    "create-only",
    "ttl",
];

/// Every operation; those that are asked most come first.
const OPERATIONS: &[Named<Kind>] = &[
    named("state-set", Kind::Edit(EditKind::Set), SET),
    named("state-get", Kind::Get, &["key", "version"]),
    named(
        "delete",
        Kind::Edit(EditKind::Delete),
        &["key", "if-version", "id"],
    ),
    named(
        "touch",
        Kind::Edit(EditKind::Touch),
        &["key", "ttl", "if-version", "id"],
    ),
    named("batch", Kind::Batch, &["operations", "create-scope", "id"]),
    named(
        "delete-prefix",
        Kind::DeletePrefix,
        &["prefix", "limit", "id"],
    ),
    named("create-scope", Kind::CreateScope, &["id"]),
    named("delete-scope", Kind::DeleteScope, &["id"]),
    named(
        "list-scopes",
        Kind::ListScopes,
        &["prefix", "after", "limit"],
    ),
    named(
        "list-keys",
        Kind::ListKeys,
        &["prefix", "after", "limit", "values"],
    ),
    named("history", Kind::History, &["key", "before", "limit"]),
    named(
        "watch",
        Kind::Watch,
        &["key", "prefix", "from", "snapshot", "values"],
    ),
    named("health", Kind::Health, &[]),
    named("stats", Kind::Stats, &[]),
    named("backup", Kind::Backup, &["progress"]),
    named("verify", Kind::Verify, &["backup", "progress"]),
    named("shards", Kind::Shards, &[]),
];

/// The operation of a name.
pub(super) fn operation(name: &[u8]) -> Result<&'static Named<Kind>, Refusal> {
    let mut known = OPERATIONS.iter();
    known
        .find(|known| known.name.as_bytes() == name)
        .ok_or_else(|| {
            let names: Vec<&str> = OPERATIONS.iter().map(|known| known.name).collect();
            let name = String::from_utf8_lossy(name);
            let error = format!(
                "there is no operation {name:?}; there are {}",
                names.join(", ")
            );
            Refusal::new(Code::UnknownOperation, error)
        })
}

/// What the operations are called.
pub(crate) fn operations() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|operation| operation.name)
}

/// What an operation of a batch may be.
const IN_BATCH: &[Named<EditKind>] = &[
    named("set", EditKind::Set, SET_IN_BATCH),
    named("delete", EditKind::Delete, &["op", "key", "if-version"]),
    named(
        "touch",
        EditKind::Touch,
        &["op", "key", "ttl", "if-version"],
    ),
    named("check", EditKind::Check, &["op", "key", "if-version"]),
];

/// Every field that there is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) scope: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) service: Option<Cow<'a, str>>,
    #[expect(dead_code, reason = "read, so that it is taken and not kept")]
    token: Option<IgnoredAny>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) key: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) value: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) base64: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) content_type: Option<Cow<'a, str>>,
    pub(super) if_version: Option<u64>,
    pub(super) create_only: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    pub(super) ttl: Option<Option<f64>>,
    pub(super) create_scope: Option<bool>,
    pub(super) echo: Option<bool>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) version: Option<u64>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) prefix: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) after: Option<Cow<'a, str>>,
    pub(super) before: Option<u64>,
    pub(super) limit: Option<u64>,
    pub(super) values: Option<bool>,
    pub(super) from: Option<u64>,
    pub(super) snapshot: Option<bool>,
    pub(super) progress: Option<bool>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) backup: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) op: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) operations: Option<Vec<&'a RawValue>>,
}

/// Reads a text, which is borrowed if there is nothing to be unescaped in it.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    /// What is borrowed when it stands alone, and is not within an `Option`.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let text = Option::<Text<'de>>::deserialize(from)?;
    Ok(text.map(|Text(text)| text))
}

/// Reads a field whose `null` is not the same as its absence.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl<'a> Fields<'a> {
    pub(super) fn parse(json: &'a [u8], operation: &Named<Kind>) -> Result<Self, Refusal> {
        let fields = Self::read(json)?;
        fields.check(operation)?;
        Ok(fields)
    }

    pub(super) fn parse_in_batch(json: &'a [u8]) -> Result<Self, Refusal> {
        Self::read(json)
    }

    fn read(json: &'a [u8]) -> Result<Self, Refusal> {
        // What is text as a whole need not be looked at again for each of its texts.
        let read = match str::from_utf8(json) {
            Ok(json) => serde_json::from_str(json),
            Err(_) => serde_json::from_slice(json),
        };
        read.map_err(|error| {
            let error =
                format!("the second frame is not the JSON object that was expected: {error}");
            Refusal::new(Code::BadRequest, error)
        })
    }

    /// Refuses the first field that an operation does not have.
    fn check<K>(&self, operation: &Named<K>) -> Result<(), Refusal> {
        let has = [
            ("key", self.key.is_some()),
            ("value", self.value.is_some()),
            ("base64", self.base64.is_some()),
            ("content-type", self.content_type.is_some()),
            ("if-version", self.if_version.is_some()),
            ("create-only", self.create_only.is_some()),
            ("ttl", self.ttl.is_some()),
            ("create-scope", self.create_scope.is_some()),
            ("echo", self.echo.is_some()),
            ("id", self.id.is_some()),
            ("version", self.version.is_some()),
            ("prefix", self.prefix.is_some()),
            ("after", self.after.is_some()),
            ("before", self.before.is_some()),
            ("limit", self.limit.is_some()),
            ("values", self.values.is_some()),
            ("from", self.from.is_some()),
            ("snapshot", self.snapshot.is_some()),
            ("progress", self.progress.is_some()),
            ("backup", self.backup.is_some()),
            ("op", self.op.is_some()),
            ("operations", self.operations.is_some()),
        ];
        let stray = has
            .iter()
            .find(|(name, is_there)| *is_there && !operation.fields.contains(name));
        let Some((stray, _)) = stray else {
            return Ok(());
        };
        let known = if operation.fields.is_empty() {
            "no field but scope".to_owned()
        } else {
            operation.fields.join(", ")
        };
        let error = format!(
            "{stray}: {} has no such field; it has {known}",
            operation.name
        );
        Err(Refusal::new(Code::BadRequest, error))
    }
}

/// What an operation of a batch is.
pub(super) fn batch_kind(fields: &Fields<'_>) -> Result<EditKind, Refusal> {
    let op = fields.op.as_deref().ok_or_else(|| missing("op"))?;
    let Some(operation) = IN_BATCH.iter().find(|known| known.name == op) else {
        let error = format!("op: there is no {op:?} in a batch; write set, delete, touch or check");
        return Err(Refusal::new(Code::BadRequest, error));
    };
    fields.check(operation)?;
    if operation.kind == EditKind::Check && fields.if_version.is_none() {
        return Err(missing("if-version"));
    }
    Ok(operation.kind)
}

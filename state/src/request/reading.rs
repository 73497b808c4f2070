//! What the fields of an operation say: each is checked by itself, and the error says what would be right.

use std::time::Duration;

use serde_json::value::RawValue;

use super::fields::{self, EditKind, Fields};
use super::{
    Action, BATCH_BYTES, BATCH_OPERATIONS, Condition, Edit, Filter, From, Limits, PAGE, Page,
    Range, WatchRequest, WriteId,
};
use crate::names::{Key, Scope, check_text};
use crate::refusal::{Code, Refusal};
use crate::value::Value;

/// The longest time a value may be given.
const LONGEST_TTL: f64 = 100.0 * 365.0 * 86_400.0;
/// The longest id of a write.
const ID_BYTES: usize = 64;
/// The longest content type.
const CONTENT_TYPE_BYTES: usize = 255;

impl Fields<'_> {
    pub(super) fn scope(&self) -> Result<Scope, Refusal> {
        self.optional_scope()?.ok_or_else(|| missing("scope"))
    }

    pub(super) fn optional_scope(&self) -> Result<Option<Scope>, Refusal> {
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

    pub(super) fn key(&self) -> Result<Key, Refusal> {
        Key::parse(self.key.as_deref().ok_or_else(|| missing("key"))?)
    }

    pub(super) fn prefix(&self) -> Result<Option<String>, Refusal> {
        let Some(prefix) = &self.prefix else {
            return Ok(None);
        };
        check_text("prefix", prefix)?;
        Ok(Some(prefix.clone().into_owned()))
    }

    pub(super) fn limit(&self, range: &Range) -> Result<usize, Refusal> {
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

    pub(super) fn page(&self) -> Result<Page, Refusal> {
        let after = self.after.as_deref();
        after.map_or(Ok(()), |after| check_text("after", after))?;
        Ok(Page {
            prefix: self.prefix()?.unwrap_or_default(),
            after: after.map(str::to_owned),
            limit: self.limit(&PAGE)?,
        })
    }

    pub(super) fn id(&self, fingerprint: impl FnOnce() -> u32) -> Result<Option<WriteId>, Refusal> {
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

    pub(super) fn edit(
        &self,
        scope: Scope,
        kind: EditKind,
        limits: &Limits,
    ) -> Result<Edit, Refusal> {
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
            EditKind::Set => Action::Set {
                value: self.stored_value(limits)?,
                ttl: self.ttl()?,
                creates_scope: self.create_scope.unwrap_or(true),
            },
            EditKind::Touch => Action::Touch { ttl: self.ttl()? },
            EditKind::Delete => Action::Delete,
            EditKind::Check => Action::Check,
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

    pub(super) fn watch(&self) -> Result<WatchRequest, Refusal> {
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
    pub(super) fn operations(&self) -> Result<&[&RawValue], Refusal> {
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
    pub(super) fn batch(&self, limits: &Limits) -> Result<Vec<Edit>, Refusal> {
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

pub(super) fn refused_in_batch(refusal: Refusal, index: usize) -> Refusal {
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

pub(super) fn missing(field: &str) -> Refusal {
    Refusal::new(Code::BadRequest, format!("{field}: it is missing"))
}

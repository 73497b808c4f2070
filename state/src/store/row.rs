//! Rows as they lie in the tables, each with its checksum.
//!
//! A checksum is the CRC-32 of what a row means, with the place where it stands: a row that is
//! whole and elsewhere is not right either. CRC-32 finds every damage of up to four bytes in a row.

use rusqlite::types::ValueRef;
use rusqlite::{Row, ToSql};

use super::Fault;
use super::clock;
use super::mark::Identity;
use super::recent::Kept;
use super::sum::Sum;
use crate::names::Key;
use crate::value::Value;

/// How many bits of a change's id are its sequence; the others are the number of its scope.
const SEQUENCE_BITS: u32 = 44;
/// The last sequence that a scope can have.
pub(super) const LAST_SEQUENCE: u64 = (1 << SEQUENCE_BITS) - 1;
/// The last number that a scope can have.
pub(super) const LAST_SCOPE: i64 = (1 << (63 - SEQUENCE_BITS)) - 1;

/// Where a change of a scope lies.
pub(super) fn change_id(scope: i64, sequence: u64) -> i64 {
    (scope << SEQUENCE_BITS) | sequence as i64
}

/// The sequence in the id of a change.
pub(super) fn sequence_of(id: i64) -> u64 {
    id as u64 & LAST_SEQUENCE
}

/// The number of the scope in the id of a change.
pub(super) fn scope_of(id: i64) -> i64 {
    id >> SEQUENCE_BITS
}

/// What a scope has been through and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScopeRow {
    pub(crate) number: i64,
    /// The last change.
    pub(crate) sequence: u64,
    /// The last change that the history no longer has.
    pub(crate) floor: u64,
    /// The table of values has what it is by this change; some of what came later may be missing.
    pub(crate) folded: u64,
    /// How many keys there are.
    pub(crate) keys: u64,
    /// The sum of their rows' checksums.
    pub(crate) digest: u64,
    pub(crate) created: i64,
    pub(crate) is_deleted: bool,
    /// How many changes are kept that are not above the floor.
    pub(crate) past: u64,
}

impl ScopeRow {
    pub(super) const COLUMNS: &str =
        "number, scope, sequence, floor, keys, digest, created, deleted, checksum, past, unfolded";

    /// How many of the last changes may be missing in the table of values.
    pub(super) fn unfolded(&self) -> u64 {
        self.sequence - self.folded
    }

    pub(super) fn checksum(&self, scope: &str) -> u32 {
        let mut sum = Sum::of("scopes");
        sum.text(scope)
            .number(self.number)
            .number(self.sequence as i64)
            .number(self.floor as i64)
            .number(self.keys as i64)
            .number(self.digest as i64)
            .number(self.created)
            .number(self.is_deleted.into());
        // Rows of earlier schemas are right without them.
        if self.past > 0 {
            sum.text("past").number(self.past as i64);
        }
        if self.unfolded() > 0 {
            sum.text("unfolded").number(self.unfolded() as i64);
        }
        sum.end()
    }

    /// Where its changes after a sequence lie, up to another one: after the first, up to the second.
    pub(super) fn ids(&self, after: u64, up_to: u64) -> (i64, i64) {
        (change_id(self.number, after), change_id(self.number, up_to))
    }

    /// The same of those that are not above the floor.
    pub(super) fn past_ids(&self) -> (i64, i64) {
        self.ids(0, self.floor)
    }

    /// Reads a row of [`Self::COLUMNS`].
    pub(super) fn read(row: &Row<'_>) -> Result<(String, Self), Fault> {
        let scope: String = row.get(1)?;
        let sequence = unsigned(row, 2)?;
        let unfolded = unsigned(row, 10)?;
        let damaged = || Fault::damaged(format!("the row of scope {scope}"));
        let read = Self {
            number: row.get(0)?,
            sequence,
            floor: unsigned(row, 3)?,
            folded: sequence.checked_sub(unfolded).ok_or_else(damaged)?,
            keys: unsigned(row, 4)?,
            digest: unsigned(row, 5)?,
            created: row.get(6)?,
            is_deleted: row.get(7)?,
            past: unsigned(row, 9)?,
        };
        if row.get::<_, u32>(8)? != read.checksum(&scope) {
            return Err(damaged());
        }
        Ok((scope, read))
    }
}

/// What a store knows of itself, apart from its scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoreRow {
    pub(super) identity: Identity,
    /// The backup that it was restored from.
    pub(super) origin: Option<String>,
    pub(super) commits: u64,
    pub(super) kept: clock::Kept,
}

impl StoreRow {
    pub(super) fn checksum(&self) -> u32 {
        let mut sum = Sum::of("store");
        sum.bytes(&self.identity)
            .text(self.origin.as_deref().unwrap_or_default())
            .number(self.commits as i64)
            .number(self.kept.stamp)
            .number(self.kept.clock)
            .number(self.kept.wall);
        sum.end()
    }
}

/// A value with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) version: u64,
    pub(crate) timestamp: i64,
    /// By the store's clock, see [`super::clock`].
    pub(crate) expires: Option<i64>,
}

impl Entry {
    /// What [`Self::read`] reads, from column `first` on.
    pub(super) const COLUMNS: &str = "value, timestamp, version, content_type, expires, checksum";

    pub(super) fn checksum(&self, scope: &str, key: &str) -> u32 {
        let mut sum = Sum::of("state");
        sum.text(scope)
            .text(key)
            .value(&self.value)
            .number(self.timestamp)
            .number(self.version as i64)
            .number(self.expires.unwrap_or(-1));
        sum.end()
    }

    /// Reads a row, and gives its checksum too.
    pub(super) fn read(
        row: &Row<'_>,
        first: usize,
        scope: &str,
        key: &str,
    ) -> Result<(Self, u32), Fault> {
        let damaged = || Fault::damaged(format!("the value of {scope} {key}"));
        let content_type: Option<String> = row.get(first + 3)?;
        let entry = Self {
            value: read_value(row.get_ref(first)?, content_type).ok_or_else(damaged)?,
            timestamp: row.get(first + 1)?,
            version: unsigned(row, first + 2)?,
            expires: row.get(first + 4)?,
        };
        let checksum = entry.checksum(scope, key);
        if row.get::<_, u32>(first + 5)? != checksum {
            return Err(damaged());
        }
        Ok((entry, checksum))
    }
}

/// What a write has to know of the value that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) version: u64,
    pub(super) checksum: u32,
    /// Whether it expires.
    pub(super) has_time: bool,
}

impl Found {
    /// Checks a row of [`Entry::COLUMNS`] without taking its value out.
    pub(super) fn read(row: &Row<'_>, scope: &str, key: &str) -> Result<Self, Fault> {
        let data = match row.get_ref(0)? {
            ValueRef::Text(data) | ValueRef::Blob(data) => data,
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
        };
        let content_type = match row.get_ref(3)? {
            ValueRef::Text(text) => text,
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => &[],
        };
        let version = unsigned(row, 2)?;
        let expires: Option<i64> = row.get(4)?;
        let mut sum = Sum::of("state");
        sum.text(scope).text(key).bytes(content_type).bytes(data);
        sum.number(row.get(1)?)
            .number(version as i64)
            .number(expires.unwrap_or(-1));
        let checksum = sum.end();
        if row.get::<_, u32>(5)? != checksum {
            return Err(Fault::damaged(format!("the value of {scope} {key}")));
        }
        Ok(Self {
            version,
            checksum,
            has_time: expires.is_some(),
        })
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    CreateScope,
    Set,
    Delete,
    Expire,
    DeleteScope,
}

impl Event {
    const ALL: [Self; 5] = [
        Self::CreateScope,
        Self::Set,
        Self::Delete,
        Self::Expire,
        Self::DeleteScope,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::CreateScope => "create-scope",
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Expire => "expire",
            Self::DeleteScope => "delete-scope",
        }
    }

    fn number(self) -> i64 {
        self as i64
    }
}

/// A change, as the history keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) sequence: u64,
    pub(crate) event: Event,
    /// Every change has one but those of the scope itself.
    pub(crate) key: Option<Key>,
    pub(crate) value: Option<Value>,
    pub(crate) timestamp: i64,
    /// The version that it replaced.
    pub(crate) previous: u64,
    /// The change of the same key before it: `previous`, or where the key was deleted; 0: none.
    pub(crate) before: u64,
    /// How many changes of the same scope in the same batch follow.
    pub(crate) more: u32,
}

impl Change {
    pub(super) const COLUMNS: &str =
        "id, event, key, value, timestamp, previous, content_type, more, checksum";

    pub(super) fn checksum(&self, id: i64) -> u32 {
        let mut sum = Sum::of("changes");
        sum.number(id).number(self.event.number());
        sum.text(self.key.as_ref().map_or("\0", Key::as_str));
        match &self.value {
            Some(value) => sum.value(value),
            None => sum.number(-1),
        };
        sum.number(self.timestamp)
            .number(self.link())
            .number(self.more.into());
        sum.end()
    }

    /// `previous` and `before` in one column: below 0 it is `before`, and there was no value.
    fn link(&self) -> i64 {
        if self.previous > 0 {
            self.previous as i64
        } else {
            -(self.before as i64)
        }
    }

    /// The value that a change gave its key for good, as its row in the table of values has it.
    pub(super) fn kept(&self, scope: &str) -> Option<Kept> {
        let entry = Entry {
            value: self.value.clone()?,
            version: self.sequence,
            timestamp: self.timestamp,
            expires: None,
        };
        let checksum = entry.checksum(scope, self.key.as_ref()?.as_str());
        Some(Kept { entry, checksum })
    }

    /// How many columns a row has.
    pub(super) const WIDTH: usize = 9;

    /// Gives a statement the columns of a row, from a parameter on.
    pub(super) fn bind(
        &self,
        statement: &mut rusqlite::Statement<'_>,
        id: i64,
        first: usize,
    ) -> Result<(), Fault> {
        let content_type = self.value.as_ref().and_then(Value::content_type);
        statement.raw_bind_parameter(first, id)?;
        statement.raw_bind_parameter(first + 1, self.event.number())?;
        statement.raw_bind_parameter(first + 2, self.key.as_ref().map(Key::as_str))?;
        statement.raw_bind_parameter(first + 3, self.value.as_ref().map(Stored))?;
        statement.raw_bind_parameter(first + 4, self.timestamp)?;
        statement.raw_bind_parameter(first + 5, self.link())?;
        statement.raw_bind_parameter(first + 6, content_type)?;
        statement.raw_bind_parameter(first + 7, self.more)?;
        statement.raw_bind_parameter(first + 8, self.checksum(id))?;
        Ok(())
    }

    /// Reads a row of [`Self::COLUMNS`].
    pub(super) fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let id: i64 = row.get(0)?;
        let damaged = || Fault::damaged(format!("change {id}"));
        let event = usize::try_from(row.get::<_, i64>(1)?).map_err(|_| damaged())?;
        let content_type: Option<String> = row.get(6)?;
        let value = row.get_ref(3)?;
        let value = match value {
            ValueRef::Null => None,
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => {
                Some(read_value(value, content_type).ok_or_else(damaged)?)
            }
        };
        let link: i64 = row.get(5)?;
        let change = Self {
            sequence: sequence_of(id),
            event: *Event::ALL.get(event).ok_or_else(damaged)?,
            key: text(row, 2)?.map(Key::kept),
            value,
            timestamp: row.get(4)?,
            previous: link.max(0) as u64,
            before: link.unsigned_abs(),
            more: row.get(7)?,
        };
        if row.get::<_, u32>(8)? != change.checksum(id) {
            return Err(damaged());
        }
        Ok(change)
    }
}

/// A value on its way into a column: JSON as text, bytes as a blob.
pub(super) struct Stored<'a>(pub(super) &'a Value);

impl ToSql for Stored<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        let value = match self.0 {
            Value::Json(text) => ValueRef::Text(text.as_str().as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(&bytes.data),
        };
        Ok(rusqlite::types::ToSqlOutput::Borrowed(value))
    }
}

fn read_value(value: ValueRef<'_>, content_type: Option<String>) -> Option<Value> {
    match (value, content_type) {
        (ValueRef::Text(text), None) => Some(Value::Json(str::from_utf8(text).ok()?.into())),
        (ValueRef::Blob(data), Some(content_type)) => {
            Some(Value::bytes(content_type, data.to_vec()))
        }
        (
            ValueRef::Null
            | ValueRef::Integer(_)
            | ValueRef::Real(_)
            | ValueRef::Text(_)
            | ValueRef::Blob(_),
            _,
        ) => None,
    }
}

/// A text, which damage may have left as anything.
fn text<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<Option<&'a str>> {
    Ok(row.get_ref(column)?.as_str_or_null()?)
}

/// A number that is never below 0; its bits, so that no damage is taken for an error of its own.
fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| number as u64)
}

//! A metric as it comes from the bus, and why something is none.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::{Map, Value};

/// The longest name of a service or a metric, in bytes: both are in the index of the table.
const NAME_BYTES: usize = 255;
/// The largest tags, in bytes of JSON.
const TAGS_BYTES: usize = 8 * 1024;
/// How far ahead of the clock a metric may be.
pub(crate) const AHEAD: Duration = Duration::from_secs(86_400);

/// 0001-01-01T00:00:00Z: before it PostgreSQL counts years otherwise.
const OLDEST: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// One measurement.
#[derive(Debug, PartialEq)]
pub(crate) struct Metric<'a> {
    pub(crate) timestamp: Timestamp,
    pub(crate) service: Cow<'a, str>,
    pub(crate) name: Cow<'a, str>,
    /// Finite.
    pub(crate) value: f64,
    /// JSON of an object, with the units among the tags.
    pub(crate) tags: Vec<u8>,
}

/// Which metrics are stored, by their age.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) now: Timestamp,
    /// How long metrics are kept; forever if unset.
    pub(crate) retention: Option<Duration>,
}

/// Why a message is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Not one JSON object.
    NotJson,
    /// A field is missing.
    MissingField,
    /// A field is of another type.
    WrongType,
    /// The value is no finite number.
    NotFinite,
    /// The time is not RFC 3339.
    BadTimestamp,
    /// Service or name cannot be stored.
    BadName,
    /// The tags cannot be stored.
    BadTags,
    /// Older than the retention.
    TooOld,
    /// More than a day ahead of the clock.
    InTheFuture,
}

impl Reason {
    /// Every reason, in the order of the documents.
    pub const ALL: [Self; 9] = [
        Self::NotJson,
        Self::MissingField,
        Self::WrongType,
        Self::NotFinite,
        Self::BadTimestamp,
        Self::BadName,
        Self::BadTags,
        Self::TooOld,
        Self::InTheFuture,
    ];

    /// The word in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::NotFinite => "not_finite",
            Self::BadTimestamp => "bad_timestamp",
            Self::BadName => "bad_name",
            Self::BadTags => "bad_tags",
            Self::TooOld => "too_old",
            Self::InTheFuture => "in_the_future",
        }
    }
}

/// Says that a message is no metric that can be stored.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    detail: String,
}

impl Refusal {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

/// The JSON of a metric; fields that are not named here are skipped.
#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    service: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    /// None where a program wrote `null` for NaN. Not optional.
    #[serde(deserialize_with = "number_or_null")]
    value: Option<f64>,
    #[serde(borrow, default)]
    units: Option<Cow<'a, str>>,
    #[serde(default)]
    tags: Option<Map<String, Value>>,
}

fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(deserializer)
}

impl<'a> Metric<'a> {
    /// Reads the payload of a message.
    pub(crate) fn parse(payload: &'a [u8], window: Window) -> Result<Self, Refusal> {
        // An array of the fields' values would be taken for them.
        if payload.trim_ascii_start().first() != Some(&b'{') {
            return Err(Refusal::new(Reason::NotJson, "expected a JSON object"));
        }
        let payload: Payload<'a> =
            serde_json::from_slice(payload).map_err(|error| refusal(payload, &error))?;
        let value = payload.value.filter(|value| value.is_finite());
        let value =
            value.ok_or_else(|| Refusal::new(Reason::NotFinite, "the value is not a number"))?;
        Ok(Self {
            timestamp: window.timestamp(&payload.timestamp)?,
            service: name("service", payload.service)?,
            name: name("name", payload.name)?,
            value,
            tags: tags(payload.tags.unwrap_or_default(), payload.units)?,
        })
    }
}

impl Window {
    fn timestamp(self, text: &str) -> Result<Timestamp, Refusal> {
        let wrong = |expected: &str| {
            let shown: String = text.chars().take(40).collect();
            Refusal::new(
                Reason::BadTimestamp,
                format!("timestamp {shown:?}: {expected}"),
            )
        };
        let moment: Timestamp = text
            .parse()
            .map_err(|_| wrong("expected RFC 3339, such as 2026-01-15T10:30:00Z"))?;
        if moment < OLDEST {
            return Err(wrong("expected a year from 1 on"));
        }
        let age = self.now.duration_since(moment);
        if self
            .retention
            .is_some_and(|kept| age.as_secs() > kept.as_secs() as i64)
        {
            let detail = format!("timestamp {text} is older than the retention");
            return Err(Refusal::new(Reason::TooOld, detail));
        }
        if -age.as_secs() > AHEAD.as_secs() as i64 {
            let detail = format!("timestamp {text} is more than a day ahead");
            return Err(Refusal::new(Reason::InTheFuture, detail));
        }
        Ok(moment)
    }
}

fn refusal(payload: &[u8], error: &serde_json::Error) -> Refusal {
    let detail = error.to_string();
    let says = |word: &str| {
        let mut windows = payload.windows(word.len());
        windows.any(|window| window == word.as_bytes())
    };
    let reason = match error.classify() {
        Category::Data if detail.starts_with("missing field") => Reason::MissingField,
        Category::Data => Reason::WrongType,
        Category::Syntax if detail.starts_with("number out of range") => Reason::NotFinite,
        // As Python writes them.
        Category::Syntax if says("NaN") || says("Infinity") => Reason::NotFinite,
        Category::Syntax | Category::Eof | Category::Io => Reason::NotJson,
    };
    Refusal::new(reason, detail)
}

fn name<'a>(field: &str, name: Cow<'a, str>) -> Result<Cow<'a, str>, Refusal> {
    let wrong = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_BYTES {
        "is longer than 255 bytes"
    } else if name.contains('\0') {
        "has a NUL, which PostgreSQL does not store"
    } else {
        return Ok(name);
    };
    Err(Refusal::new(Reason::BadName, format!("{field} {wrong}")))
}

/// The tags as JSON, with the units among them.
fn tags(mut tags: Map<String, Value>, units: Option<Cow<'_, str>>) -> Result<Vec<u8>, Refusal> {
    if let Some(units) = units.filter(|units| !units.is_empty()) {
        tags.insert("units".to_owned(), Value::String(units.into_owned()));
    }
    if tags
        .iter()
        .any(|(key, value)| key.contains('\0') || has_nul(value))
    {
        let detail = "tags have a NUL, which PostgreSQL does not store";
        return Err(Refusal::new(Reason::BadTags, detail));
    }
    let json = serde_json::to_vec(&tags).expect("JSON that was read can be written");
    if json.len() > TAGS_BYTES {
        return Err(Refusal::new(Reason::BadTags, "tags are larger than 8KiB"));
    }
    Ok(json)
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(table) => table
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
    }
}

#[cfg(test)]
mod tests;

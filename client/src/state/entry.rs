//! What is told of a key: what it holds, and what became of it.

use std::time::{Duration, SystemTime};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use super::{
    error::ReadError,
    value::{DecodeError, Value, from_base64, nanoseconds, serialize_value},
};
use crate::RequestError;

/// A key and what it holds.
///
/// One of a [`Value`] is written and read by serde in the shape of `docs/protocol.md`, which is also that
/// of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<V = Value> {
    /// The key.
    pub key: String,
    /// What it holds.
    pub value: V,
    /// The sequence of the change that wrote it.
    pub version: u64,
    /// When it was written, by the clock of the service.
    pub timestamp: SystemTime,
    /// How long it stays from when it was read; `None`: until it is deleted.
    pub ttl: Option<Duration>,
}

/// One change of a key. Written by serde in the shape of `docs/protocol.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// What became of it.
    pub event: Event,
    /// The sequence of the change, which is the version of what it wrote.
    pub version: u64,
    /// The version that the key had before; 0: there was no value.
    pub previous: u64,
    /// When, by the clock of the service.
    pub timestamp: SystemTime,
    /// What was written, unless values were not asked for.
    pub value: Option<Value>,
    /// How many changes of the same scope and the same batch follow.
    pub more: u64,
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A value was written.
    Set,
    /// It was deleted.
    Delete,
    /// Its time had passed.
    Expire,
}

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The version that the key has; after a delete, the sequence of the scope.
    pub version: u64,
    /// The version that it had before; 0: there was no value.
    #[serde(default)]
    pub previous: u64,
}

impl Entry {
    /// Reads the value as a type.
    ///
    /// # Errors
    /// [`ReadError::Value`] when it is bytes, or JSON of another shape.
    pub fn decode<T: DeserializeOwned>(self) -> Result<Entry<T>, ReadError> {
        let value = match self.value.decode() {
            Ok(value) => value,
            Err(source) => return Err(invalid(self.key, source)),
        };
        Ok(Entry {
            key: self.key,
            value,
            version: self.version,
            timestamp: self.timestamp,
            ttl: self.ttl,
        })
    }
}

fn invalid(key: String, source: DecodeError) -> ReadError {
    ReadError::Value { key, source }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", &self.key)?;
        serialize_value(&self.value, &mut map)?;
        map.serialize_entry("version", &self.version)?;
        map.serialize_entry("timestamp", &nanoseconds::<S::Error>(self.timestamp)?)?;
        if let Some(ttl) = self.ttl {
            map.serialize_entry("ttl", &ttl.as_secs_f64())?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let told = Told::deserialize(from)?;
        told.into_entry().map_err(D::Error::custom)
    }
}

impl Event {
    /// The event as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Expire => "expire",
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", self.event.as_str())?;
        map.serialize_entry("key", &self.key)?;
        map.serialize_entry("version", &self.version)?;
        map.serialize_entry("previous", &self.previous)?;
        map.serialize_entry("timestamp", &nanoseconds::<S::Error>(self.timestamp)?)?;
        if let Some(value) = &self.value {
            serialize_value(value, &mut map)?;
        }
        if self.more > 0 {
            map.serialize_entry("more", &self.more)?;
        }
        map.end()
    }
}

/// An entry, an event or a version, as it is written in replies.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Told {
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) event: String,
    #[serde(default, deserialize_with = "present")]
    value: Option<Box<RawValue>>,
    #[serde(default)]
    content_type: String,
    base64: Option<String>,
    pub(super) version: u64,
    #[serde(default)]
    previous: u64,
    timestamp: u64,
    ttl: Option<f64>,
    #[serde(default)]
    more: u64,
}

/// Reads a field whose `null` is not its absence.
pub(super) fn present<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

impl Told {
    fn take_value(&mut self) -> Result<Option<Value>, RequestError> {
        match (self.value.take(), self.base64.take()) {
            (Some(json), _) => Ok(Some(json.into())),
            (None, Some(text)) => {
                let data = from_base64(&text).map_err(|error| {
                    RequestError::InvalidReply(format!("the bytes of {}: {error}", self.key))
                })?;
                let content_type = std::mem::take(&mut self.content_type);
                Ok(Some(Value::bytes(content_type, data)))
            }
            (None, None) => Ok(None),
        }
    }

    fn timestamp(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.timestamp)
    }

    /// What a key holds.
    pub(super) fn into_entry(mut self) -> Result<Entry, RequestError> {
        let value = self.take_value()?;
        let Some(value) = value else {
            let missing = format!("{} has no value", self.key);
            return Err(RequestError::InvalidReply(missing));
        };
        Ok(Entry {
            value,
            version: self.version,
            timestamp: self.timestamp(),
            ttl: self
                .ttl
                .and_then(|ttl| Duration::try_from_secs_f64(ttl).ok()),
            key: self.key,
        })
    }

    /// What became of a key; `None` of an event that this version does not know.
    pub(super) fn into_change(mut self) -> Result<Option<Change>, RequestError> {
        let event = match self.event.as_str() {
            "set" => Event::Set,
            "delete" => Event::Delete,
            "expire" => Event::Expire,
            _ => return Ok(None),
        };
        let value = self.take_value()?;
        Ok(Some(Change {
            event,
            value,
            version: self.version,
            previous: self.previous,
            timestamp: self.timestamp(),
            more: self.more,
            key: self.key,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Told {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn null_is_a_value_and_none_is_not() {
        let null = told(r#"{"key":"a","value":null,"version":3,"timestamp":5}"#);
        let entry = null.into_entry().unwrap();
        assert_eq!(entry.value, Value::json(&()).unwrap());
        assert_eq!(
            entry.timestamp,
            SystemTime::UNIX_EPOCH + Duration::from_nanos(5)
        );
        let none = told(r#"{"key":"a","version":3,"timestamp":5}"#);
        assert!(none.into_entry().is_err());
    }

    #[test]
    fn bytes_are_read_of_base64() {
        let told = told(
            r#"{"key":"a","content-type":"x/y","base64":"/wA=","version":3,"timestamp":5,"ttl":1.5}"#,
        );
        let entry = told.into_entry().unwrap();
        assert_eq!(entry.value, Value::bytes("x/y", &b"\xff\x00"[..]));
        assert_eq!(entry.ttl, Some(Duration::from_millis(1500)));
        let written = serde_json::to_string(&entry).unwrap();
        let expected = r#"{"key":"a","content-type":"x/y","base64":"/wA=","version":3,"timestamp":5,"ttl":1.5}"#;
        assert_eq!(written, expected);
        assert_eq!(serde_json::from_str::<Entry>(&written).unwrap(), entry);
        assert_eq!(
            entry.decode::<u8>().unwrap_err().to_string(),
            r#"the value of "a" cannot be read"#
        );
    }

    #[test]
    fn a_change_has_no_value_where_none_was_told() {
        let told = told(r#"{"event":"expire","key":"a","version":9,"previous":3,"timestamp":5}"#);
        let change = told.into_change().unwrap().unwrap();
        assert_eq!(
            (change.event, change.value, change.more),
            (Event::Expire, None, 0)
        );
    }
}

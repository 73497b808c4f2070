//! What is kept under a key: JSON, or bytes with a content type.

use std::{fmt, sync::Arc, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Serialize, Serializer, de::DeserializeOwned, ser::SerializeMap};
use serde_json::value::RawValue;

/// What is kept under a key. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Any JSON, kept as the text that it was written as.
    Json(Json),
    /// Bytes.
    Bytes {
        /// What they are, such as `image/png`.
        content_type: String,
        /// The bytes.
        data: Bytes,
    },
}

/// The text of one JSON value.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

/// Says that a value is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The value is JSON of another shape.
    #[error("the value is another JSON")]
    Shape(#[source] serde_json::Error),
    /// The value is bytes, and JSON was asked for.
    #[error("the value is bytes of the type {content_type}, not JSON")]
    Bytes {
        /// What the bytes are.
        content_type: String,
    },
}

/// Says that something cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("the value cannot be written as JSON")]
pub struct EncodeError(#[from] serde_json::Error);

impl Value {
    /// Creates JSON of whatever serde can write.
    ///
    /// # Errors
    /// [`EncodeError`] when it has no JSON, such as a map whose keys are no texts.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        let text = serde_json::value::to_raw_value(value)?;
        Ok(Self::Json(Json(text.into())))
    }

    /// Creates JSON of its text, which is kept as it is.
    ///
    /// # Errors
    /// [`EncodeError`] when the text is not one JSON value.
    pub fn json_text(text: impl Into<String>) -> Result<Self, EncodeError> {
        let text = RawValue::from_string(text.into())?;
        Ok(Self::Json(Json(text.into())))
    }

    /// Creates a value of bytes.
    pub fn bytes(content_type: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self::Bytes {
            content_type: content_type.into(),
            data: data.into(),
        }
    }

    /// Reads the JSON as a type.
    ///
    /// # Errors
    /// [`DecodeError`] when it is bytes, or JSON of another shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        match self {
            Self::Json(json) => serde_json::from_str(json.as_str()).map_err(DecodeError::Shape),
            Self::Bytes { content_type, .. } => Err(DecodeError::Bytes {
                content_type: content_type.clone(),
            }),
        }
    }
}

impl Json {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    pub(super) fn as_raw(&self) -> &RawValue {
        &self.0
    }
}

impl PartialEq for Json {
    /// Compares the texts, byte by byte.
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Box<RawValue>> for Value {
    fn from(json: Box<RawValue>) -> Self {
        Self::Json(Json(json.into()))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Writes the members of a JSON object that hold a value.
pub(super) fn serialize_value<M: SerializeMap>(value: &Value, map: &mut M) -> Result<(), M::Error> {
    match value {
        Value::Json(json) => map.serialize_entry("value", json),
        Value::Bytes { content_type, data } => {
            map.serialize_entry("content-type", content_type)?;
            map.serialize_entry("base64", &base64(data))
        }
    }
}

/// Writes a moment as Unix time in nanoseconds.
pub(super) fn nanoseconds<E: serde::ser::Error>(moment: SystemTime) -> Result<u64, E> {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).ok();
    let nanoseconds = since.and_then(|since| u64::try_from(since.as_nanos()).ok());
    nanoseconds.ok_or_else(|| E::custom("a time before 1970 or after 2554"))
}

/// Reads bytes as they are written in JSON.
pub(super) fn from_base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    STANDARD.decode(text)
}

/// Bytes as they are written in JSON.
pub(super) fn base64(data: &[u8]) -> String {
    STANDARD.encode(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_as_its_text() {
        let value = Value::json_text(r#"{"b": 1.50,  "a":2}"#).unwrap();
        let Value::Json(json) = &value else {
            panic!("JSON: {value:?}");
        };
        assert_eq!(json.as_str(), r#"{"b": 1.50,  "a":2}"#);
        assert!(Value::json_text("{} {}").is_err());
        assert!(Value::json_text("").is_err());
    }

    #[test]
    fn a_value_is_read_as_a_type() {
        let value = Value::json(&("pump", 7)).unwrap();
        assert_eq!(value.decode::<(String, u8)>().unwrap(), ("pump".into(), 7));
        assert!(matches!(value.decode::<bool>(), Err(DecodeError::Shape(_))));
        let picture = Value::bytes("image/png", &b"\x89PNG"[..]);
        let Err(DecodeError::Bytes { content_type }) = picture.decode::<bool>() else {
            panic!("bytes are no JSON");
        };
        assert_eq!(content_type, "image/png");
    }
}

//! What is kept under a key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// A value: JSON as the text that it came in as, or bytes with a content type. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// The text of any JSON.
    Json(Bytes),
    /// Bytes.
    Bytes {
        /// What they are, such as `image/png`.
        content_type: String,
        /// The bytes.
        data: Bytes,
    },
}

impl Value {
    /// How many bytes are kept.
    pub(crate) fn len(&self) -> usize {
        self.data().len()
    }

    /// What is kept: the text of JSON, or the bytes.
    pub(crate) fn data(&self) -> &[u8] {
        match self {
            Self::Json(text) => text,
            Self::Bytes { data, .. } => data,
        }
    }

    /// What bytes are; JSON has none.
    pub(crate) fn content_type(&self) -> Option<&str> {
        match self {
            Self::Json(_) => None,
            Self::Bytes { content_type, .. } => Some(content_type),
        }
    }

    /// Writes the members of a JSON object that hold the value.
    pub(crate) fn write_members(&self, out: &mut Vec<u8>) {
        match self {
            Self::Json(text) => {
                out.extend_from_slice(b"\"value\":");
                out.extend_from_slice(text);
            }
            Self::Bytes { content_type, data } => {
                out.extend_from_slice(b"\"content-type\":");
                crate::reply::write_text(out, content_type);
                out.extend_from_slice(b",\"base64\":\"");
                out.extend_from_slice(STANDARD.encode(data).as_bytes());
                out.push(b'"');
            }
        }
    }

    /// The bytes that a text in base64 stands for.
    pub(crate) fn decode(text: &str) -> Result<Bytes, base64::DecodeError> {
        STANDARD.decode(text).map(Bytes::from)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(text) => write!(f, "Json({})", String::from_utf8_lossy(text)),
            Self::Bytes { content_type, data } => {
                write!(f, "Bytes({content_type}, {} bytes)", data.len())
            }
        }
    }
}

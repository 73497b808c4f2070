//! What is kept under a key.

use std::fmt;
use std::sync::Arc;

use arrayvec::ArrayString;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest text that lies in place.
const SHORT_BYTES: usize = 72;

/// A value: JSON as the text that it came in as, or bytes with a content type. Clones are cheap.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// The text of any JSON.
    Json(Text),
    /// Bytes, shared by the clones.
    Bytes(Arc<Typed>),
}

/// The text of JSON: a short one in place, a longer one shared by the clones.
///
/// A value is made by one thread, and let go of by others. What lies in place costs none of them an
/// allocation, nor a lock for one that another thread has made.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Text(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Short(ArrayString<SHORT_BYTES>),
    Long(Arc<str>),
}

/// Bytes, and what they are.
#[derive(PartialEq, Eq)]
pub(crate) struct Typed {
    /// What they are, such as `image/png`.
    pub(crate) content_type: String,
    /// The bytes.
    pub(crate) data: Vec<u8>,
}

impl Value {
    /// Bytes that are of this type.
    pub(crate) fn bytes(content_type: String, data: Vec<u8>) -> Self {
        Self::Bytes(Arc::new(Typed { content_type, data }))
    }

    /// How many bytes are kept.
    pub(crate) fn len(&self) -> usize {
        self.data().len()
    }

    /// What is kept: the text of JSON, or the bytes.
    pub(crate) fn data(&self) -> &[u8] {
        match self {
            Self::Json(text) => text.as_str().as_bytes(),
            Self::Bytes(bytes) => &bytes.data,
        }
    }

    /// What bytes are; JSON has none.
    pub(crate) fn content_type(&self) -> Option<&str> {
        match self {
            Self::Json(_) => None,
            Self::Bytes(bytes) => Some(&bytes.content_type),
        }
    }

    /// Writes the members of a JSON object that hold the value.
    pub(crate) fn write_members(&self, out: &mut Vec<u8>) {
        match self {
            Self::Json(text) => {
                out.extend_from_slice(b"\"value\":");
                out.extend_from_slice(text.as_str().as_bytes());
            }
            Self::Bytes(bytes) => {
                out.extend_from_slice(b"\"content-type\":");
                crate::reply::write_text(out, &bytes.content_type);
                out.extend_from_slice(b",\"base64\":\"");
                out.extend_from_slice(STANDARD.encode(&bytes.data).as_bytes());
                out.push(b'"');
            }
        }
    }

    /// The bytes that a text in base64 stands for.
    pub(crate) fn decode(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(text)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(text) => write!(f, "Json({})", text.as_str()),
            Self::Bytes(bytes) => {
                let Typed { content_type, data } = bytes.as_ref();
                write!(f, "Bytes({content_type}, {} bytes)", data.len())
            }
        }
    }
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            Form::Short(text) => text,
            Form::Long(text) => text,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(match ArrayString::from(text) {
            Ok(short) => Form::Short(short),
            Err(_) => Form::Long(text.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_wherever_it_lies() {
        for length in [0, 1, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 1, 1_000] {
            let text = "1".repeat(length);
            let kept = Text::from(text.as_str());
            assert_eq!(kept.as_str(), text);
            assert!(kept == kept.clone());
            assert!(kept != Text::from(format!("{text}1").as_str()));
        }
    }

    #[test]
    fn a_value_takes_no_more_room_than_its_short_text() {
        assert_eq!(size_of::<Value>(), SHORT_BYTES + 8);
    }
}

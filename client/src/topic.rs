//! What a publication is about, and what is subscribed to.

use std::{fmt, str::FromStr};

use bytes::Bytes;

/// The first frame of a publication, or the beginning of one that is subscribed to: bytes, by
/// convention words with dots such as `org.plantd.metric.host.load`.
///
/// The empty topic is the beginning of every other. `Display` escapes what is not printable ASCII.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Bytes);

/// Says that a topic is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a topic has {0} bytes; at most 1000 are allowed")]
pub struct InvalidTopic(pub usize);

impl Topic {
    /// The longest topic, in bytes. What other libraries publish can begin with a longer frame, which
    /// [`Publication::topic`](crate::Publication::topic) then is.
    pub const MAX_BYTES: usize = 1000;

    /// Copies a topic.
    ///
    /// # Errors
    /// If it is longer than [`Topic::MAX_BYTES`].
    pub fn new(topic: impl AsRef<[u8]>) -> Result<Self, InvalidTopic> {
        let topic = topic.as_ref();
        if topic.len() > Self::MAX_BYTES {
            return Err(InvalidTopic(topic.len()));
        }
        Ok(Self(Bytes::copy_from_slice(topic)))
    }

    /// A topic that came from a publisher, of any length.
    pub(crate) fn received(topic: Bytes) -> Self {
        Self(topic)
    }

    /// The same topic with bytes of its own.
    pub(crate) fn to_held(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The topic as it is on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The topic as text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }
}

impl AsRef<[u8]> for Topic {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Topic {
    type Error = InvalidTopic;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

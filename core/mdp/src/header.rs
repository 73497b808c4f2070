//! The header frame of MDP/0.3: an id and properties.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use plantd_zmtp::Message;

/// The header of an MDP/0.3 command: who a request is, and what is said of it.
///
/// On the wire an 8-byte id (big endian), then [`Properties`]. Older dialects have none; there the
/// id is 0 and the properties are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// The request's id; 0 where a command is about no request.
    pub id: u64,
    /// What is said of it.
    pub properties: Properties,
}

/// Says why a frame is not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// The frame has fewer than the 8 bytes of an id.
    #[error("a header has {0} bytes; its id alone has 8")]
    NoId(usize),
    /// The frame is larger than 4 KiB.
    #[error("a header has {0} bytes; at most 4096 are allowed")]
    TooLarge(usize),
    /// There are more than 32 properties.
    #[error("a header has more than 32 properties")]
    TooMany,
    /// A length reaches over the end of the frame.
    #[error("a property reaches over the end of its header")]
    Truncated,
    /// A name is empty or has a byte outside `[a-z0-9.-]` after an optional `+`.
    #[error("a property's name is not of [a-z0-9.-]")]
    Name,
    /// A value is not UTF-8.
    #[error("a property's value is not UTF-8")]
    Value,
    /// A name stands twice.
    #[error("a property stands twice")]
    Duplicate,
}

impl Header {
    /// The largest header, in bytes.
    pub const MAX_BYTES: usize = 4096;

    /// Creates a header without properties.
    pub fn new(id: u64) -> Self {
        Self {
            id,
            properties: Properties::default(),
        }
    }

    /// Reads a header from its frame, sharing the bytes.
    ///
    /// # Errors
    /// The first thing that is wrong with it. The id can still be read with [`Header::id_of`].
    pub fn parse(frame: &Bytes) -> Result<Self, InvalidHeader> {
        let id = Self::id_of(frame).ok_or(InvalidHeader::NoId(frame.len()))?;
        if frame.len() > Self::MAX_BYTES {
            return Err(InvalidHeader::TooLarge(frame.len()));
        }
        let properties = if frame.len() == 8 {
            Properties::default()
        } else {
            Properties::parse(frame.slice(8..))?
        };
        Ok(Self { id, properties })
    }

    /// Reads a header from a frame of a message; an id alone shares nothing.
    pub(crate) fn read(message: &Message, frame: &[u8]) -> Result<Self, InvalidHeader> {
        match frame.try_into() {
            Ok(id) => Ok(Self::new(u64::from_be_bytes(id))),
            Err(_) => Self::parse(&message.share(frame)),
        }
    }

    /// Reads just the id from a header's frame.
    pub fn id_of(frame: &[u8]) -> Option<u64> {
        frame.first_chunk().map(|id| u64::from_be_bytes(*id))
    }

    /// The size of the frame, in bytes.
    pub fn encoded_bytes(&self) -> usize {
        8 + self.properties.0.len()
    }

    /// Says whether the header is within the limits that [`Header::parse`] checks.
    pub(crate) fn fits(&self) -> bool {
        self.encoded_bytes() <= Self::MAX_BYTES
            && self.properties.iter().count() <= Properties::MAX_COUNT
    }

    /// Appends the header's frame as ZMTP encodes it.
    pub(crate) fn encode(&self, out: &mut impl BufMut, more: bool) {
        let id = self.id.to_be_bytes();
        if self.properties.is_empty() {
            Message::encode_frame(out, &id, more);
        } else {
            Message::encode_frame(out, &[&id, &self.properties.0[..]].concat(), more);
        }
    }
}

/// Named values of a [`Header`], in the encoding of ZMTP metadata (RFC 37).
///
/// Each is a 1-byte length and a name of `[a-z0-9.-]` (with a `+` before it when it must be
/// understood), then a 4-byte length (big endian) and a UTF-8 value. Names are compared exactly and
/// stand at most once; at most 32 stand in a header. Cloning is cheap.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(Bytes);

impl Properties {
    /// The most properties of one header.
    pub const MAX_COUNT: usize = 32;

    /// Checks an encoding and shares its bytes.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(encoded: Bytes) -> Result<Self, InvalidHeader> {
        let mut names: [&[u8]; Self::MAX_COUNT] = [&[]; _];
        let mut count = 0;
        let mut rest = &encoded[..];
        while !rest.is_empty() {
            let (name, value, tail) = split_property(rest).ok_or(InvalidHeader::Truncated)?;
            if !is_name(name) {
                return Err(InvalidHeader::Name);
            }
            if str::from_utf8(value).is_err() {
                return Err(InvalidHeader::Value);
            }
            if names[..count].contains(&name) {
                return Err(InvalidHeader::Duplicate);
            }
            if count == Self::MAX_COUNT {
                return Err(InvalidHeader::TooMany);
            }
            names[count] = name;
            count += 1;
            rest = tail;
        }
        Ok(Self(encoded))
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over names and values, in their order on the wire.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (name, value, tail) = split_property(rest)?;
            rest = tail;
            let text = |bytes| str::from_utf8(bytes).expect("checked when parsed");
            Some((text(name), text(value)))
        })
    }

    /// Returns the value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Returns the value of a name as a number: ASCII digits without a sign.
    ///
    /// # Errors
    /// [`InvalidNumber`] with the value when it is not one.
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, InvalidNumber> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse() {
            Ok(number) if digits => Ok(Some(number)),
            Ok(_) | Err(_) => Err(InvalidNumber {
                name,
                value: value.to_owned(),
            }),
        }
    }

    /// The encoding, as [`Properties::parse`] takes it.
    pub fn encoded(&self) -> &[u8] {
        &self.0
    }

    /// Says whether the value of a name is `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// Returns these properties with one more; one of the same name is replaced.
    ///
    /// # Panics
    /// If the name is not `[a-z0-9.-]` of 1 to 255 bytes.
    #[must_use]
    pub fn with(&self, name: &str, value: impl fmt::Display) -> Self {
        assert!(
            is_name(name.as_bytes()),
            "{name:?} is not a property's name"
        );
        let mut encoded = self.encode_where(|known| known != name);
        put_property(&mut encoded, name, &value.to_string());
        Self(encoded.freeze())
    }

    /// Returns these properties with one more, or as they are where a header has no room for it.
    #[must_use]
    pub(crate) fn with_if_room(&self, name: &str, value: impl fmt::Display) -> Self {
        let properties = self.with(name, value);
        let header = Header { id: 0, properties };
        if header.fits() {
            header.properties
        } else {
            self.clone()
        }
    }

    /// Returns the properties whose names are kept by the predicate; cheap when all are.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        Self(self.encode_where(keep).freeze())
    }

    fn encode_where(&self, keep: impl Fn(&str) -> bool) -> BytesMut {
        let mut encoded = BytesMut::new();
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            put_property(&mut encoded, name, value);
        }
        encoded
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Says that a property that should be a number is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the property {name} is {value:?}; decimal digits are expected")]
pub struct InvalidNumber {
    name: &'static str,
    value: String,
}

/// Splits the first property off: its name, its value, and what follows.
fn split_property(encoded: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&name_bytes, rest) = encoded.split_first()?;
    let (name, rest) = rest.split_at_checked(name_bytes.into())?;
    let (value_bytes, rest) = rest.split_first_chunk()?;
    let value_bytes = usize::try_from(u32::from_be_bytes(*value_bytes)).ok()?;
    let (value, rest) = rest.split_at_checked(value_bytes)?;
    Some((name, value, rest))
}

fn put_property(encoded: &mut BytesMut, name: &str, value: &str) {
    encoded.put_u8(u8::try_from(name.len()).expect("a name has at most 255 bytes"));
    encoded.put_slice(name.as_bytes());
    encoded.put_u32(u32::try_from(value.len()).expect("a value fits a header"));
    encoded.put_slice(value.as_bytes());
}

fn is_name(name: &[u8]) -> bool {
    let word = name.strip_prefix(b"+").unwrap_or(name);
    !word.is_empty()
        && word
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
}

#[cfg(test)]
mod tests;

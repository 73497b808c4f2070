//! What is published: how it is written, and read from whatever publisher.
//!
//! Three forms are read. Which one a message has is decided by its bytes alone
//! (`docs/protocol.md`, "Publications"):
//!
//! - `[topic, header, body+]`, where the second frame is a header in every particular;
//! - one frame that is a topic and then JSON, as the Go plantd publishes;
//! - `[topic, body*]`, anything else.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::{BufMut, Bytes, BytesMut};
use plantd_mdp::Properties;
use plantd_zmtp::{Message, encoded_frame_bytes};
use serde::de::IgnoredAny;

use crate::{Body, Topic};

/// What was published, as a [`Sink`](crate::Sink) gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// What it is about.
    pub topic: Topic,
    /// Who published it, when, and as which of the topic; of a [`Source`](crate::Source), or of
    /// whoever writes the same header. Other publishers write none.
    pub header: Option<PublicationHeader>,
    /// What was published; of no frames where a plain publisher sent a topic alone.
    pub body: Body,
}

/// Who published something, when, and as which of its topic.
///
/// On the wire 16 bytes of source, 8 of sequence, 8 of nanoseconds since 1970 (both big endian), then
/// properties in the encoding of MDP/0.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicationHeader {
    /// Who published it.
    pub source: SourceId,
    /// Counts what this source published on this topic, from 1.
    pub sequence: u64,
    /// When it was published, by the clock of its source.
    pub time: SystemTime,
    /// What else is said of it, such as `content-type` and `traceparent`.
    pub properties: Properties,
}

/// Names one life of a source: a random UUID (RFC 9562, version 4), new with each start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId([u8; 16]);

/// Source and sequence.
const NUMBERS_BYTES: usize = 24;
/// Source, sequence and time.
const FIXED_BYTES: usize = NUMBERS_BYTES + 8;
const MAX_HEADER_BYTES: usize = 4096;
/// 2000 and 2200, in seconds since 1970.
const CREDIBLE_SECONDS: std::ops::Range<u64> = 946_684_800..7_258_118_400;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl SourceId {
    /// The 16 bytes of the UUID.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Makes a UUID of bits that ought to be random.
    pub(crate) fn from_random(bits: u128) -> Self {
        let mut id = bits.to_be_bytes();
        id[6] = id[6] & 0x0F | 0x40;
        id[8] = id[8] & 0x3F | 0x80;
        Self(id)
    }

    fn parse(bytes: [u8; 16]) -> Option<Self> {
        (bytes[6] >> 4 == 4 && bytes[8] >> 6 == 0b10).then_some(Self(bytes))
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PublicationHeader {
    /// The highest sequence: 2^48 - 1.
    pub const MAX_SEQUENCE: u64 = (1 << 48) - 1;

    /// Reads a header; `None` unless the frame is one in every particular.
    pub fn parse(frame: &Bytes) -> Option<Self> {
        if !(FIXED_BYTES..=MAX_HEADER_BYTES).contains(&frame.len()) {
            return None;
        }
        let (source, rest) = frame.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (time, _) = rest.split_first_chunk()?;
        let source = SourceId::parse(*source)?;
        let sequence = u64::from_be_bytes(*sequence);
        let nanos = u64::from_be_bytes(*time);
        if !(1..=Self::MAX_SEQUENCE).contains(&sequence)
            || !CREDIBLE_SECONDS.contains(&(nanos / NANOS_PER_SECOND))
        {
            return None;
        }
        let properties = match frame.len() {
            FIXED_BYTES => Properties::default(),
            _ => Properties::parse(frame.slice(FIXED_BYTES..)).ok()?,
        };
        Some(Self {
            source,
            sequence,
            time: SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos),
            properties,
        })
    }
}

/// A time on the wire; one before 2000 or after 2200, which no reader would take for a time, is moved
/// to the nearer of these.
fn nanos_of(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos().try_into().unwrap_or(u64::MAX));
    nanos.clamp(
        CREDIBLE_SECONDS.start * NANOS_PER_SECOND,
        CREDIBLE_SECONDS.end * NANOS_PER_SECOND - 1,
    )
}

impl Publication {
    /// Reads any message of a publisher.
    pub(crate) fn read(message: &Message) -> Self {
        let mut frames = message.frames();
        let first = frames.next().unwrap_or_default();
        if message.frame_count() == 1
            && let Some(end) = end_of_topic(first)
        {
            let (topic, json) = first.split_at(end);
            return Self {
                topic: Topic::received(message.share(topic.trim_ascii_end())),
                header: None,
                body: message.share(json).into(),
            };
        }
        let topic = Topic::received(message.share(first));
        if message.frame_count() >= 3
            && first.len() <= Topic::MAX_BYTES
            && let Some(second) = frames.next()
            && (FIXED_BYTES..=MAX_HEADER_BYTES).contains(&second.len())
            && let Some(header) = PublicationHeader::parse(&message.share(second))
        {
            return Self {
                topic,
                header: Some(header),
                body: message.skip_frames(2).into(),
            };
        }
        Self {
            topic,
            header: None,
            body: message.skip_frames(1).into(),
        }
    }

    /// Appends topic and header as ZMTP encodes them, and makes room for a body of so many bytes, which
    /// has to follow. The header has yet to be given its numbers, by [`Publication::number`].
    pub(crate) fn encode_envelope(
        topic: &Topic,
        properties: &Properties,
        time: SystemTime,
        body_bytes: usize,
        out: &mut BytesMut,
    ) {
        let properties = properties.encoded();
        let header_bytes = FIXED_BYTES + properties.len();
        let topic_bytes = encoded_frame_bytes(topic.as_bytes().len());
        out.reserve(topic_bytes + encoded_frame_bytes(header_bytes) + body_bytes);
        Message::encode_frame(out, topic.as_bytes(), true);
        Message::encode_frame_header(out, header_bytes, true);
        out.put_bytes(0, NUMBERS_BYTES);
        out.put_u64(nanos_of(time));
        out.put_slice(properties);
    }

    /// Where in an envelope the numbers stand.
    pub(crate) fn numbers_at(topic: &Topic, properties: &Properties) -> usize {
        let header_bytes = FIXED_BYTES + properties.encoded().len();
        let header_at = encoded_frame_bytes(topic.as_bytes().len());
        header_at + encoded_frame_bytes(header_bytes) - header_bytes
    }

    /// Writes who published it, and as which of its topic, where [`Publication::numbers_at`] says.
    pub(crate) fn number(numbers: &mut [u8], source: SourceId, sequence: u64) {
        let (id, rest) = numbers.split_at_mut(source.0.len());
        id.copy_from_slice(&source.0);
        rest[..8].copy_from_slice(&sequence.to_be_bytes());
    }
}

/// Where the JSON begins in a frame of the Go plantd: a topic of printable ASCII, then one object or
/// array up to the end.
fn end_of_topic(frame: &[u8]) -> Option<usize> {
    let end = frame
        .iter()
        .take(Topic::MAX_BYTES + 1)
        .position(|byte| matches!(byte, b'{' | b'['))?;
    let topic = &frame[..end];
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~');
    let is_topic = !topic.trim_ascii_end().is_empty() && topic.iter().all(is_text);
    let is_json = || serde_json::from_slice::<IgnoredAny>(&frame[end..]).is_ok();
    (is_topic && is_json()).then_some(end)
}

#[cfg(test)]
mod tests;

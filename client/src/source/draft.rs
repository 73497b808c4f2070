//! Publications on their way to the task of a source: encoded as they go over the wire, but for their
//! numbers.
//!
//! Who publishes encodes. So the task, which all handles share, has but to number what comes.

use std::{iter, time::SystemTime};

use bytes::BytesMut;
use plantd_zmtp::{Message, Run, encoded_frame_bytes};

use super::{
    heading::Heading,
    kept::{Published, Wire},
};
use crate::{Publication, SourceId, Topic};

/// A body of more bytes stays where it is; others are copied next to their envelopes.
const COPIED_BODY_BYTES: usize = 4096;
/// What has so many bytes is not made longer: it is sent, and let go of, as a whole.
const RUN_BYTES: usize = 64 * 1024;
/// What a publication takes beside its topic, its properties and its body.
const OVERHEAD_BYTES: usize = 128;

/// Publications under one heading in a row: one after the other as they are encoded, or where they are
/// not wanted how many they are.
#[derive(Debug)]
pub(super) struct Draft {
    heading: Heading,
    is_wanted: bool,
    count: u64,
    /// What they take of the buffer's limit.
    bytes: usize,
    encoded: BytesMut,
    /// Where in each message its numbers are to stand.
    numbers_at: usize,
    /// Where the messages after the first begin.
    later: Vec<usize>,
    /// What belongs after the envelope of the only one, where it was not copied.
    body: Message,
}

impl Draft {
    /// No publications yet. Those that are wanted are encoded into a buffer, which is empty.
    pub(super) fn new(heading: Heading, is_wanted: bool, buffer: BytesMut) -> Self {
        Self {
            is_wanted,
            count: 0,
            bytes: 0,
            encoded: buffer,
            numbers_at: Publication::numbers_at(heading.topic(), heading.properties()),
            later: Vec::new(),
            body: Message::EMPTY,
            heading,
        }
    }

    /// What a publication takes of the buffer's limit. Of a body that is copied only its own bytes are
    /// kept.
    pub(super) fn bytes_of(heading: &Heading, body: &Message) -> usize {
        let body_bytes = match Self::copies(body) {
            true => body.encoded().len(),
            false => body.held_bytes(),
        };
        Self::bytes_with(heading, body_bytes)
    }

    /// What a publication with a body of so many bytes takes of the buffer's limit.
    pub(super) fn bytes_with(heading: &Heading, body_bytes: usize) -> usize {
        let topic_bytes = heading.topic().as_bytes().len();
        OVERHEAD_BYTES + topic_bytes + heading.properties().encoded().len() + body_bytes
    }

    /// Whether a body is copied next to its envelope.
    pub(super) fn copies(body: &Message) -> bool {
        body.encoded().len() <= COPIED_BODY_BYTES
    }

    pub(super) fn topic(&self) -> &Topic {
        self.heading.topic()
    }

    /// How many publications there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether they are under this heading; if so, whether they are wanted.
    pub(super) fn is_wanted_under(&self, heading: &Heading) -> Option<bool> {
        (self.heading == *heading).then_some(self.is_wanted)
    }

    /// Whether they can be more.
    pub(super) fn is_open(&self) -> bool {
        self.body.is_empty() && self.encoded.len() < RUN_BYTES
    }

    /// Counts a publication that is not wanted.
    pub(super) fn skip(&mut self) {
        self.count += 1;
    }

    /// Adds a publication, which takes so many bytes of the buffer's limit. One whose body is not copied
    /// stays the only one.
    pub(super) fn push(&mut self, time: SystemTime, body: Message, bytes: usize) {
        if body.is_empty() {
            self.push_frame(time, &[], bytes);
        } else if Self::copies(&body) {
            self.begin(time, body.encoded().len(), bytes);
            self.encoded.extend_from_slice(body.encoded());
        } else {
            self.begin(time, 0, bytes);
            self.body = body;
        }
    }

    /// Adds a publication of one frame, which takes so many bytes of the buffer's limit.
    pub(super) fn push_frame(&mut self, time: SystemTime, frame: &[u8], bytes: usize) {
        self.begin(time, encoded_frame_bytes(frame.len()), bytes);
        Message::encode_frame(&mut self.encoded, frame, false);
    }

    /// Begins a publication with its envelope, after which there is room for the body.
    fn begin(&mut self, time: SystemTime, body_bytes: usize, bytes: usize) {
        if self.count > 0 {
            self.later.push(self.encoded.len());
        }
        self.count += 1;
        self.bytes += bytes;
        let (topic, properties) = (self.heading.topic(), self.heading.properties());
        Publication::encode_envelope(topic, properties, time, body_bytes, &mut self.encoded);
    }

    /// Takes what is left of the buffer.
    pub(super) fn take_buffer(&mut self) -> BytesMut {
        self.encoded.split_off(self.encoded.len())
    }

    /// Gives the publications their numbers, beginning with the first one's; `None` if they are not
    /// wanted.
    pub(super) fn number(mut self, source: SourceId, first: u64) -> Option<Published> {
        if !self.is_wanted {
            return None;
        }
        for (start, sequence) in iter::once(0).chain(self.later).zip(first..) {
            let numbers = &mut self.encoded[start + self.numbers_at..];
            Publication::number(numbers, source, sequence);
        }
        let encoded = self.encoded.freeze();
        let wire = if self.body.is_empty() {
            Wire::Run(Run::from_encoded(encoded).expect("whole messages were encoded"))
        } else {
            Wire::Large {
                envelope: encoded,
                body: self.body,
            }
        };
        Some(Published {
            topic: self.heading.into_topic(),
            count: self.count,
            bytes: self.bytes,
            wire,
        })
    }
}

#[cfg(test)]
mod tests;

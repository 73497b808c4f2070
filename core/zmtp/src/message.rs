//! A ZMTP message as its encoded frames.

mod kept;

use std::fmt;

use bytes::{BufMut, Bytes};

pub use kept::Kept;

use crate::frame::{self, FrameHeader, LONG_HEADER_BYTES, SHORT_HEADER_BYTES};

/// How many bytes of a frame [`Message`]'s `Debug` shows.
const SHOWN_BYTES: usize = 48;
/// How many frames [`Message`]'s `Debug` shows.
const SHOWN_FRAMES: usize = 16;
/// A message that is less than one part in this many of its buffer is copied out to be kept.
const HELD_FRACTION: usize = 4;

/// A ZMTP message: its message frames, encoded as they are on the wire (RFC 37, "Framing").
///
/// Received messages are slices of the buffer that they were read into, and their frames are
/// found by walking the encoding, so that neither receiving, nor looking at frames, nor cloning
/// allocates. [`Kept`] and [`Message::into_held`] are for whoever keeps one for longer than a turn.
///
/// The default is a message of no frames, which cannot be sent and stands for "no body".
/// Two messages are equal if their encodings are.
#[derive(Clone, Default)]
pub struct Message {
    encoded: Bytes,
    frame_count: u32,
    pinned_bytes: u32,
}

impl Message {
    /// A message of no frames.
    pub const EMPTY: Self = Self {
        encoded: Bytes::new(),
        frame_count: 0,
        pinned_bytes: 0,
    };

    /// Encodes frames into a buffer of the message's own.
    ///
    /// # Panics
    /// If there are more than `u32::MAX` frames.
    pub fn from_frames<I>(frames: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let frames = frames.into_iter();
        let mut encoded = Vec::with_capacity(32 * frames.size_hint().0.clamp(1, 64));
        let mut frame_count = 0;
        let mut last_header = 0;
        for frame in frames {
            last_header = encoded.len();
            Self::encode_frame(&mut encoded, frame.as_ref(), true);
            frame_count += 1;
        }
        if frame_count == 0 {
            return Self::default();
        }
        encoded[last_header] &= !frame::MORE;
        Self::owned(encoded, frame_count)
    }

    /// Encodes one frame into a buffer of exactly its size.
    pub fn from_frame(frame: &[u8]) -> Self {
        let mut encoded = Vec::with_capacity(encoded_frame_bytes(frame.len()));
        Self::encode_frame(&mut encoded, frame, false);
        Self::owned(encoded, 1)
    }

    /// A message of what a decoder has checked: `frame_count` message frames, all but the last
    /// with MORE, in a buffer of `pinned_bytes`.
    pub(crate) fn from_wire(encoded: Bytes, frame_count: u32, pinned_bytes: usize) -> Self {
        Self {
            encoded,
            frame_count,
            pinned_bytes: u32::try_from(pinned_bytes).unwrap_or(u32::MAX),
        }
    }

    fn owned(encoded: Vec<u8>, frame_count: usize) -> Self {
        let frame_count = u32::try_from(frame_count).expect("fewer than 2^32 frames");
        let pinned_bytes = encoded.capacity();
        Self::from_wire(encoded.into(), frame_count, pinned_bytes)
    }

    /// Walks the contents of the frames, first to last.
    pub fn frames(&self) -> Frames<'_> {
        Frames {
            rest: &self.encoded,
            remaining: self.frame_count,
        }
    }

    /// The number of frames.
    pub fn frame_count(&self) -> usize {
        self.frame_count as usize
    }

    /// Whether there are no frames at all; one empty frame is not an empty message.
    pub fn is_empty(&self) -> bool {
        self.frame_count == 0
    }

    /// The frames as they are on the wire, headers included.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The message that is left after the first `n` frames, sharing this one's bytes; empty if
    /// there are no more than `n`.
    #[must_use]
    pub fn skip_frames(&self, n: usize) -> Self {
        if n >= self.frame_count() {
            return Self::default();
        }
        Self {
            encoded: self.encoded.slice(self.offset_of(n)..),
            frame_count: self.frame_count - n as u32,
            pinned_bytes: self.pinned_bytes,
        }
    }

    /// The message that a walk over this one has not come to, sharing its bytes. A walk over another
    /// message gives nothing of use, and may panic.
    #[must_use]
    pub fn rest(&self, walk: &Frames<'_>) -> Self {
        if walk.remaining == 0 {
            return Self::EMPTY;
        }
        Self {
            encoded: self.encoded.slice(self.encoded.len() - walk.rest.len()..),
            frame_count: walk.remaining,
            pinned_bytes: self.pinned_bytes,
        }
    }

    /// A part of this message's own bytes, shared.
    ///
    /// # Panics
    /// If `part` is not of this message.
    pub fn share(&self, part: &[u8]) -> Bytes {
        self.encoded.slice_ref(part)
    }

    /// The content of one frame, sharing this message's bytes.
    pub fn frame_bytes(&self, index: usize) -> Option<Bytes> {
        if index >= self.frame_count() {
            return None;
        }
        let start = self.offset_of(index);
        let header = trusted_header(&self.encoded[start..]);
        let content = start + header.header_bytes;
        Some(self.encoded.slice(content..content + header.content_len()))
    }

    /// The bytes of all frames' contents, without their headers.
    pub fn body_bytes(&self) -> usize {
        self.frames().map(<[u8]>::len).sum()
    }

    /// The bytes of memory that this message keeps alive: all of the buffer it is a slice of.
    pub fn held_bytes(&self) -> usize {
        self.encoded.len().max(self.pinned_bytes as usize)
    }

    /// The same message for keeping: copied into a buffer of its own if it is less than a quarter
    /// of the one that it is a slice of.
    #[must_use]
    pub fn into_held(self) -> Self {
        if self.encoded.len() * HELD_FRACTION >= self.held_bytes() {
            return self;
        }
        Self::owned(self.encoded.to_vec(), self.frame_count())
    }

    /// All frames of all parts as one message, in a buffer of its own.
    ///
    /// # Panics
    /// If the parts have more than `u32::MAX` frames together.
    pub fn concat<'a>(parts: impl IntoIterator<Item = &'a Message>) -> Self {
        let mut encoded = Vec::new();
        let mut frame_count = 0;
        let mut last_header = 0;
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            if frame_count > 0 {
                encoded[last_header] |= frame::MORE;
            }
            last_header = encoded.len() + part.offset_of(part.frame_count() - 1);
            frame_count += part.frame_count();
            encoded.extend_from_slice(&part.encoded);
        }
        Self::owned(encoded, frame_count)
    }

    /// Appends one frame's encoding: header, then content. `more` says that another frame of the
    /// same message follows.
    pub fn encode_frame(out: &mut impl BufMut, frame: &[u8], more: bool) {
        Self::encode_frame_header(out, frame.len(), more);
        out.put_slice(frame);
    }

    /// Appends the header of a frame whose content, of so many bytes, is appended next.
    pub fn encode_frame_header(out: &mut impl BufMut, content_bytes: usize, more: bool) {
        let flags = if more { frame::MORE } else { 0 };
        frame::put_header(out, flags, content_bytes);
    }

    /// Where the header of frame `index` begins; `index` is at most the number of frames.
    fn offset_of(&self, index: usize) -> usize {
        let mut offset = 0;
        for _ in 0..index {
            let header = trusted_header(&self.encoded[offset..]);
            offset += header.header_bytes + header.content_len();
        }
        offset
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.frames().take(SHOWN_FRAMES).map(ShownFrame));
        if self.frame_count() > SHOWN_FRAMES {
            let hidden = self.frame_count() - SHOWN_FRAMES;
            list.entry(&format_args!("and {hidden} frames"));
        }
        list.finish()
    }
}

struct ShownFrame<'a>(&'a [u8]);

impl fmt::Debug for ShownFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN_BYTES)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if shown.len() < self.0.len() {
            write!(f, "…({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

/// The contents of a message's frames, first to last. See [`Message::frames`].
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
    remaining: u32,
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.remaining = self.remaining.checked_sub(1)?;
        let header = trusted_header(self.rest);
        let (content, rest) = self.rest[header.header_bytes..].split_at(header.content_len());
        self.rest = rest;
        Some(content)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining as usize, Some(self.remaining as usize))
    }
}

impl ExactSizeIterator for Frames<'_> {}

/// The header at the start of bytes that a decoder or encoder of ours has vouched for.
#[inline]
fn trusted_header(encoded: &[u8]) -> FrameHeader {
    FrameHeader::parse(encoded).expect("a message holds whole frames")
}

/// The bytes that a frame of `content_bytes` takes when it is encoded.
pub const fn encoded_frame_bytes(content_bytes: usize) -> usize {
    if content_bytes <= u8::MAX as usize {
        SHORT_HEADER_BYTES + content_bytes
    } else {
        LONG_HEADER_BYTES + content_bytes
    }
}

#[cfg(test)]
mod tests;

//! What is on its way to one peer.

use std::mem;

use bytes::{Bytes, BytesMut};

use crate::{Message, Run};

/// Bodies below this are copied next to their envelope; others are sent from where they are.
const COPIED_BODY_BYTES: usize = 4096;
/// The first allocation of a batch of which nothing is known.
const FIRST_RESERVE_BYTES: usize = 256;
/// The largest that is made on a guess.
const MAX_RESERVE_BYTES: usize = 64 * 1024;

/// Messages on their way to one peer, encoded, in order.
///
/// Envelopes and small bodies share one contiguous buffer, large bodies stay where they were
/// received, and a connection writes all of it at once.
#[derive(Debug, Default)]
pub struct Batch {
    chunks: Vec<Chunk>,
    tail: BytesMut,
    chunked_bytes: usize,
    /// What the batch before came to, as a guess at this one.
    expected_bytes: usize,
}

/// Two batches are equal if the bytes are that will be written.
impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.len_bytes() == other.len_bytes() && self.to_bytes() == other.to_bytes()
    }
}

impl Eq for Batch {}

/// Consecutive bytes of a batch.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// What the chunk keeps alive beside its own bytes.
    pub(crate) excess_bytes: usize,
}

impl Batch {
    /// An empty batch, which has allocated nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what there is to write. What comes next is expected to be about as much.
    #[must_use]
    pub fn take(&mut self) -> Self {
        if self.is_empty() {
            return Self::new();
        }
        let next = Self {
            expected_bytes: self.tail.len().next_power_of_two().min(MAX_RESERVE_BYTES),
            ..Self::default()
        };
        mem::replace(self, next)
    }

    /// Appends one message: the frames that `encode` writes (see [`Message::encode_frame`]), then
    /// those of the body that it returns. The last frame that it writes must say that more follow
    /// if, and only if, there is a body with frames.
    pub fn push<'a>(&mut self, encode: impl FnOnce(&mut BytesMut) -> Option<&'a Message>) {
        if self.tail.capacity() == 0 {
            self.tail
                .reserve(self.expected_bytes.max(FIRST_RESERVE_BYTES));
        }
        let Some(body) = encode(&mut self.tail) else {
            return;
        };
        self.push_encoded(body.encoded(), body.held_bytes());
    }

    /// Appends messages as they are.
    pub fn push_run(&mut self, run: &Run) {
        self.push_encoded(run.encoded(), run.held_bytes());
    }

    /// Appends one message as it is.
    pub fn push_message(&mut self, message: &Message) {
        self.push(|_| Some(message));
    }

    fn push_encoded(&mut self, encoded: &Bytes, held_bytes: usize) {
        if encoded.len() < COPIED_BODY_BYTES {
            self.tail.extend_from_slice(encoded);
            return;
        }
        self.close_tail();
        self.chunked_bytes += encoded.len();
        self.chunks.push(Chunk {
            bytes: encoded.clone(),
            excess_bytes: held_bytes - encoded.len(),
        });
    }

    /// The bytes that will be written.
    pub fn len_bytes(&self) -> usize {
        self.chunked_bytes + self.tail.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// The bytes that will be written, copied together.
    pub fn to_bytes(&self) -> Vec<u8> {
        let chunks = self.chunks.iter().map(|chunk| &chunk.bytes[..]);
        chunks.chain([&self.tail[..]]).collect::<Vec<_>>().concat()
    }

    pub(crate) fn into_chunks(self) -> impl Iterator<Item = Chunk> {
        let Self { chunks, tail, .. } = self;
        let last = (!tail.is_empty()).then(|| Chunk {
            excess_bytes: tail.capacity() - tail.len(),
            bytes: tail.freeze(),
        });
        chunks.into_iter().chain(last)
    }

    /// Makes a chunk of the tail, whose unused room stays for the next envelope.
    fn close_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let bytes = self.tail.split().freeze();
        self.chunked_bytes += bytes.len();
        self.chunks.push(Chunk {
            bytes,
            excess_bytes: 0,
        });
    }
}

#[cfg(test)]
mod tests;

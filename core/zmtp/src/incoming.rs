//! What came from one peer and is not decoded yet.

use bytes::{Buf, BytesMut};

/// The least that is made room for: the allocator has a fast path for as much.
const MIN_READ_BYTES: usize = 512;
/// What is made room for at first.
const FIRST_READ_BYTES: usize = 4 * 1024;
/// The most that is made room for, but for a frame that is known to be longer.
const MAX_READ_BYTES: usize = 256 * 1024;
/// Up to here, what is left over is moved into a new buffer rather than grown in place.
const MOVED_BYTES: usize = 64 * 1024;
/// A buffer that is this many times larger than what is in it is not kept.
const RELEASED_FRACTION: usize = 4;
/// So many reads in a row that leave most of the room unused halve it.
const SMALL_READS: u8 = 4;

/// Received bytes that wait for [`Session::decode`](crate::Session::decode).
///
/// Messages are handed out as slices of this buffer, so it is never written to twice. Its room
/// follows what arrives, from 512 bytes to 256 KiB, and in a frame that is longer it grows with the
/// bytes that did arrive: what is merely announced reserves nothing.
#[derive(Debug)]
pub struct Incoming {
    bytes: BytesMut,
    allocated_bytes: usize,
    read_bytes: usize,
    small_reads: u8,
    missing_bytes: usize,
}

impl Incoming {
    /// An empty buffer, which has allocated nothing.
    pub fn new() -> Self {
        Self {
            bytes: BytesMut::new(),
            allocated_bytes: 0,
            read_bytes: FIRST_READ_BYTES,
            small_reads: 0,
            missing_bytes: 0,
        }
    }

    /// Appends received bytes by copying them.
    pub fn extend_from_slice(&mut self, received: &[u8]) {
        self.bytes.extend_from_slice(received);
        self.allocated_bytes = self.allocated_bytes.max(self.bytes.capacity());
    }

    /// The bytes that are not decoded yet.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether everything is decoded.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The memory that is in use for bytes that are not decoded.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The buffer to read into, with room for one read.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        let held = self.bytes.len();
        if self.bytes.capacity() - held < self.read_bytes {
            self.make_room(self.read_bytes.max(self.missing_bytes.min(held)));
            self.allocated_bytes = self.bytes.capacity();
        }
        &mut self.bytes
    }

    fn make_room(&mut self, room: usize) {
        if self.bytes.try_reclaim(room) {
            return;
        }
        if self.bytes.len() > MOVED_BYTES {
            self.bytes.reserve(room);
            return;
        }
        let mut moved = BytesMut::with_capacity(self.bytes.len() + room);
        moved.extend_from_slice(&self.bytes);
        self.bytes = moved;
    }

    /// Learns from a read how much room the next one needs.
    pub(crate) fn handle_read(&mut self, read: usize, room: usize) {
        if read == room {
            self.small_reads = 0;
            self.read_bytes = (self.read_bytes * 2).min(MAX_READ_BYTES);
        } else if read < self.read_bytes / 4 {
            self.small_reads += 1;
            if self.small_reads == SMALL_READS {
                self.small_reads = 0;
                self.read_bytes = (self.read_bytes / 2).max(MIN_READ_BYTES);
            }
        } else {
            self.small_reads = 0;
        }
    }

    /// Frees the buffer, or most of it if it is larger by far than what is in it: there is nothing
    /// more to read for the time being.
    pub(crate) fn release(&mut self) {
        if self.bytes.capacity() > RELEASED_FRACTION * self.bytes.len() + MIN_READ_BYTES
            || self.bytes.is_empty()
        {
            self.bytes = BytesMut::from(&self.bytes[..]);
            self.allocated_bytes = self.bytes.capacity();
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn advance(&mut self, n: usize) {
        self.bytes.advance(n);
    }

    /// Takes the first `n` bytes, sharing the buffer.
    pub(crate) fn take(&mut self, n: usize) -> BytesMut {
        self.bytes.split_to(n)
    }

    /// The size of the buffer that [`take`](Self::take) shares.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.allocated_bytes
    }

    /// Says how much of a frame whose header is there has yet to come.
    pub(crate) fn expect(&mut self, missing_bytes: usize) {
        self.missing_bytes = missing_bytes;
    }
}

impl Default for Incoming {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;

//! Bytes in the order in which they are written.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::outbox::Backlog;
use crate::outgoing::{Batch, Chunk};

/// The buffers that one write takes.
const WRITE_CHUNKS: usize = 64;
/// What is written in one turn before others are let in.
const TURN_BYTES: usize = 1024 * 1024;
/// Chunks below this are copied together when they have to wait.
const GATHERED_BYTES: usize = 4096;
/// The size at which a buffer of such copies is closed.
const GATHER_BYTES: usize = 64 * 1024;
/// A chunk that is less than one part in this many of what it keeps alive is copied when it has
/// to wait: an outbox is to hold little more than what it writes.
const HELD_FRACTION: usize = 2;

/// What is to be written to one peer.
///
/// As long as the socket takes everything, chunks are written from where they are. From the moment
/// it does not, they are made fit to wait: small ones are copied together, and those that keep
/// much more alive than themselves are copied out. What the others keep alive is added to the
/// backlog.
#[derive(Debug)]
pub(super) struct WriteQueue {
    chunks: VecDeque<Chunk>,
    /// Copies that come after all of `chunks`.
    gathered: BytesMut,
    waiting: bool,
    backlog: Backlog,
    /// All bytes that were ever pushed.
    pushed_bytes: u64,
    /// All bytes that were ever written.
    written_bytes: u64,
}

impl WriteQueue {
    pub(super) fn new(backlog: Backlog) -> Self {
        Self {
            chunks: VecDeque::new(),
            gathered: BytesMut::new(),
            waiting: false,
            backlog,
            pushed_bytes: 0,
            written_bytes: 0,
        }
    }

    /// All bytes that were ever pushed: what is pushed by now is written when
    /// [`written_bytes`](Self::written_bytes) has come to it.
    pub(super) fn pushed_bytes(&self) -> u64 {
        self.pushed_bytes
    }

    /// All bytes that were ever written.
    pub(super) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.gathered.is_empty()
    }

    /// Whether the socket did not take everything, and has not since.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Appends a batch, whose bytes are in the backlog since it was sent.
    pub(super) fn push_batch(&mut self, batch: Batch) {
        for chunk in batch.into_chunks() {
            self.push(chunk);
        }
    }

    /// Appends what the protocol itself has to say.
    pub(super) fn push_bytes(&mut self, bytes: Bytes) {
        self.backlog.add(bytes.len());
        self.push(Chunk {
            bytes,
            excess_bytes: 0,
        });
    }

    /// Writes as much as the socket takes, up to one turn's share, and says how much that was.
    /// `Pending` after some was written means that there is more to write.
    pub(super) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        mut writer: W,
        written: &mut usize,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            if *written >= TURN_BYTES {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.chunks.is_empty() {
                self.close_gathered();
            }
            let poll = self.poll_write_chunks(cx, Pin::new(&mut writer));
            if poll.is_pending() {
                self.wait();
            }
            let n = ready!(poll)?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += n;
            self.advance(n);
        }
        self.waiting = false;
        self.chunks.shrink_to(WRITE_CHUNKS);
        Poll::Ready(Ok(()))
    }

    /// Writes once. One buffer alone is a call of the system that has less to look at.
    fn poll_write_chunks<W: AsyncWrite>(
        &self,
        cx: &mut Context<'_>,
        writer: Pin<&mut W>,
    ) -> Poll<io::Result<usize>> {
        if let (Some(only), 1) = (self.chunks.front(), self.chunks.len()) {
            return writer.poll_write(cx, &only.bytes);
        }
        let mut slices = [IoSlice::new(&[]); WRITE_CHUNKS];
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(&chunk.bytes);
            count += 1;
        }
        writer.poll_write_vectored(cx, &slices[..count])
    }

    fn push(&mut self, chunk: Chunk) {
        self.pushed_bytes += chunk.bytes.len() as u64;
        if self.waiting {
            self.push_waiting(chunk);
        } else {
            self.chunks.push_back(chunk);
        }
    }

    fn wait(&mut self) {
        if self.waiting {
            return;
        }
        self.waiting = true;
        for chunk in mem::take(&mut self.chunks) {
            self.push_waiting(chunk);
        }
    }

    fn push_waiting(&mut self, chunk: Chunk) {
        let len = chunk.bytes.len();
        let is_small_part = len * HELD_FRACTION < len + chunk.excess_bytes;
        if len < GATHERED_BYTES || is_small_part {
            self.gathered.extend_from_slice(&chunk.bytes);
            if self.gathered.len() >= GATHER_BYTES {
                self.close_gathered();
            }
            return;
        }
        self.close_gathered();
        self.backlog.add(chunk.excess_bytes);
        self.chunks.push_back(chunk);
    }

    fn close_gathered(&mut self) {
        if !self.gathered.is_empty() {
            self.chunks.push_back(Chunk {
                bytes: mem::take(&mut self.gathered).freeze(),
                excess_bytes: 0,
            });
        }
    }

    fn advance(&mut self, mut n: usize) {
        self.backlog.subtract(n);
        self.written_bytes += n as u64;
        while n > 0 {
            let Some(front) = self.chunks.front_mut() else {
                return;
            };
            if n < front.bytes.len() {
                front.bytes.advance(n);
                return;
            }
            n -= front.bytes.len();
            if let Some(done) = self.chunks.pop_front()
                && self.waiting
            {
                self.backlog.subtract(done.excess_bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests;

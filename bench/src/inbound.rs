//! What was read and not yet looked at, and the few messages that interrupt a load.

use std::io::{self, Read as _};
use std::net::TcpStream;

/// Room for one read: more than a window of the largest messages.
const BYTES: usize = 1 << 20;

/// The bytes of one connection.
#[derive(Debug)]
pub(crate) struct Inbound {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// A sign of life that has to be answered.
#[derive(Debug, Clone)]
pub(crate) struct Interlude {
    pub(crate) received: Vec<u8>,
    pub(crate) answer: Vec<u8>,
}

impl Inbound {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// Reads once, and returns how much; 0 at the end.
    pub(crate) fn read_from(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let count = stream.read(&mut self.buffer[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// Takes the next message, of a known size. Interludes before it are answered into `out`.
    pub(crate) fn next(
        &mut self,
        size: usize,
        interlude: Option<&Interlude>,
        out: &mut Vec<u8>,
    ) -> Option<&[u8]> {
        self.answer(interlude, out);
        let held = &self.buffer[self.start..self.end];
        let message = held.get(..size)?;
        self.start += size;
        Some(message)
    }

    /// Answers the interludes that come next into `out`.
    pub(crate) fn answer(&mut self, interlude: Option<&Interlude>, out: &mut Vec<u8>) {
        if let Some(Interlude { received, answer }) = interlude {
            while self.held().starts_with(received) {
                out.extend_from_slice(answer);
                self.start += received.len();
            }
        }
    }

    /// What was read and not taken.
    pub(crate) fn held(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Takes so many bytes, which are held.
    pub(crate) fn skip(&mut self, count: usize) {
        self.start += count;
    }
}

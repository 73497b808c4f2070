//! Frames in, messages and commands out.

use std::mem;

use bytes::BytesMut;

use super::{Limits, Violation};
use crate::{
    Message, Run,
    frame::{COMMAND, FrameHeader, MORE, RESERVED},
    incoming::Incoming,
};

/// The most messages of one run, so that others get their turn.
pub(crate) const RUN_MESSAGES: u32 = 4096;

/// The unit that a decoder takes from a buffer.
#[derive(Debug)]
pub(crate) enum Decoded {
    Message(Message),
    Run(Run),
    /// The body of a command.
    Command(BytesMut),
}

/// Cuts a peer's bytes after the handshake. Between calls it remembers how far it got in a message
/// that is not all there; the bytes stay where they are.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The frames of the current message that came before a command, which peers may send between
    /// two frames of a message.
    set_aside: BytesMut,
    /// The bytes at the start of the buffer that are whole frames of the current message.
    scanned: usize,
    /// The whole frames of the current message.
    frames: u32,
}

impl Decoder {
    /// Takes what comes next; `None` if it is not all there.
    pub(crate) fn next(
        &mut self,
        incoming: &mut Incoming,
        limits: &Limits,
    ) -> Result<Option<Decoded>, Violation> {
        incoming.expect(0);
        let bytes = incoming.bytes();
        while let Some(header) = FrameHeader::parse(&bytes[self.scanned..]) {
            if header.flags & (RESERVED | COMMAND) != 0 {
                check_flags(header.flags)?;
                return self.next_command(header, incoming, limits);
            }
            self.check(&header, self.scanned, limits)?;
            let end = self.scanned + header.header_bytes + header.content_len();
            if end > bytes.len() {
                incoming.expect(end - bytes.len());
                return Ok(None);
            }
            self.scanned = end;
            self.frames += 1;
            if header.flags & MORE == 0 {
                return Ok(Some(Decoded::Message(self.take_message(incoming))));
            }
        }
        bytes
            .get(self.scanned)
            .copied()
            .map_or(Ok(()), check_flags)?;
        Ok(None)
    }

    /// Takes all whole messages that come next, or a command; `None` if neither is all there. What is
    /// wrong with what comes after them shows in the next call.
    pub(crate) fn next_run(
        &mut self,
        incoming: &mut Incoming,
        limits: &Limits,
    ) -> Result<Option<Decoded>, Violation> {
        if !self.set_aside.is_empty() {
            return Ok(self.next(incoming, limits)?.map(Decoded::into_run));
        }
        incoming.expect(0);
        let bytes = incoming.bytes();
        let mut run_bytes = 0;
        let mut messages = 0;
        while messages < RUN_MESSAGES
            && let Some(header) = FrameHeader::parse(&bytes[self.scanned..])
        {
            if header.flags & (RESERVED | COMMAND) != 0 {
                break;
            }
            let checked = self.check(&header, self.scanned - run_bytes, limits);
            if messages > 0 && checked.is_err() {
                break;
            }
            checked?;
            let end = self.scanned + header.header_bytes + header.content_len();
            if end > bytes.len() {
                break;
            }
            self.scanned = end;
            self.frames += 1;
            if header.flags & MORE == 0 {
                messages += 1;
                run_bytes = end;
                self.frames = 0;
            }
        }
        if messages == 0 {
            return self.next(incoming, limits);
        }
        self.scanned -= run_bytes;
        let encoded = incoming.take(run_bytes).freeze();
        let run = Run::from_wire(encoded, messages, incoming.allocated_bytes());
        Ok(Some(Decoded::Run(run)))
    }

    /// The bytes of a message of which only a part is there.
    pub(crate) fn unfinished_bytes(&self, incoming: &Incoming) -> usize {
        self.set_aside.len() + incoming.len_bytes()
    }

    /// The bytes that are held beside those in the buffer.
    pub(crate) fn set_aside_bytes(&self) -> usize {
        self.set_aside.capacity()
    }

    #[inline]
    fn check(
        &self,
        header: &FrameHeader,
        scanned: usize,
        limits: &Limits,
    ) -> Result<(), Violation> {
        if header.announced > limits.frame_bytes as u64 {
            return Err(Violation::FrameTooLarge {
                announced_bytes: header.announced,
                limit_bytes: limits.frame_bytes,
            });
        }
        let before = self.set_aside.len() + scanned;
        if before + header.header_bytes + header.content_len() > limits.message_bytes {
            return Err(Violation::MessageTooLarge {
                limit_bytes: limits.message_bytes,
            });
        }
        if self.frames as usize >= limits.frames {
            return Err(Violation::TooManyFrames {
                limit: limits.frames,
            });
        }
        Ok(())
    }

    fn take_message(&mut self, incoming: &mut Incoming) -> Message {
        let frames = mem::take(&mut self.frames);
        let encoded = incoming.take(mem::take(&mut self.scanned));
        if self.set_aside.is_empty() {
            return Message::from_wire(encoded.freeze(), frames, incoming.allocated_bytes());
        }
        let mut whole = mem::take(&mut self.set_aside);
        whole.extend_from_slice(&encoded);
        let pinned_bytes = whole.capacity();
        Message::from_wire(whole.freeze(), frames, pinned_bytes)
    }

    /// Takes a command, if it is all there. A message that it interrupts is set aside, so that no
    /// byte is moved twice however many commands there are.
    fn next_command(
        &mut self,
        header: FrameHeader,
        incoming: &mut Incoming,
        limits: &Limits,
    ) -> Result<Option<Decoded>, Violation> {
        if header.announced > limits.command_bytes as u64 {
            return Err(Violation::CommandTooLarge {
                announced_bytes: header.announced,
                limit_bytes: limits.command_bytes,
            });
        }
        let end = self.scanned + header.header_bytes + header.content_len();
        if end > incoming.len_bytes() {
            return Ok(None);
        }
        let interrupted = incoming.take(mem::take(&mut self.scanned));
        self.set_aside.extend_from_slice(&interrupted);
        incoming.advance(header.header_bytes);
        Ok(Some(Decoded::Command(incoming.take(header.content_len()))))
    }
}

impl Decoded {
    fn into_run(self) -> Self {
        match self {
            Self::Message(message) => Self::Run(message.into()),
            Self::Run(_) | Self::Command(_) => self,
        }
    }
}

/// Takes the next command of a handshake, in which nothing else may come; `None` if it is not all
/// there. `limit_bytes` is what the handshake may still take.
pub(crate) fn next_handshake_command(
    incoming: &mut Incoming,
    limit_bytes: usize,
) -> Result<Option<BytesMut>, Violation> {
    let Some(&flags) = incoming.bytes().first() else {
        return Ok(None);
    };
    check_flags(flags)?;
    if flags & COMMAND == 0 {
        return Err(Violation::Handshake);
    }
    let Some(header) = FrameHeader::parse(incoming.bytes()) else {
        return Ok(None);
    };
    if header.announced > limit_bytes.saturating_sub(header.header_bytes) as u64 {
        return Err(Violation::HandshakeTooLarge {
            announced_bytes: header.announced,
        });
    }
    if header.header_bytes + header.content_len() > incoming.len_bytes() {
        return Ok(None);
    }
    incoming.advance(header.header_bytes);
    Ok(Some(incoming.take(header.content_len())))
}

/// "Bits 7-3 are reserved for future use and MUST be zero", and MORE "SHALL be zero on command
/// frames".
fn check_flags(flags: u8) -> Result<(), Violation> {
    if flags & RESERVED != 0 {
        return Err(Violation::ReservedFlags { flags });
    }
    if flags & (COMMAND | MORE) == COMMAND | MORE {
        return Err(Violation::CommandWithMore);
    }
    Ok(())
}

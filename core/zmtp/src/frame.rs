//! The header of a frame: flags and size (RFC 37, "Framing").

use bytes::BufMut;

/// More frames of the same message follow.
pub(crate) const MORE: u8 = 0b001;
/// The size takes eight octets.
pub(crate) const LONG: u8 = 0b010;
/// The frame is a command.
pub(crate) const COMMAND: u8 = 0b100;
/// "Bits 7-3 are reserved for future use and MUST be zero."
pub(crate) const RESERVED: u8 = !(MORE | LONG | COMMAND);

/// Flags and one octet of size.
pub(crate) const SHORT_HEADER_BYTES: usize = 2;
/// Flags and eight octets of size.
pub(crate) const LONG_HEADER_BYTES: usize = 9;

/// What a frame's header announces, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) flags: u8,
    pub(crate) header_bytes: usize,
    /// Any of 64 bits, as announced: compare with a limit before use.
    pub(crate) announced: u64,
}

impl FrameHeader {
    /// Reads the header at the start of `bytes`; `None` if it is not all there.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[flags, short, ..] = bytes else {
            return None;
        };
        if flags & LONG == 0 {
            return Some(Self {
                flags,
                header_bytes: SHORT_HEADER_BYTES,
                announced: u64::from(short),
            });
        }
        let size = bytes[1..].first_chunk()?;
        Some(Self {
            flags,
            header_bytes: LONG_HEADER_BYTES,
            announced: u64::from_be_bytes(*size),
        })
    }

    /// The size of the content, once it has been compared with a limit.
    #[inline]
    pub(crate) fn content_len(&self) -> usize {
        self.announced as usize
    }
}

/// Appends the header of a frame of `size` bytes, in the short form where that is possible.
pub(crate) fn put_header(out: &mut impl BufMut, flags: u8, size: usize) {
    if let Ok(short) = u8::try_from(size) {
        out.put_slice(&[flags, short]);
    } else {
        out.put_u8(flags | LONG);
        out.put_u64(size as u64);
    }
}

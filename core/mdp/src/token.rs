//! The token that stands in for a client's address.

use std::fmt;

/// Stands in for a client's address in what a worker gets, for one attempt (D6).
///
/// 16 bytes on the wire: where the broker finds the request, then what nobody can guess. Workers
/// treat it as opaque and return it unchanged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token([u8; Self::BYTES]);

impl Token {
    /// The size of a token's frame.
    pub const BYTES: usize = 16;

    /// Reads a token from its frame; `None` unless that has 16 bytes.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        frame.try_into().ok().map(Self)
    }

    pub(crate) fn new(slot: u64, random: u64) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&slot.to_be_bytes());
        bytes[8..].copy_from_slice(&random.to_be_bytes());
        Self(bytes)
    }

    pub(crate) fn slot(&self) -> u64 {
        let (slot, _) = self.0.split_first_chunk().expect("a token has 16 bytes");
        u64::from_be_bytes(*slot)
    }

    /// Returns the bytes of the frame.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:032x})", u128::from_be_bytes(self.0))
    }
}

//! The checksum of a row.

use crc32fast::Hasher;

use crate::value::Value;

/// A checksum on its way: each part is told apart from the next.
pub(super) struct Sum {
    hasher: Hasher,
    /// What is to be hashed next: many short parts take longer than one long one.
    parts: [u8; PARTS_BYTES],
    length: usize,
}

/// Enough for the parts of a row, apart from its value.
const PARTS_BYTES: usize = 256;

impl Sum {
    pub(super) fn of(table: &str) -> Self {
        let mut sum = Self {
            hasher: Hasher::new(),
            parts: [0; PARTS_BYTES],
            length: 0,
        };
        sum.text(table);
        sum
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as i64).add(bytes)
    }

    pub(super) fn number(&mut self, number: i64) -> &mut Self {
        self.add(&number.to_le_bytes())
    }

    fn add(&mut self, part: &[u8]) -> &mut Self {
        if part.len() > PARTS_BYTES - self.length {
            self.hasher.update(&self.parts[..self.length]);
            self.length = 0;
        }
        match self.parts.get_mut(self.length..self.length + part.len()) {
            Some(room) => {
                room.copy_from_slice(part);
                self.length += part.len();
            }
            None => self.hasher.update(part),
        }
        self
    }

    pub(super) fn value(&mut self, value: &Value) -> &mut Self {
        self.text(value.content_type().unwrap_or_default());
        self.bytes(value.data())
    }

    pub(super) fn end(mut self) -> u32 {
        self.hasher.update(&self.parts[..self.length]);
        self.hasher.finalize()
    }
}

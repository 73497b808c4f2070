//! A message encoded once, whose number is written into it in place.

/// A message of a fixed size.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// What is the same in every message, up to here.
    head: usize,
    marks: Vec<Mark>,
}

/// Where a message says its number, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    /// Eight bytes, big endian.
    Binary { at: usize },
    /// Hexadecimal digits of `number * stride % modulus`.
    Digits {
        at: usize,
        count: usize,
        stride: u64,
        modulus: u64,
    },
}

impl Mark {
    /// The same mark, further on.
    pub(crate) fn moved(mut self, by: usize) -> Self {
        let (Self::Binary { at } | Self::Digits { at, .. }) = &mut self;
        *at += by;
        self
    }

    /// Where it begins.
    pub(crate) fn at(self) -> usize {
        let (Self::Binary { at } | Self::Digits { at, .. }) = self;
        at
    }
}

impl Template {
    pub(crate) fn new(bytes: Vec<u8>, head: usize, marks: Vec<Mark>) -> Self {
        Self { bytes, head, marks }
    }

    /// The size of each message, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the message of this number.
    pub(crate) fn append(&self, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let message = &mut out[start..];
        for mark in &self.marks {
            match *mark {
                Mark::Binary { at } => message[at..at + 8].copy_from_slice(&number.to_be_bytes()),
                Mark::Digits {
                    at,
                    count,
                    stride,
                    modulus,
                } => {
                    let digits = digits(number.wrapping_mul(stride) % modulus);
                    message[at..at + count].copy_from_slice(&digits[16 - count..]);
                }
            }
        }
    }

    /// Appends the message with `from` written at `at`.
    pub(crate) fn append_with(&self, at: usize, from: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        out[start + at..start + at + from.len()].copy_from_slice(from);
    }

    /// Whether a message begins as all of these do.
    pub(crate) fn begins(&self, message: &[u8]) -> bool {
        message[..self.head] == self.bytes[..self.head]
    }

    /// Whether this is the message of this number.
    pub(crate) fn is(&self, number: u64, message: &[u8]) -> bool {
        let is_marked = |mark: &Mark| match *mark {
            Mark::Binary { at } => message[at..at + 8] == number.to_be_bytes(),
            Mark::Digits {
                at,
                count,
                stride,
                modulus,
            } => {
                let digits = digits(number.wrapping_mul(stride) % modulus);
                message[at..at + count] == digits[16 - count..]
            }
        };
        self.begins(message) && self.marks.iter().all(is_marked)
    }
}

/// Sixteen hexadecimal digits.
fn digits(mut number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_recognised_by_its_head_and_every_mark() {
        let marks = vec![
            Mark::Binary { at: 2 },
            Mark::Digits {
                at: 10,
                count: 16,
                stride: 1,
                modulus: 500,
            },
        ];
        let template = Template::new(vec![b'.'; 26], 2, marks);
        let mut out = Vec::new();
        template.append(501, &mut out);
        assert_eq!(&out[2..], b"\0\0\0\0\0\0\x01\xf50000000000000001");
        assert!(template.is(501, &out));
        assert!(!template.is(1, &out));
        out[25] = b'2';
        assert!(!template.is(501, &out));
        out[25] = b'1';
        out[0] = b'!';
        assert!(!template.is(501, &out));
    }
}

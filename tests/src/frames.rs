//! Messages as tests write and read them.

use std::collections::BTreeMap;
use std::fmt;

/// Stands for the token in a message that is expected.
pub const T: &str = "<the token>";

/// How much of a frame is shown.
const SHOWN_BYTES: usize = 60;

/// The frames of a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Frames(pub Vec<Vec<u8>>);

/// Writes a message as the specification does: text, bytes as numbers, and frames at hand.
#[macro_export]
macro_rules! frames {
    ($($frame:expr),* $(,)?) => {
        $crate::Frames(vec![$($crate::IntoFrame::into_frame($frame)),*])
    };
}

/// What can stand for a frame in [`frames!`](crate::frames).
pub trait IntoFrame {
    fn into_frame(self) -> Vec<u8>;
}

impl IntoFrame for u8 {
    fn into_frame(self) -> Vec<u8> {
        vec![self]
    }
}

impl IntoFrame for &str {
    fn into_frame(self) -> Vec<u8> {
        self.into()
    }
}

impl IntoFrame for String {
    fn into_frame(self) -> Vec<u8> {
        self.into()
    }
}

impl IntoFrame for &[u8] {
    fn into_frame(self) -> Vec<u8> {
        self.into()
    }
}

impl IntoFrame for Vec<u8> {
    fn into_frame(self) -> Vec<u8> {
        self
    }
}

impl IntoFrame for &Vec<u8> {
    fn into_frame(self) -> Vec<u8> {
        self.clone()
    }
}

impl Frames {
    /// These frames, followed by others.
    #[must_use]
    pub fn and(mut self, others: &[Vec<u8>]) -> Self {
        self.0.extend_from_slice(others);
        self
    }

    /// Compares with a message in which [`T`] stands for a token, and returns the token.
    #[track_caller]
    pub fn token_of(&self, expected: &Self) -> Vec<u8> {
        let place = expected.0.iter().position(|frame| frame == T.as_bytes());
        let place = place.expect("a message with a token is expected");
        let token = self.0.get(place).cloned().unwrap_or_default();
        let mut filled = expected.clone();
        filled.0[place].clone_from(&token);
        assert_eq!(*self, filled);
        assert_eq!(token.len(), 16, "a token has 16 bytes");
        token
    }

    /// The frames as ZMTP 3 writes them.
    pub fn encoded(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        for (index, frame) in self.0.iter().enumerate() {
            let more = u8::from(index + 1 < self.0.len());
            match u8::try_from(frame.len()) {
                Ok(length) => wire.extend([more, length]),
                Err(_) => {
                    wire.push(more | 2);
                    wire.extend((frame.len() as u64).to_be_bytes());
                }
            }
            wire.extend(frame);
        }
        wire
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |frame: &Vec<u8>| match frame.len() {
            length @ 0..=SHOWN_BYTES => format!("\"{}\"", frame[..length].escape_ascii()),
            length => {
                let beginning = frame[..SHOWN_BYTES].escape_ascii();
                format!("\"{beginning}…\" ({length} bytes)")
            }
        };
        let shown: Vec<String> = self.0.iter().map(show).collect();
        write!(f, "[{}]", shown.join(", "))
    }
}

/// A header frame of MDP/0.3.
pub fn header(id: u64, properties: &[(&str, &str)]) -> Vec<u8> {
    let mut frame = id.to_be_bytes().to_vec();
    for (name, value) in properties {
        frame.push(name.len() as u8);
        frame.extend_from_slice(name.as_bytes());
        frame.extend_from_slice(&(value.len() as u32).to_be_bytes());
        frame.extend_from_slice(value.as_bytes());
    }
    frame
}

/// A header frame of MDP/0.3 without properties.
pub fn numbered(id: u64) -> Vec<u8> {
    header(id, &[])
}

/// Reads a header frame of MDP/0.3.
#[track_caller]
pub fn properties(header: &[u8]) -> (u64, BTreeMap<String, String>) {
    let (id, mut rest) = header
        .split_first_chunk()
        .expect("a header begins with an id");
    let mut properties = BTreeMap::new();
    while let Some((&length, tail)) = rest.split_first() {
        let (name, tail) = tail.split_at(length.into());
        let (length, tail) = tail.split_first_chunk().expect("a value has a length");
        let (value, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("properties are text");
        let before = properties.insert(text(name), text(value));
        assert_eq!(before, None, "a property stands once");
        rest = tail;
    }
    (u64::from_be_bytes(*id), properties)
}

//! What requests and answers say, so that each can be told from every other.

use plantd_mdp::Token;
use plantd_zmtp::Message;

const QUESTION: u8 = b'q';
const STAMP: u8 = b's';
const PIECE: u8 = b'a';

/// What a program asks: its number, and padding.
pub(crate) fn question(number: u64, padding: usize) -> Message {
    let padding = vec![b'.'; padding];
    Message::from_frames([&tagged(QUESTION, number)[..], &padding])
}

/// A question as it is put on a wire: each sending of it has a stamp of its own.
pub(crate) fn stamped(question: &Message, stamp: u64) -> Message {
    let stamp = Message::from_frames([tagged(STAMP, stamp)]);
    Message::concat([question, &stamp])
}

/// A question that reached somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question {
    pub(crate) number: u64,
    pub(crate) stamp: u64,
}

impl Question {
    /// Reads a question; `None` for what nobody honest asked.
    pub(crate) fn read(body: &Message) -> Option<Self> {
        Some(Self {
            number: untagged(QUESTION, body.frames().next()?)?,
            stamp: untagged(STAMP, body.frames().last()?)?,
        })
    }
}

/// A part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) question: Question,
    /// The token that the worker was given.
    pub(crate) token: Token,
    /// Rises by one with each part.
    pub(crate) index: u32,
    pub(crate) is_last: bool,
}

impl Piece {
    pub(crate) fn write(self, padding: usize) -> Message {
        let mut frame = vec![PIECE];
        frame.extend(self.question.number.to_be_bytes());
        frame.extend(self.question.stamp.to_be_bytes());
        frame.extend(self.token.as_bytes());
        frame.extend(self.index.to_be_bytes());
        frame.push(u8::from(self.is_last));
        Message::from_frames([frame, vec![b'.'; padding]])
    }

    /// Reads a body of one or, where they were joined, several parts; `None` for what nobody honest
    /// answered.
    pub(crate) fn read_all(body: &Message) -> Option<Vec<Self>> {
        let frames: Vec<&[u8]> = body.frames().collect();
        if frames.is_empty() || !frames.len().is_multiple_of(2) {
            return None;
        }
        frames.chunks(2).map(|pair| Self::read(pair[0])).collect()
    }

    fn read(frame: &[u8]) -> Option<Self> {
        let (tag, rest) = frame.split_first()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (stamp, rest) = rest.split_first_chunk()?;
        let (token, rest) = rest.split_at_checked(Token::BYTES)?;
        let (index, last) = rest.split_first_chunk()?;
        (*tag == PIECE && last.len() == 1).then_some(Self {
            question: Question {
                number: u64::from_be_bytes(*number),
                stamp: u64::from_be_bytes(*stamp),
            },
            token: Token::parse(token)?,
            index: u32::from_be_bytes(*index),
            is_last: last == [1],
        })
    }
}

fn tagged(tag: u8, number: u64) -> [u8; 9] {
    let mut frame = [tag; 9];
    frame[1..].copy_from_slice(&number.to_be_bytes());
    frame
}

fn untagged(tag: u8, frame: &[u8]) -> Option<u64> {
    let (found, number) = frame.split_first()?;
    let number = number.try_into().ok()?;
    (*found == tag).then_some(u64::from_be_bytes(number))
}

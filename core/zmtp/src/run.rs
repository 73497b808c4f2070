//! Consecutive messages of one peer, in one piece.

use std::{fmt, ops::Range};

use bytes::Bytes;

use crate::{
    Message,
    frame::{COMMAND, FrameHeader, MORE, RESERVED},
};

/// Whole messages one after the other, encoded as they came from one peer, or as they go to some.
///
/// A run is one slice of the buffer that it was read into, however many messages it has, so that
/// taking, cloning and forwarding one costs the same for one message and for a thousand.
/// Two runs are equal if their encodings are.
#[derive(Clone)]
pub struct Run {
    encoded: Bytes,
    message_count: u32,
    pinned_bytes: u32,
}

/// One message of a [`Run`], where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its place in [`Run::encoded`].
    pub range: Range<usize>,
    /// The content of its first frame.
    pub first_frame: &'a [u8],
    /// The number of its frames.
    pub frame_count: u32,
}

impl Run {
    /// A run of what a decoder has checked: `message_count` whole messages, in a buffer of
    /// `pinned_bytes`.
    pub(crate) fn from_wire(encoded: Bytes, message_count: u32, pinned_bytes: usize) -> Self {
        Self {
            encoded,
            message_count,
            pinned_bytes: u32::try_from(pinned_bytes).unwrap_or(u32::MAX),
        }
    }

    /// Takes messages that were encoded one after the other, as [`Message::encode_frame`] does; `None`
    /// if they are not whole.
    pub fn from_encoded(encoded: Bytes) -> Option<Self> {
        let (mut rest, mut message_count, mut is_whole) = (&encoded[..], 0, true);
        while !rest.is_empty() {
            let header = FrameHeader::parse(rest)?;
            if header.flags & (COMMAND | RESERVED) != 0 {
                return None;
            }
            let content_bytes = usize::try_from(header.announced).ok()?;
            rest = rest[header.header_bytes..].get(content_bytes..)?;
            is_whole = header.flags & MORE == 0;
            message_count += u32::from(is_whole);
        }
        let pinned_bytes = encoded.len();
        is_whole.then(|| Self::from_wire(encoded, message_count, pinned_bytes))
    }

    /// Copies messages into one run; those without frames are left out.
    pub fn from_messages<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Self {
        let mut encoded = Vec::new();
        let mut message_count = 0;
        for message in messages.into_iter().filter(|message| !message.is_empty()) {
            encoded.extend_from_slice(message.encoded());
            message_count += 1;
        }
        let pinned_bytes = encoded.capacity();
        Self::from_wire(encoded.into(), message_count, pinned_bytes)
    }

    /// The number of messages.
    pub fn message_count(&self) -> usize {
        self.message_count as usize
    }

    /// All messages as they are on the wire.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The bytes of memory that this run keeps alive: all of the buffer that it is a slice of.
    pub fn held_bytes(&self) -> usize {
        self.encoded.len().max(self.pinned_bytes as usize)
    }

    /// Walks the messages, first to last.
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            encoded: &self.encoded,
            at: 0,
        }
    }

    /// A run of some of the messages, sharing this one's bytes.
    ///
    /// # Panics
    /// If `range` is beyond this run's end; it must be that of `message_count` whole messages.
    #[must_use]
    pub fn slice(&self, range: Range<usize>, message_count: u32) -> Self {
        Self {
            encoded: self.encoded.slice(range),
            message_count,
            pinned_bytes: self.pinned_bytes,
        }
    }

    /// One message, sharing this run's bytes.
    ///
    /// # Panics
    /// If `part` is beyond this run's end; it must be one of [`parts`](Self::parts).
    pub fn message(&self, part: &Part<'_>) -> Message {
        let encoded = self.encoded.slice(part.range.clone());
        Message::from_wire(encoded, part.frame_count, self.held_bytes())
    }
}

impl From<Message> for Run {
    fn from(message: Message) -> Self {
        let message_count = u32::from(!message.is_empty());
        Self::from_wire(
            message.encoded().clone(),
            message_count,
            message.held_bytes(),
        )
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Run {}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = self.parts().map(|part| self.message(&part));
        f.debug_list().entries(messages).finish()
    }
}

/// The messages of a run, first to last. See [`Run::parts`].
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    encoded: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    #[inline]
    fn next(&mut self) -> Option<Part<'a>> {
        let start = self.at;
        let first = FrameHeader::parse(&self.encoded[start..])?;
        let content = start + first.header_bytes;
        let mut end = content + first.content_len();
        let first_frame = &self.encoded[content..end];
        let mut flags = first.flags;
        let mut frame_count = 1;
        while flags & MORE != 0 {
            let header =
                FrameHeader::parse(&self.encoded[end..]).expect("a run has whole messages");
            flags = header.flags;
            end += header.header_bytes + header.content_len();
            frame_count += 1;
        }
        self.at = end;
        Some(Part {
            range: start..end,
            first_frame,
            frame_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_run_are_its_messages() {
        let long = vec![7; 300];
        let messages = [
            Message::from_frames(["topic", "a", ""]),
            Message::from_frames([""]),
            Message::from_frames([&long[..], b"x"]),
        ];
        let run = Run::from_messages(&messages);
        assert_eq!(run.message_count(), 3);
        let walked: Vec<Message> = run.parts().map(|part| run.message(&part)).collect();
        assert_eq!(walked, messages);
        let topics: Vec<&[u8]> = run.parts().map(|part| part.first_frame).collect();
        assert_eq!(topics, [&b"topic"[..], b"", &long]);
        let frames: Vec<u32> = run.parts().map(|part| part.frame_count).collect();
        assert_eq!(frames, [3, 1, 2]);
    }

    #[test]
    fn a_run_is_taken_from_whole_messages_and_nothing_else() {
        let long = vec![7; 300];
        let messages = [
            Message::from_frames(["topic", "a", ""]),
            Message::from_frames([&long]),
        ];
        let run = Run::from_messages(&messages);
        let taken = Run::from_encoded(run.encoded().clone()).unwrap();
        assert_eq!((&taken, taken.message_count()), (&run, 2));
        let ends: Vec<usize> = run.parts().map(|part| part.range.end).collect();
        for end in 1..run.encoded().len() {
            let part = Run::from_encoded(run.encoded().slice(..end));
            assert_eq!(part.is_some(), ends.contains(&end), "{end}");
        }
        for flags in [COMMAND, 0b1000] {
            assert_eq!(Run::from_encoded(vec![flags, 0].into()), None);
        }
        let mut huge = vec![0b010];
        huge.extend(u64::MAX.to_be_bytes());
        assert_eq!(Run::from_encoded(huge.into()), None);
        assert_eq!(Run::from_encoded(Bytes::new()).unwrap().message_count(), 0);
    }

    #[test]
    fn a_run_of_nothing_has_no_parts() {
        assert_eq!(Run::from_messages([]).parts().next(), None);
        assert_eq!(Run::from(Message::EMPTY).parts().next(), None);
    }
}

//! A message that is kept for longer than a turn.

use super::Message;

/// The longest encoding that is kept in place.
const SHORT_BYTES: usize = 100;

/// A message for keeping: a short one in place, without a buffer of its own, a longer one as
/// [`Message::into_held`] has it.
///
/// Most messages that are kept are short, and let go of soon: in place they cost neither an
/// allocation nor, where many peers have left their mark on the heap, the search for one.
#[derive(Debug, Clone)]
pub struct Kept(Form);

#[derive(Debug, Clone)]
enum Form {
    Short {
        encoded: [u8; SHORT_BYTES],
        bytes: u8,
        frame_count: u8,
    },
    Long(Message),
}

impl Kept {
    /// No message; see [`Message::EMPTY`].
    pub const EMPTY: Self = Self(Form::Long(Message::EMPTY));

    /// The message again: a short one in a buffer of its own, a longer one shared.
    pub fn message(&self) -> Message {
        match &self.0 {
            Form::Short {
                encoded,
                bytes,
                frame_count,
            } => {
                let encoded = encoded[..usize::from(*bytes)].to_vec();
                Message::owned(encoded, usize::from(*frame_count))
            }
            Form::Long(message) => message.clone(),
        }
    }

    /// Whether there are no frames at all; see [`Message::is_empty`].
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Form::Short { frame_count, .. } => *frame_count == 0,
            Form::Long(message) => message.is_empty(),
        }
    }

    /// The bytes of memory that are kept for the message.
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            Form::Short { bytes, .. } => usize::from(*bytes),
            Form::Long(message) => message.held_bytes(),
        }
    }
}

impl From<&Message> for Kept {
    fn from(message: &Message) -> Self {
        let (from, frames) = (message.encoded(), message.frame_count());
        let (Some(_), Ok(bytes), Ok(frame_count)) = (
            SHORT_BYTES.checked_sub(from.len()),
            u8::try_from(from.len()),
            u8::try_from(frames),
        ) else {
            return Self(Form::Long(message.clone().into_held()));
        };
        let mut encoded = [0; SHORT_BYTES];
        encoded[..from.len()].copy_from_slice(from);
        Self(Form::Short {
            encoded,
            bytes,
            frame_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_message_is_the_same_message_whatever_its_size() {
        for size in [0, 1, 97, 98, 99, 100, 300] {
            for message in [
                Message::from_frames([vec![b'x'; size]]),
                Message::from_frames([vec![b'x'; size], vec![]]),
            ] {
                let kept = Kept::from(&message);
                assert_eq!(kept.message(), message, "{size}");
                assert_eq!(kept.message().frame_count(), message.frame_count());
                assert!(!kept.is_empty());
                assert!(kept.held_bytes() >= message.encoded().len());
            }
        }
    }

    #[test]
    fn no_message_is_kept_as_none() {
        for kept in [Kept::EMPTY, Kept::from(&Message::EMPTY)] {
            assert!(kept.is_empty());
            assert_eq!(kept.held_bytes(), 0);
            assert_eq!(kept.message(), Message::EMPTY);
        }
    }

    #[test]
    fn a_short_message_lets_go_of_the_buffer_that_it_came_in() {
        let buffer = bytes::Bytes::from(vec![0; 4096]);
        let message = Message::from_wire(buffer.slice(..2), 1, buffer.len());
        let kept = Kept::from(&message);
        drop(message);
        assert!(buffer.is_unique());
        assert_eq!(kept.held_bytes(), 2);
    }
}

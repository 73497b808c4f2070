//! Bytes, taken for what somebody sends.

use arbitrary::{Arbitrary, Unstructured};
use plantd_mdp::{Header, Properties};
use plantd_zmtp::Message;

/// A frame that may mean something.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Part<'a> {
    Word(Word),
    Byte(u8),
    Header(u8, Vec<Property>),
    Junk(&'a [u8]),
}

/// Frames that are often part of a command.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Word {
    Empty,
    Client01,
    Client02,
    Client03,
    Worker01,
    Worker02,
    Worker03,
    Ready,
    Request,
    Partial,
    Final,
    Heartbeat,
    Disconnect,
    Echo,
    Mmi,
    Token,
}

/// Properties that somebody heeds.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Property {
    Credit(u8),
    Streams(u8),
    DeadlineMs(u16),
    RetryNever,
    Retry(u8),
    Window(u8),
    More(u8),
    Retryable,
    CodeDraining,
    HeartbeatMs(u16),
    Liveness(u8),
    Attempt(u8),
    Unsupported,
}

/// Which of a few services, peers, ids or tokens is meant.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) struct Which(u8);

impl Which {
    pub(crate) fn of<T: Copy>(self, some: &[T]) -> Option<T> {
        let index = usize::from(self.0).checked_rem(some.len())?;
        Some(some[index])
    }

    pub(crate) fn below(self, count: u8) -> u8 {
        self.0 % count
    }
}

impl Word {
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Self::Empty => b"",
            Self::Client01 => b"MDPC01",
            Self::Client02 => b"MDPC02",
            Self::Client03 => b"MDPC03",
            Self::Worker01 => b"MDPW01",
            Self::Worker02 => b"MDPW02",
            Self::Worker03 => b"MDPW03",
            Self::Ready => b"READY",
            Self::Request => b"REQUEST",
            Self::Partial => b"PARTIAL",
            Self::Final => b"FINAL",
            Self::Heartbeat => b"HEARTBEAT",
            Self::Disconnect => b"DISCONNECT",
            Self::Echo => b"echo",
            Self::Mmi => b"mmi.service",
            Self::Token => &[7; 16],
        }
    }
}

impl Property {
    fn pair(self) -> (&'static str, String) {
        match self {
            Self::Credit(credit) => ("credit", credit.to_string()),
            Self::Streams(streams) => ("streams", streams.to_string()),
            Self::DeadlineMs(deadline) => ("deadline-ms", deadline.to_string()),
            Self::RetryNever => ("retry", "never".to_owned()),
            Self::Retry(times) => ("retry", times.to_string()),
            Self::Window(window) => ("window", window.to_string()),
            Self::More(more) => ("more", more.to_string()),
            Self::Retryable => ("retryable", "true".to_owned()),
            Self::CodeDraining => ("code", "draining".to_owned()),
            Self::HeartbeatMs(interval) => ("heartbeat-ms", interval.to_string()),
            Self::Liveness(liveness) => ("liveness", liveness.to_string()),
            Self::Attempt(attempt) => ("attempt", attempt.to_string()),
            Self::Unsupported => ("+unheard-of", String::new()),
        }
    }
}

impl Part<'_> {
    fn frame(&self) -> Vec<u8> {
        match self {
            Self::Word(word) => word.bytes().to_vec(),
            Self::Byte(byte) => vec![*byte],
            Self::Header(id, properties) => frame_of(&header(u64::from(*id), properties)),
            Self::Junk(bytes) => bytes.to_vec(),
        }
    }
}

/// A header of these properties, of which the last of a name counts.
pub(crate) fn header(id: u64, properties: &[Property]) -> Header {
    let none = Properties::default();
    let properties = properties.iter().fold(none, |all, property| {
        let (name, value) = property.pair();
        all.with(name, value)
    });
    Header { id, properties }
}

/// The header as it is on the wire.
pub(crate) fn frame_of(header: &Header) -> Vec<u8> {
    let mut frame = header.id.to_be_bytes().to_vec();
    for (name, value) in header.properties.iter() {
        frame.push(name.len() as u8);
        frame.extend(name.as_bytes());
        frame.extend((value.len() as u32).to_be_bytes());
        frame.extend(value.as_bytes());
    }
    frame
}

/// The frames of these parts.
pub(crate) fn frames(parts: &[Part<'_>]) -> Vec<Vec<u8>> {
    parts.iter().map(Part::frame).collect()
}

/// A message of these parts.
pub(crate) fn message(parts: &[Part<'_>]) -> Message {
    Message::from_frames(frames(parts))
}

/// What the bytes make, and nothing where they are too few.
pub(crate) fn read<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

/// What happens one after the other, until the bytes are used up.
pub(crate) fn steps<'a, T: Arbitrary<'a> + 'a>(bytes: &'a [u8]) -> impl Iterator<Item = T> + 'a {
    let mut input = Unstructured::new(bytes);
    std::iter::from_fn(move || (!input.is_empty()).then(|| input.arbitrary().ok())?)
}

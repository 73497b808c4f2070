//! Messages as tests write and read them.

use std::fmt;

use bytes::Bytes;

use crate::Header;

/// The frames of a message.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Frames(pub(super) Vec<Vec<u8>>);

/// Writes a message as the specification does: text, bytes as numbers, and frames at hand.
macro_rules! frames {
    ($($frame:expr),* $(,)?) => {
        $crate::broker::tests::frames::Frames(vec![
            $($crate::broker::tests::frames::IntoFrame::into_frame($frame)),*
        ])
    };
}
pub(super) use frames;

pub(super) trait IntoFrame {
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

impl IntoFrame for &[u8] {
    fn into_frame(self) -> Vec<u8> {
        self.to_vec()
    }
}

impl IntoFrame for &Vec<u8> {
    fn into_frame(self) -> Vec<u8> {
        self.clone()
    }
}

impl IntoFrame for Vec<u8> {
    fn into_frame(self) -> Vec<u8> {
        self
    }
}

/// The header frame of MDP/0.3, written without the code under test.
pub(super) fn header(id: u64, properties: &[(&str, &str)]) -> Vec<u8> {
    let mut frame = id.to_be_bytes().to_vec();
    for (name, value) in properties {
        frame.push(u8::try_from(name.len()).unwrap());
        frame.extend_from_slice(name.as_bytes());
        frame.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(value.as_bytes());
    }
    frame
}

impl Frames {
    /// Reads what goes over the wire, and checks that it is one whole message.
    pub(super) fn read(mut wire: &[u8]) -> Self {
        let mut frames = Vec::new();
        loop {
            let (&flags, rest) = wire.split_first().expect("MORE announces another frame");
            let (length, rest) = if flags & 2 == 0 {
                (usize::from(rest[0]), &rest[1..])
            } else {
                let (length, rest) = rest.split_first_chunk().expect("a long frame's length");
                (u64::from_be_bytes(*length) as usize, rest)
            };
            let (frame, rest) = rest.split_at(length);
            frames.push(frame.to_vec());
            wire = rest;
            if flags & 1 == 0 {
                assert!(wire.is_empty(), "bytes follow the last frame");
                return Self(frames);
            }
        }
    }

    pub(super) fn is_heartbeat(&self) -> bool {
        match self.undelimited() {
            [protocol, command] if protocol == b"MDPW01" => command == &[4],
            [protocol, command] if protocol.starts_with(b"MDPW0") => {
                command == &[5] || command == b"HEARTBEAT"
            }
            _ => false,
        }
    }

    pub(super) fn is_request(&self) -> bool {
        match self.undelimited() {
            [protocol, command, ..] if protocol.starts_with(b"MDPW0") => {
                command == &[2] || command == b"REQUEST"
            }
            _ => false,
        }
    }

    pub(super) fn is_disconnect(&self) -> bool {
        match self.undelimited() {
            [protocol, command, ..] if protocol == b"MDPW01" => command == &[5],
            [protocol, command, ..] if protocol.starts_with(b"MDPW0") => {
                command == &[6] || command == b"DISCONNECT"
            }
            _ => false,
        }
    }

    /// The token of a REQUEST to a worker.
    pub(super) fn token(&self) -> Vec<u8> {
        self.undelimited()[2].clone()
    }

    /// What follows the envelope of a REQUEST to a worker.
    pub(super) fn body(&self) -> Vec<Vec<u8>> {
        self.undelimited()[4..].to_vec()
    }

    /// The id in the header of an MDP/0.3 command.
    pub(super) fn id(&self) -> u64 {
        self.header().id
    }

    /// A property in the header of an MDP/0.3 command.
    pub(super) fn property(&self, name: &str) -> Option<String> {
        self.header().properties.get(name).map(str::to_owned)
    }

    /// The id and the code of an ERROR to a client.
    pub(super) fn error(&self) -> (u64, String) {
        assert_eq!(
            self.0[..2],
            [b"MDPC03".to_vec(), vec![4]],
            "{self:?} is no ERROR"
        );
        (
            self.id(),
            self.property("code").expect("an ERROR has a code"),
        )
    }

    /// The FINAL with the body of this REQUEST, in the dialect of its worker.
    pub(super) fn echo(&self) -> Self {
        self.reply(4, &self.body())
    }

    /// The PARTIAL with this body, in the dialect of the worker that has this REQUEST.
    pub(super) fn partial(&self, body: &str) -> Self {
        self.reply(3, &[body.into()])
    }

    /// The FINAL with this body, in the dialect of the worker that has this REQUEST.
    pub(super) fn last(&self, body: &str) -> Self {
        self.reply(4, &[body.into()])
    }

    /// The ERROR with these properties of the MDP/0.3 worker that has this REQUEST.
    pub(super) fn fails_with(&self, properties: &[(&str, &str)]) -> Self {
        frames!["MDPW03", 7, self.token(), header(self.id(), properties)]
    }

    fn reply(&self, verb: u8, body: &[Vec<u8>]) -> Self {
        let (token, request) = (self.token(), self.undelimited());
        let words = request[1] == b"REQUEST";
        let mut reply = match &request[0][..] {
            b"MDPW01" => frames!["", "MDPW01", 3, token, ""],
            b"MDPW02" if words && verb == 3 => frames!["", "MDPW02", "PARTIAL", token],
            b"MDPW02" if words => frames!["", "MDPW02", "FINAL", token],
            b"MDPW02" if self.0[0].is_empty() => frames!["", "MDPW02", verb, token, ""],
            b"MDPW02" => frames!["MDPW02", verb, token, ""],
            b"MDPW03" => frames!["MDPW03", verb, token, header(self.id(), &[])],
            other => panic!("{other:?} is no protocol"),
        };
        reply.0.extend_from_slice(body);
        reply
    }

    fn header(&self) -> Header {
        let frame = self.0.get(3).or(self.0.last()).expect("a header");
        Header::parse(&Bytes::copy_from_slice(frame)).expect("a valid header")
    }

    fn undelimited(&self) -> &[Vec<u8>] {
        match &self.0[..] {
            [first, rest @ ..] if first.is_empty() => rest,
            all => all,
        }
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |frame: &Vec<u8>| {
            let text = frame[..frame.len().min(80)].escape_ascii();
            format!("\"{text}\"({})", frame.len())
        };
        f.debug_list().entries(self.0.iter().map(shown)).finish()
    }
}

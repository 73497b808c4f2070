//! Commands to messages and back, as peers see them.
//!
//! MDP/0.3 goes through the library's side of the codec. The older dialects are written here frame
//! by frame, so that the broker's codec is not its own judge.

use plantd_mdp::{Dialect, Form, Token};
use plantd_zmtp::Message;

/// Makes a message of what a codec writes; `None` where the dialect has no such command.
pub(crate) fn assemble<'a>(
    encode: impl FnOnce(&mut Vec<u8>) -> Option<&'a Message>,
) -> Option<Message> {
    let mut encoded = Vec::new();
    let body = encode(&mut encoded);
    encoded.extend_from_slice(body.map_or(&[], |body| body.encoded()));
    (!encoded.is_empty()).then(|| Message::from_frames(split(&encoded)))
}

/// Splits an encoding into frames (RFC 37): MORE is set on all but the last.
fn split(mut encoded: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    let mut more = true;
    while let [flags, rest @ ..] = encoded {
        assert!(more, "a frame follows the last one");
        more = flags & 1 != 0;
        let (length, rest) = if flags & 2 == 0 {
            let (length, rest) = rest.split_first().expect("a length follows the flags");
            (usize::from(*length), rest)
        } else {
            let (length, rest) = rest
                .split_first_chunk()
                .expect("a length follows the flags");
            let length = usize::try_from(u64::from_be_bytes(*length));
            (length.expect("a length fits memory"), rest)
        };
        let (frame, rest) = rest.split_at(length);
        frames.push(frame);
        encoded = rest;
    }
    assert!(!more, "the last frame says that another follows");
    frames
}

/// What an older peer says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Say<'a> {
    Request(&'a str),
    Ready(&'a str),
    Partial(Token),
    Final(Token),
    Heartbeat,
    Disconnect,
}

/// Writes a command of an older dialect; `body` is empty where the command has none.
pub(crate) fn say(form: Form, command: Say<'_>, body: &Message) -> Message {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    if form.delimited {
        frames.push(Vec::new());
    }
    let role = if let Say::Request(_) = command {
        'C'
    } else {
        'W'
    };
    let version = if form.dialect == Dialect::Mdp01 { 1 } else { 2 };
    frames.push(format!("MDP{role}0{version}").into_bytes());
    let (byte, word, mdp01) = match command {
        Say::Request(_) => (1, "REQUEST", None),
        Say::Ready(_) => (1, "READY", Some(1)),
        Say::Partial(_) => (3, "PARTIAL", None),
        Say::Final(_) => (4, "FINAL", Some(3)),
        Say::Heartbeat => (5, "HEARTBEAT", Some(4)),
        Say::Disconnect => (6, "DISCONNECT", Some(5)),
    };
    match form.dialect {
        Dialect::Mdp01 => frames.extend(mdp01.map(|byte| vec![byte])),
        Dialect::Mdp02 => frames.push(vec![byte]),
        Dialect::Words => frames.push(word.into()),
        Dialect::Mdp03 => panic!("MDP/0.3 has a codec"),
    }
    match command {
        Say::Request(service) | Say::Ready(service) => frames.push(service.into()),
        Say::Partial(token) | Say::Final(token) => {
            frames.push(token.as_bytes().to_vec());
            if form.dialect != Dialect::Words {
                frames.push(Vec::new());
            }
        }
        Say::Heartbeat | Say::Disconnect => {}
    }
    Message::concat([&Message::from_frames(frames), body])
}

/// What an older peer hears.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Partial { service: String, body: Message },
    Final { service: String, body: Message },
    Request { token: Token, body: Message },
    Heartbeat,
    Disconnect,
}

/// Reads a command of the broker to an older peer; `None` for what its dialect does not have.
pub(crate) fn hear(form: Form, message: &Message) -> Option<Heard> {
    let mut frames = message.frames();
    let mut skipped = 0;
    if form.delimited && form.dialect != Dialect::Words {
        skipped += 1;
        if frames.next()? != b"" {
            return None;
        }
    }
    let protocol = frames.next()?;
    skipped += 1;
    let is_worker = protocol.starts_with(b"MDPW");
    let version: &[u8] = if form.dialect == Dialect::Mdp01 {
        b"01"
    } else {
        b"02"
    };
    if !protocol.ends_with(version) {
        return None;
    }
    if !is_worker && form.dialect == Dialect::Mdp01 {
        let service = String::from_utf8(frames.next()?.to_vec()).ok()?;
        let body = message.skip_frames(skipped + 1);
        return Some(Heard::Final { service, body });
    }
    let command = frames.next()?;
    skipped += 1;
    if !is_worker {
        let service = String::from_utf8(frames.next()?.to_vec()).ok()?;
        let body = message.skip_frames(skipped + 1);
        return match (form.dialect, command) {
            (Dialect::Mdp02, [2]) | (Dialect::Words, b"PARTIAL") => {
                Some(Heard::Partial { service, body })
            }
            (Dialect::Mdp02, [3]) | (Dialect::Words, b"FINAL") => {
                Some(Heard::Final { service, body })
            }
            _ => None,
        };
    }
    match (form.dialect, command) {
        (Dialect::Mdp01 | Dialect::Mdp02, [2]) | (Dialect::Words, b"REQUEST") => {
            let token = Token::parse(frames.next()?)?;
            let body = message.skip_frames(skipped + 2);
            (frames.next()? == b"").then_some(Heard::Request { token, body })
        }
        (Dialect::Mdp01, [4]) | (Dialect::Mdp02, [5]) | (Dialect::Words, b"HEARTBEAT") => {
            Some(Heard::Heartbeat)
        }
        (Dialect::Mdp01, [5]) | (Dialect::Mdp02, [6]) | (Dialect::Words, b"DISCONNECT") => {
            Some(Heard::Disconnect)
        }
        _ => None,
    }
}

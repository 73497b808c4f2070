//! Each dialect frame by frame, from text files, and what holds for any frames.
//!
//! `tests/reads.txt` says what the broker reads, `tests/writes.txt` what it writes, and
//! `tests/library.txt` what the library refuses. What the first two say of MDP/0.3 holds for the
//! library the other way around. `tests/notation.rs` tells how they are written.

mod arbitrary;
mod notation;

use bytes::BytesMut;
use plantd_zmtp::Message;

use self::notation::{Outbound, TOKEN, frames, inbound, lines, outbound, refusal};
use super::*;
use crate::command::{FromWorker, ToClient, ToWorker};

/// What an encoder wrote; nothing where the dialect has no such command.
fn written(encode: impl FnOnce(&mut BytesMut) -> Option<Message>) -> Option<BytesMut> {
    let mut wire = BytesMut::new();
    let body = encode(&mut wire);
    assert_eq!(
        body.is_none(),
        wire.is_empty(),
        "an envelope without its end"
    );
    wire.extend_from_slice(body?.encoded());
    Some(wire)
}

fn written_by_library(command: &Inbound) -> BytesMut {
    let wire = written(|out| {
        let body = match command {
            Inbound::Client(command) => command.encode(out),
            Inbound::Worker(command) => command.encode(out),
        };
        Some(body.cloned().unwrap_or_default())
    });
    wire.expect("MDP/0.3 has every command")
}

fn written_by_broker(form: Form, command: &Outbound) -> Option<BytesMut> {
    written(|out| match command {
        Outbound::Client(command) => command.encode(form, out).cloned(),
        Outbound::Worker(command) => command.encode(form, out).cloned(),
    })
}

#[test]
fn the_broker_reads_each_line() {
    for (line, left, right) in lines(include_str!("tests/reads.txt")) {
        let message = Message::from_frames(frames(left));
        let expected = match right.strip_prefix("refused ") {
            Some(why) => Err(refusal(why)),
            None => Ok(inbound(right)),
        };
        assert_eq!(decode(&message, None), expected, "reads.txt:{line} {left}");
    }
}

#[test]
fn the_library_writes_what_the_broker_reads() {
    let mut checked = 0;
    for (line, left, right) in lines(include_str!("tests/reads.txt")) {
        if right.starts_with("mdp03 ") && !left.ends_with("\"extra\"") {
            let (_, command) = inbound(right);
            let message = Message::from_frames(frames(left));
            let wire = written_by_library(&command);
            assert_eq!(wire[..], message.encoded()[..], "reads.txt:{line} {right}");
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked} lines of MDP/0.3");
}

#[test]
fn the_broker_writes_each_line() {
    for (line, left, right) in lines(include_str!("tests/writes.txt")) {
        let (form, command) = outbound(left);
        let wire = written_by_broker(form, &command);
        let expected = (right != "nothing").then(|| Message::from_frames(frames(right)));
        let expected = expected.as_ref().map(|message| &message.encoded()[..]);
        assert_eq!(wire.as_deref(), expected, "writes.txt:{line} {left}");
    }
}

#[test]
fn the_library_reads_what_the_broker_writes() {
    let mut checked = 0;
    for (line, left, right) in lines(include_str!("tests/writes.txt")) {
        if left.starts_with("mdp03 ") {
            let (_, command) = outbound(left);
            let read = read_by_library(&command, &Message::from_frames(frames(right)));
            assert_eq!(read, Ok(Some(command)), "writes.txt:{line} {right}");
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked} lines of MDP/0.3");
}

/// Reads a message as the peer that `like` is for.
fn read_by_library(like: &Outbound, message: &Message) -> Result<Option<Outbound>, InvalidReply> {
    match like {
        Outbound::Client(_) => ToClient::decode(message).map(|it| it.map(Outbound::Client)),
        Outbound::Worker(_) => ToWorker::decode(message).map(|it| it.map(Outbound::Worker)),
    }
}

#[test]
fn the_library_refuses_each_line() {
    for (line, left, right) in lines(include_str!("tests/library.txt")) {
        let message = Message::from_frames(frames(left));
        let (role, expected) = right.split_once(": ").expect("a role and what it says");
        let read = match role {
            "client" => ToClient::decode(&message).map(|command| command.is_some()),
            "worker" => ToWorker::decode(&message).map(|command| command.is_some()),
            other => panic!("library.txt:{line} {other} is no role"),
        };
        let said = match read {
            Ok(true) => "a command".to_owned(),
            Ok(false) => "later".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected, "library.txt:{line} {left}");
    }
}

#[test]
fn a_known_service_is_read_as_any_other() {
    let known = "echo".parse().unwrap();
    for name in ["echo", "ech", "echoe", "Echo", ""] {
        let message = Message::from_frames(["MDPC02", "\u{1}", name, "x"]);
        assert_eq!(
            decode(&message, Some(&known)),
            decode(&message, None),
            "{name}"
        );
    }
}

/// MORE on the last frame would be a broken message, where this is one without a body.
#[test]
fn a_reply_without_a_body_is_a_whole_message() {
    let reply = FromWorker::Final {
        token: *TOKEN,
        header: crate::Header::new(1),
        body: Message::EMPTY,
    };
    let expected = Message::from_frames(frames("\"MDPW03\" 04 T @1"));
    let wire = written_by_library(&Inbound::Worker(reply));
    assert_eq!(wire[..], expected.encoded()[..]);
}

//! The state service as a load asks it: MDP/0.3, two frames, JSON.

use anyhow::bail;

use super::{Found, Keys, Pieces, SCOPE, Script};
use crate::state::case::Operation;
use crate::template::{Mark, Template};
use crate::zmtp::encode;

const SERVICE: &[u8] = b"org.plantd.State";
const PROTOCOL: &[u8] = b"MDPC03";
const REQUEST: u8 = 1;
const FINAL: u8 = 3;
/// A header without properties, whose id is written later.
const NO_ID: [u8; 8] = [0; 8];

pub(super) fn script(operation: Operation, keys: Keys) -> Script {
    let place = format!("{{\"scope\":\"{SCOPE}\",\"key\":\"");
    let (name, json, answer) = match operation {
        Operation::Set => (
            "state-set",
            Pieces::new(keys)
                .text(&place)
                .key()
                .text("\",\"echo\":false,\"value\":")
                .value()
                .text("}"),
            Pieces::new(keys).text("{\"success\":true,"),
        ),
        Operation::Get => (
            "state-get",
            Pieces::new(keys).text(&place).key().text("\"}"),
            Pieces::new(keys)
                .text("{\"success\":true,\"data\":")
                .text(&place)
                .key()
                .text("\",\"value\":")
                .value(),
        ),
    };
    let Pieces { bytes, marks, .. } = json;
    let message = encode(&[
        PROTOCOL,
        &[REQUEST],
        SERVICE,
        &NO_ID,
        name.as_bytes(),
        &bytes,
    ]);
    let json_at = message.contents[5];
    let mut marks: Vec<Mark> = marks.into_iter().map(|mark| mark.moved(json_at)).collect();
    marks.push(Mark::Binary {
        at: message.contents[3],
    });
    Script {
        request: Template::new(message.bytes, 0, marks),
        answer: answer.template(),
        interlude: None,
        find,
    }
}

/// Finds a FINAL.
fn find(held: &[u8]) -> anyhow::Result<Option<Found>> {
    let mut at = 0;
    let mut number = None;
    for index in 0.. {
        let Some((content, more)) = frame(held, at) else {
            return Ok(None);
        };
        let frame = &held[content.clone()];
        let is_right = match index {
            0 => frame == PROTOCOL,
            1 => frame == [FINAL],
            2 => frame == SERVICE,
            3 => {
                let id = frame.first_chunk().copied();
                number = id.map(u64::from_be_bytes);
                number.is_some()
            }
            _ => !more,
        };
        if !is_right || (index < 4 && !more) {
            bail!("no reply: {}", held[..content.end].escape_ascii());
        }
        if !more {
            return Ok(Some(Found {
                length: content.end,
                number,
                body: content,
            }));
        }
        at = content.end;
    }
    Ok(None)
}

/// The content of the frame that begins here, and whether another one follows.
fn frame(held: &[u8], at: usize) -> Option<(std::ops::Range<usize>, bool)> {
    let flags = *held.get(at)?;
    let (size, start) = if flags & 2 == 0 {
        (usize::from(*held.get(at + 1)?), at + 2)
    } else {
        let size = held.get(at + 1..)?.first_chunk().copied()?;
        (usize::try_from(u64::from_be_bytes(size)).ok()?, at + 9)
    };
    let content = start..start.checked_add(size)?;
    (content.end <= held.len()).then_some((content, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(command: u8, body: &[u8]) -> Vec<u8> {
        let id = 7u64.to_be_bytes();
        encode(&[PROTOCOL, &[command], SERVICE, &id, body]).bytes
    }

    #[test]
    fn a_reply_is_found_when_it_is_whole_whatever_its_size() {
        for size in [1, 200, 300] {
            let body = vec![b'x'; size];
            let mut held = reply(FINAL, &body);
            let length = held.len();
            for end in 0..length {
                assert_eq!(find(&held[..end]).unwrap(), None);
            }
            held.extend(b"\x01\x06MDPC");
            let found = find(&held).unwrap().expect("it is whole");
            assert_eq!((found.length, found.number), (length, Some(7)));
            assert_eq!(held[found.body], body);
        }
    }

    #[test]
    fn an_error_is_no_reply() {
        let error = find(&reply(4, b"")).unwrap_err().to_string();
        assert!(error.starts_with("no reply: "), "{error}");
    }
}

//! A bucket of NATS as a load asks it: what its clients do for put and get, on the wire.
//!
//! A put is a message to the bucket's stream that is acknowledged; a get is a direct one. Replies go
//! to one subject for each client and place of its window, which is the least work for the server.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, bail, ensure};

use super::{Found, Keys, Pieces, SCOPE, Script};
use crate::nats;
use crate::state::case::{HISTORY, Operation};
use crate::template::{Mark, Template};

/// What the subjects of replies begin with; the client, a dot and the digits of a place follow.
const INBOX: &str = "_INBOX.bench.";
const DIGITS: &str = "0000";

pub(super) fn client(address: &str, client: u64) -> io::Result<TcpStream> {
    nats::connect(address, &format!("SUB {INBOX}{client}.* 1\r\n"))
}

/// A connection that is sent every value that is put.
pub(crate) fn subscriber(address: &str) -> io::Result<TcpStream> {
    nats::connect(address, &format!("SUB $KV.{SCOPE}.> 1\r\n"))
}

/// Makes the bucket as the clients of NATS do, in files, with the server's way to sync them.
pub(crate) fn create_bucket(address: &str) -> anyhow::Result<()> {
    let mut stream = client(address, 0)?;
    let config = format!(
        r#"{{"name":"KV_{SCOPE}","subjects":["$KV.{SCOPE}.>"],"max_msgs_per_subject":{HISTORY},"storage":"file","retention":"limits","discard":"new","num_replicas":1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msg_size":-1,"max_consumers":-1,"allow_rollup_hdrs":true,"deny_delete":true,"allow_direct":true}}"#
    );
    let subject = format!("$JS.API.STREAM.CREATE.KV_{SCOPE}");
    let size = config.len();
    let asked = format!("PUB {subject} {INBOX}0.{DIGITS} {size}\r\n{config}\r\n");
    stream.write_all(asked.as_bytes())?;
    let mut held = Vec::new();
    let mut chunk = [0; 4096];
    let found = loop {
        let count = stream.read(&mut chunk)?;
        ensure!(count > 0, "nats-server closed the connection");
        held.extend_from_slice(&chunk[..count]);
        if let Some(found) = find(&held)? {
            break found;
        }
    };
    let answer = String::from_utf8_lossy(&held[found.body]);
    ensure!(!answer.contains("\"error\""), "no bucket: {answer}");
    Ok(())
}

pub(super) fn script(operation: Operation, keys: Keys, window: usize, client: u64) -> Script {
    let start = match operation {
        Operation::Set => format!("PUB $KV.{SCOPE}."),
        Operation::Get => format!("PUB $JS.API.DIRECT.GET.KV_{SCOPE}.$KV.{SCOPE}."),
    };
    let inbox = format!(" {INBOX}{client}.");
    let pieces = Pieces::new(keys).text(&start).key().text(&inbox);
    let inbox_at = pieces.bytes.len();
    let pieces = pieces.text(DIGITS);
    let (pieces, answer) = match operation {
        Operation::Set => (
            pieces
                .text(&format!(" {}\r\n", super::VALUE_BYTES))
                .value()
                .text("\r\n"),
            Pieces::new(keys).text(&format!("{{\"stream\":\"KV_{SCOPE}\",")),
        ),
        Operation::Get => (pieces.text(" 0\r\n\r\n"), Pieces::new(keys).value()),
    };
    let Pieces {
        bytes, mut marks, ..
    } = pieces;
    marks.push(Mark::Digits {
        at: inbox_at,
        count: DIGITS.len(),
        stride: 1,
        modulus: window as u64,
    });
    Script {
        request: Template::new(bytes, 0, marks),
        answer: answer.template(),
        interlude: Some(nats::interlude()),
        find,
    }
}

/// Finds a message to an inbox: `MSG subject sid size` or `HMSG subject sid header-size size`, with
/// two spaces where a subject to reply to could be.
fn find(held: &[u8]) -> anyhow::Result<Option<Found>> {
    let Some(end) = held.windows(2).position(|two| two == b"\r\n") else {
        return Ok(None);
    };
    let line = str::from_utf8(&held[..end]).context("a line is no text")?;
    let mut words = line.split_ascii_whitespace();
    let has_header = match words.next() {
        Some("MSG") => false,
        Some("HMSG") => true,
        Some(_) | None => bail!("nats-server sent {line:?}"),
    };
    let inbox = words.next().and_then(|it| it.strip_prefix(INBOX));
    let place = inbox.and_then(|it| it.split_once('.'));
    let place = place.and_then(|(_, digits)| u64::from_str_radix(digits, 16).ok());
    let mut sizes = words.rev().map(str::parse::<usize>);
    let size = sizes.next();
    let header_size = if has_header {
        sizes.next()
    } else {
        Some(Ok(0))
    };
    let (Some(place), Some(Ok(header_size)), Some(Ok(size))) = (place, header_size, size) else {
        bail!("nats-server sent {line:?}");
    };
    let start = end + 2;
    let length = start + size + 2;
    if held.len() < length {
        return Ok(None);
    }
    Ok(Some(Found {
        length,
        number: Some(place),
        body: start + header_size..start + size,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_when_it_is_whole_with_a_header_or_without() {
        let plain = "MSG _INBOX.bench.7.01f3 1  5\r\nhello\r\n";
        let header = "HMSG _INBOX.bench.7.01f3 1 12 17\r\nNATS/1.0\r\n\r\nhello\r\n";
        for message in [plain, header] {
            for end in 0..message.len() {
                assert_eq!(find(&message.as_bytes()[..end]).unwrap(), None);
            }
            let held = format!("{message}MSG ");
            let found = find(held.as_bytes()).unwrap().expect("it is whole");
            assert_eq!((found.length, found.number), (message.len(), Some(0x1f3)));
            assert_eq!(&held[found.body], "hello");
        }
    }

    #[test]
    fn what_is_no_message_is_told() {
        for wrong in [
            "-ERR 'x'\r\n",
            "MSG other 1 5\r\n",
            "MSG _INBOX.bench.0.0000 1 x\r\n",
        ] {
            let error = find(wrong.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("nats-server sent"), "{error}");
        }
    }
}

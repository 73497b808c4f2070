//! Redis as a load asks it: RESP.

use std::io::{self, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, bail, ensure};

use super::{Found, KEY, Keys, Pieces, Script, VALUE_BYTES};
use crate::state::case::Operation;

pub(super) fn client(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection that is told of every key that is set.
pub(crate) fn subscriber(address: &str) -> io::Result<TcpStream> {
    let mut stream = client(address)?;
    stream.write_all(b"*2\r\n$9\r\nSUBSCRIBE\r\n$18\r\n__keyevent@0__:set\r\n")?;
    Ok(stream)
}

pub(super) fn script(operation: Operation, keys: Keys) -> Script {
    let (start, answer) = match operation {
        Operation::Set => ("*3\r\n$3\r\nSET\r\n", Pieces::new(keys).text("OK")),
        Operation::Get => ("*2\r\n$3\r\nGET\r\n", Pieces::new(keys).value()),
    };
    let key = format!("${}\r\n", KEY.len());
    let request = Pieces::new(keys).text(start).text(&key).key().text("\r\n");
    let request = match operation {
        Operation::Set => {
            let size = format!("${VALUE_BYTES}\r\n");
            request.text(&size).value().text("\r\n")
        }
        Operation::Get => request,
    };
    Script {
        request: request.template(),
        answer: answer.template(),
        interlude: None,
        find,
    }
}

/// Finds `+OK` or a bulk string.
fn find(held: &[u8]) -> anyhow::Result<Option<Found>> {
    let Some(end) = held.windows(2).position(|two| two == b"\r\n") else {
        return Ok(None);
    };
    let line = str::from_utf8(&held[..end]).context("a line is no text")?;
    let (body, length) = if line.starts_with('+') {
        (1..end, end + 2)
    } else if let Some(size) = line.strip_prefix('$') {
        let size: usize = size
            .parse()
            .with_context(|| format!("redis-server sent {line:?}"))?;
        let start = end + 2;
        (start..start + size, start + size + 2)
    } else {
        bail!("redis-server sent {line:?}");
    };
    if held.len() < length {
        return Ok(None);
    }
    ensure!(held[..length].ends_with(b"\r\n"), "a reply has no end");
    Ok(Some(Found {
        length,
        number: None,
        body,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_found_when_it_is_whole() {
        for (reply, body) in [("+OK\r\n", "OK"), ("$5\r\nhello\r\n", "hello")] {
            for end in 0..reply.len() {
                assert_eq!(find(&reply.as_bytes()[..end]).unwrap(), None);
            }
            let held = format!("{reply}+");
            let found = find(held.as_bytes()).unwrap().expect("it is whole");
            assert_eq!((found.length, &held[found.body]), (reply.len(), body));
        }
    }

    #[test]
    fn errors_and_missing_values_are_told() {
        for wrong in ["-ERR x\r\n", "$-1\r\n"] {
            let error = find(wrong.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("redis-server sent"), "{error}");
        }
    }
}

//! Commands: what is in them and how they are written (RFC 37, "Commands").

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use super::Violation;
use crate::frame;

/// The longest context of a PING.
const PING_CONTEXT_BYTES: usize = 16;

/// A command, as far as this side knows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    Ready { metadata: &'a [u8] },
    Error { text: &'a [u8] },
    Subscribe { topic: &'a [u8] },
    Cancel { topic: &'a [u8] },
    Ping { ttl: Duration, context: &'a [u8] },
    Pong { context: &'a [u8] },
    Unknown,
}

impl<'a> Command<'a> {
    /// Reads the body of a command frame. Names are compared without case.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Violation> {
        let (&name_len, rest) = body.split_first().ok_or(Violation::BadCommand)?;
        let (name, data) = rest
            .split_at_checked(name_len.into())
            .ok_or(Violation::BadCommand)?;
        if name.is_empty() {
            return Err(Violation::BadCommand);
        }
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        Ok(if is("PING") {
            parse_ping(data)?
        } else if is("PONG") {
            Self::Pong { context: data }
        } else if is("SUBSCRIBE") {
            Self::Subscribe { topic: data }
        } else if is("CANCEL") {
            Self::Cancel { topic: data }
        } else if is("READY") {
            Self::Ready { metadata: data }
        } else if is("ERROR") {
            Self::Error {
                text: error_text(data),
            }
        } else {
            Self::Unknown
        })
    }
}

/// "The ping-ttl is a 16-bit unsigned integer in network order […] measured in tenths of seconds."
fn parse_ping(data: &[u8]) -> Result<Command<'_>, Violation> {
    let (ttl, context) = data.split_first_chunk().ok_or(Violation::BadCommand)?;
    if context.len() > PING_CONTEXT_BYTES {
        return Err(Violation::PingContext {
            bytes: context.len(),
        });
    }
    Ok(Command::Ping {
        ttl: Duration::from_millis(100) * u32::from(u16::from_be_bytes(*ttl)),
        context,
    })
}

/// The reason in an ERROR command, which is only ever shown: what there is of it is enough.
fn error_text(data: &[u8]) -> &[u8] {
    match data.split_first() {
        Some((&len, text)) => text.get(..len.into()).unwrap_or(text),
        None => data,
    }
}

/// Appends a command whose body is the name and `data`.
fn put(out: &mut BytesMut, name: &str, data: &[u8]) {
    frame::put_header(out, frame::COMMAND, 1 + name.len() + data.len());
    out.put_u8(name.len() as u8);
    out.put_slice(name.as_bytes());
    out.put_slice(data);
}

pub(crate) fn put_ready(out: &mut BytesMut, metadata: &[u8]) {
    put(out, "READY", metadata);
}

/// Appends an ERROR command; `text` is cut at 255 bytes.
pub(crate) fn put_error(out: &mut BytesMut, text: &str) {
    let text = &text.as_bytes()[..text.len().min(u8::MAX.into())];
    let mut data = vec![text.len() as u8];
    data.extend_from_slice(text);
    put(out, "ERROR", &data);
}

/// Appends a PING without context. Its TTL is zero: a peer that hears from us only when we have
/// something to say must not take silence for death.
pub(crate) fn put_ping(out: &mut BytesMut) {
    put(out, "PING", &[0, 0]);
}

/// Appends a PING that is answered with the same eight bytes.
pub(crate) fn put_mark(out: &mut BytesMut, mark: u64) {
    let mut data = [0; 10];
    data[2..].copy_from_slice(&mark.to_be_bytes());
    put(out, "PING", &data);
}

pub(crate) fn put_subscribe(out: &mut BytesMut, topic: &[u8]) {
    put(out, "SUBSCRIBE", topic);
}

pub(crate) fn put_cancel(out: &mut BytesMut, topic: &[u8]) {
    put(out, "CANCEL", topic);
}

pub(crate) fn put_pong(out: &mut BytesMut, context: &[u8]) {
    put(out, "PONG", context);
}

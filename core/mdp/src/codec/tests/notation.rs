//! How the vectors are written.
//!
//! A line is two sides with `=>` between them; one that begins with `//` is a comment. Words are
//! separated by spaces.
//!
//! A frame is text in quotes, bytes in hexadecimal, `T` for the token `101112…1f`, `U` for another,
//! or `@7` for the header with this id, followed by its properties in brackets:
//! `@7[retry=never,window=3]`.
//!
//! A command is its form (`mdp01`, `mdp02`, `words`, `mdp03`, with `+` where the peer sends an
//! empty frame first), its name, its fields as frames, and its body after `|`. A refusal is its
//! reason, then `by` with form and role, then `id`, where those could be read.

use std::sync::LazyLock;

use bytes::Bytes;
use plantd_zmtp::Message;

use super::super::{Dialect, Form, Inbound, Refusal, Role};
use crate::command::{FromClient, FromWorker, ToClient, ToWorker};
use crate::{Header, Properties, Rejection, ServiceName, Token};

pub(super) static TOKEN: LazyLock<Token> =
    LazyLock::new(|| Token::new(0x1011_1213_1415_1617, 0x1819_1a1b_1c1d_1e1f));

/// A command that the broker writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outbound {
    Client(ToClient),
    Worker(ToWorker),
}

/// The number of each line that is no comment, and its two sides.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let numbered = text
        .lines()
        .zip(1..)
        .map(|(line, number)| (number, line.trim()));
    let lines = numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with("//"));
    lines.map(|(number, line)| {
        let (left, right) = line.split_once("=>").expect("two sides");
        (number, left.trim(), right.trim())
    })
}

pub(super) fn frames(words: &str) -> Vec<Vec<u8>> {
    words.split_whitespace().map(frame).collect()
}

fn frame(word: &str) -> Vec<u8> {
    if let Some(text) = word.strip_prefix('"') {
        return text.strip_suffix('"').expect("a closing quote").into();
    }
    match word {
        "T" => return TOKEN.as_bytes().to_vec(),
        "U" => return vec![0xee; Token::BYTES],
        _ => {}
    }
    match word.strip_prefix('@') {
        Some(header) => header_frame(header),
        None => hex(word),
    }
}

fn hex(word: &str) -> Vec<u8> {
    let digits = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    word.as_bytes().chunks(2).map(digits).collect()
}

/// A header by hand, so that the code under test does not write what it reads.
fn header_frame(word: &str) -> Vec<u8> {
    let (id, rest) = word.split_once('[').unwrap_or((word, "]"));
    let mut frame = id.parse::<u64>().expect("an id").to_be_bytes().to_vec();
    let pairs = rest
        .strip_suffix(']')
        .expect("a closing bracket")
        .split(',');
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').expect("a property");
        frame.push(name.len() as u8);
        frame.extend(name.as_bytes());
        frame.extend((value.len() as u32).to_be_bytes());
        frame.extend(value.as_bytes());
    }
    frame
}

/// Form, name, fields and body of a command.
struct Command<'a> {
    form: Form,
    name: &'a str,
    fields: Vec<Vec<u8>>,
    body: Message,
}

impl<'a> Command<'a> {
    fn read(words: &'a str) -> Self {
        let (envelope, body) = words.split_once('|').unwrap_or((words, ""));
        let mut envelope = envelope.split_whitespace();
        Self {
            form: form(envelope.next().expect("a form")),
            name: envelope.next().expect("a name"),
            fields: envelope.map(frame).collect(),
            body: Message::from_frames(frames(body)),
        }
    }

    fn service(&self) -> ServiceName {
        ServiceName::parse(&self.fields[0]).expect("a service")
    }

    fn token(&self) -> Token {
        Token::parse(&self.fields[0]).expect("a token")
    }

    /// The header among the fields, or the one of dialects without any.
    fn header(&self, index: usize) -> Header {
        let Some(frame) = self.fields.get(index) else {
            return Header::default();
        };
        let (id, properties) = frame.split_first_chunk().expect("an id");
        let properties = Properties::parse(Bytes::copy_from_slice(properties));
        Header {
            id: u64::from_be_bytes(*id),
            properties: properties.expect("properties"),
        }
    }
}

fn form(word: &str) -> Form {
    let dialect = match word.trim_end_matches('+') {
        "mdp01" => Dialect::Mdp01,
        "mdp02" => Dialect::Mdp02,
        "words" => Dialect::Words,
        "mdp03" => Dialect::Mdp03,
        other => panic!("{other} is no dialect"),
    };
    Form {
        dialect,
        delimited: word.ends_with('+'),
    }
}

pub(super) fn inbound(words: &str) -> (Form, Inbound) {
    let it = Command::read(words);
    let (service, token, body) = (|| it.service(), || it.token(), it.body.clone());
    let command = match it.name {
        "client.request" => Inbound::Client(FromClient::Request {
            service: service(),
            header: it.header(1),
            body,
        }),
        "client.cancel" => Inbound::Client(FromClient::Cancel {
            service: service(),
            header: it.header(1),
        }),
        "client.more" => Inbound::Client(FromClient::More {
            service: service(),
            header: it.header(1),
        }),
        "worker.ready" => Inbound::Worker(FromWorker::Ready {
            service: service(),
            header: it.header(1),
        }),
        "worker.partial" => Inbound::Worker(FromWorker::Partial {
            token: token(),
            header: it.header(1),
            body,
        }),
        "worker.final" => Inbound::Worker(FromWorker::Final {
            token: token(),
            header: it.header(1),
            body,
        }),
        "worker.error" => Inbound::Worker(FromWorker::Error {
            token: token(),
            header: it.header(1),
        }),
        "worker.heartbeat" => Inbound::Worker(FromWorker::Heartbeat {
            header: it.header(0),
        }),
        "worker.disconnect" => Inbound::Worker(FromWorker::Disconnect),
        other => panic!("{other} is no command to the broker"),
    };
    (it.form, command)
}

pub(super) fn outbound(words: &str) -> (Form, Outbound) {
    let it = Command::read(words);
    let (service, token, body) = (|| it.service(), || it.token(), it.body.clone());
    let command = match it.name {
        "client.partial" => Outbound::Client(ToClient::Partial {
            service: service(),
            header: it.header(1),
            body,
        }),
        "client.final" => Outbound::Client(ToClient::Final {
            service: service(),
            header: it.header(1),
            body,
        }),
        "client.error" => Outbound::Client(ToClient::Error {
            service: ServiceName::parse(&it.fields[0]).ok(),
            header: it.header(1),
        }),
        "worker.welcome" => Outbound::Worker(ToWorker::Welcome {
            service: service(),
            header: it.header(1),
        }),
        "worker.request" => Outbound::Worker(ToWorker::Request {
            token: token(),
            header: it.header(1),
            body,
        }),
        "worker.cancel" => Outbound::Worker(ToWorker::Cancel {
            token: token(),
            header: it.header(1),
        }),
        "worker.more" => Outbound::Worker(ToWorker::More {
            token: token(),
            header: it.header(1),
        }),
        "worker.heartbeat" => Outbound::Worker(ToWorker::Heartbeat),
        "worker.disconnect" => Outbound::Worker(ToWorker::Disconnect {
            header: it.header(0),
        }),
        other => panic!("{other} is no command of the broker"),
    };
    (it.form, command)
}

pub(super) fn refusal(words: &str) -> Refusal {
    let mut words = words.split_whitespace();
    let reason = words.next().expect("a reason");
    let mut refusal = Refusal {
        reason: Rejection::ALL
            .into_iter()
            .find(|known| known.as_str() == reason)
            .expect("a reason that exists"),
        speaker: None,
        request: None,
    };
    while let Some(word) = words.next() {
        let value = words.next().expect("a value");
        match word {
            "by" => {
                let role = match words.next() {
                    Some("client") => Role::Client,
                    Some("worker") => Role::Worker,
                    other => panic!("{other:?} is no role"),
                };
                refusal.speaker = Some((role, form(value)));
            }
            "id" => refusal.request = Some(value.parse().expect("an id")),
            other => panic!("{other} is nothing of a refusal"),
        }
    }
    refusal
}

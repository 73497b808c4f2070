//! Majordomo as a load speaks it.

use std::io::{self, Write as _};
use std::net::TcpStream;

use super::{Part, Script, body, service_name};
use crate::inbound::Interlude;
use crate::request::case::{Case, Dialect};
use crate::template::{Mark, Template};
use crate::zmtp::{self, Encoded, encode};

/// Commands between client and broker.
const REQUEST: u8 = 1;
const FINAL: u8 = 3;
/// Requests that an MDP/0.3 worker takes at once.
const CREDIT: &str = "500";
/// The name of the service whose workers are never asked.
const IDLE: &[u8] = b"org.plantd.bench.Idle";
/// The header of an MDP/0.3 message without properties, whose id is written later or 0.
const NO_ID: [u8; 8] = [0; 8];

pub(super) fn script(case: &Case, dialect: Dialect, address_bytes: usize) -> Script {
    let body = body(case);
    let mut requests = Vec::new();
    let mut replies = Vec::new();
    let mut number_at = 0;
    for service in 0..case.services {
        let name = service_name(service);
        let request = asked(dialect, REQUEST, name.as_bytes(), &body);
        let reply = asked(dialect, FINAL, name.as_bytes(), &body);
        number_at = last(&reply);
        requests.push(numbered(dialect, request));
        replies.push(numbered(dialect, reply));
    }
    let part = part(dialect, address_bytes, &body);
    Script {
        requests,
        replies,
        number_at,
        interlude: None,
        parts: vec![part; case.services],
    }
}

/// REQUEST or FINAL between client and broker.
fn asked(dialect: Dialect, command: u8, service: &[u8], body: &[u8]) -> Encoded {
    match dialect {
        Dialect::Mdp02 => encode(&[b"MDPC02", &[command], service, body]),
        Dialect::Mdp03 => encode(&[b"MDPC03", &[command], service, &NO_ID, body]),
    }
}

/// A client's message, numbered in its header, if it has one, and in its body.
fn numbered(dialect: Dialect, message: Encoded) -> Template {
    let mut marks = vec![Mark::Binary { at: last(&message) }];
    let head = match dialect {
        Dialect::Mdp02 => last(&message),
        Dialect::Mdp03 => {
            let at = message.contents[3];
            marks.push(Mark::Binary { at });
            at
        }
    };
    Template::new(message.bytes, head, marks)
}

/// REQUEST from the broker to a worker, and the worker's FINAL: address, header and body go back.
fn part(dialect: Dialect, address_bytes: usize, body: &[u8]) -> Part {
    let address = vec![0; address_bytes];
    let [request, reply] = [2, 4].map(|command| match dialect {
        Dialect::Mdp02 => encode(&[b"MDPW02", &[command], &address, b"", body]),
        Dialect::Mdp03 => encode(&[b"MDPW03", &[command], &address, &NO_ID, body]),
    });
    let head = request.contents[2];
    let heartbeat = encode(&[protocol(dialect), &[5]]).bytes;
    Part {
        repeated: head..last(&request) + 8,
        repeated_at: head,
        request: Template::new(request.bytes, head, Vec::new()),
        reply: Template::new(reply.bytes, head, Vec::new()),
        interlude: Some(Interlude {
            received: heartbeat.clone(),
            answer: heartbeat,
        }),
    }
}

fn protocol(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::Mdp02 => b"MDPW02",
        Dialect::Mdp03 => b"MDPW03",
    }
}

/// Where the last frame, the body, begins.
fn last(message: &Encoded) -> usize {
    *message.contents.last().expect("a message has a body")
}

pub(super) fn worker(address: &str, dialect: Dialect, service: usize) -> io::Result<TcpStream> {
    let name = service_name(service);
    let mut stream = zmtp::connect(address, "DEALER")?;
    match dialect {
        Dialect::Mdp02 => {
            stream.write_all(&encode(&[b"MDPW02", &[1], name.as_bytes()]).bytes)?;
        }
        Dialect::Mdp03 => {
            stream.write_all(&ready(name.as_bytes(), &[("credit", CREDIT)]))?;
            zmtp::skip_message(&mut stream)?;
        }
    }
    Ok(stream)
}

/// READY of an MDP/0.3 worker that is never asked and need not be heard for many minutes.
pub(crate) fn idle_ready() -> Vec<u8> {
    ready(IDLE, &[("heartbeat-ms", "60000"), ("liveness", "20")])
}

fn ready(service: &[u8], properties: &[(&str, &str)]) -> Vec<u8> {
    let mut header = NO_ID.to_vec();
    for (name, value) in properties {
        header.push(u8::try_from(name.len()).expect("names are short"));
        header.extend(name.as_bytes());
        header.extend(
            u32::try_from(value.len())
                .expect("values are short")
                .to_be_bytes(),
        );
        header.extend(value.as_bytes());
    }
    encode(&[b"MDPW03", &[1], service, &header]).bytes
}

/// The five frames of MDP/0.3's REQUEST, that every side returns as they are.
pub(super) fn forwarded(case: &Case) -> Script {
    let name = service_name(0);
    let message = asked(Dialect::Mdp03, REQUEST, name.as_bytes(), &body(case));
    let (id_at, number_at) = (message.contents[3], last(&message));
    let message = numbered(Dialect::Mdp03, message);
    let part = Part {
        request: message.clone(),
        reply: message.clone(),
        repeated: id_at..number_at + 8,
        repeated_at: id_at,
        interlude: None,
    };
    Script {
        requests: vec![message.clone(); case.services],
        replies: vec![message; case.services],
        number_at,
        interlude: None,
        parts: vec![part; case.services],
    }
}

/// A worker of a loop that forwards, which returns READY to say that it knows the worker.
pub(super) fn forwarded_worker(address: &str) -> io::Result<TcpStream> {
    let mut stream = zmtp::connect(address, "DEALER")?;
    stream.write_all(&ready(service_name(0).as_bytes(), &[]))?;
    zmtp::skip_message(&mut stream)?;
    Ok(stream)
}

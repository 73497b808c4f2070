//! NATS as a load speaks it: the same work with subjects of a fixed width.

use std::io;
use std::net::TcpStream;

use super::{Inboxes, Part, Script, body, service_name};
use crate::nats;
use crate::request::case::Case;
use crate::template::{Mark, Template};

/// What the subjects of replies begin with; sixteen digits follow.
const INBOX: &str = "_INBOX.bench.";
const DIGITS: &str = "0000000000000000";

pub(super) fn client(address: &str) -> io::Result<TcpStream> {
    nats::connect(address, &format!("SUB {INBOX}* 1\r\n"))
}

pub(super) fn worker(address: &str, service: usize) -> io::Result<TcpStream> {
    let subject = service_name(service);
    nats::connect(address, &format!("SUB {subject} workers 1\r\n"))
}

pub(super) fn script(case: &Case, inboxes: Inboxes) -> Script {
    let body = body(case);
    let modulus = match inboxes {
        Inboxes::Recycled => case.window as u64,
        Inboxes::Fresh => u64::MAX,
    };
    let reply = Line::new(&format!("MSG {INBOX}"), " 1", &body);
    let answer = Line::new(&format!("PUB {INBOX}"), "", &body);
    let interlude = nats::interlude();
    let mut requests = Vec::new();
    let mut parts = Vec::new();
    for service in 0..case.services {
        let subject = service_name(service);
        let request = Line::new(&format!("PUB {subject} {INBOX}"), "", &body);
        requests.push(request.template(modulus));
        let request = Line::new(&format!("MSG {subject} 1 {INBOX}"), "", &body);
        parts.push(Part {
            repeated: request.digits_at..request.number_at + 8,
            repeated_at: answer.digits_at,
            request: request.template(modulus),
            reply: answer.template(modulus),
            interlude: Some(interlude.clone()),
        });
    }
    Script {
        requests,
        number_at: reply.number_at,
        replies: vec![reply.template(modulus); case.services],
        interlude: Some(interlude),
        parts,
    }
}

/// PUB or MSG with its body.
struct Line {
    bytes: Vec<u8>,
    digits_at: usize,
    number_at: usize,
}

impl Line {
    /// `start`, the digits of an inbox, `end`, the size; then the body.
    fn new(start: &str, end: &str, body: &[u8]) -> Self {
        let mut bytes = format!("{start}{DIGITS}{end} {}\r\n", body.len()).into_bytes();
        let number_at = bytes.len();
        bytes.extend(body);
        bytes.extend(b"\r\n");
        Self {
            bytes,
            digits_at: start.len(),
            number_at,
        }
    }

    fn template(&self, modulus: u64) -> Template {
        let digits = Mark::Digits {
            at: self.digits_at,
            count: DIGITS.len(),
            stride: 1,
            modulus,
        };
        let number = Mark::Binary { at: self.number_at };
        Template::new(self.bytes.clone(), self.digits_at, vec![digits, number])
    }
}

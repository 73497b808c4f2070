//! What a client of a state service says in each language, encoded beforehand, and how a reply is
//! found in what was read.
//!
//! A request has a number. It is about one of so many keys, in an order that is no order of theirs
//! unless they are filled, and the value of a key is always the same, so that each value that is read
//! can be checked.

mod mdp;
mod nats;
mod redis;

use std::io;
use std::net::TcpStream;
use std::ops::Range;

use super::case::Operation;
use crate::inbound::Interlude;
use crate::template::{Mark, Template};

/// What every key begins with; eight digits follow.
const KEY: &str = "key.00000000";
const KEY_DIGITS_AT: usize = 4;
const KEY_DIGITS: usize = 8;
/// Bytes of a value as JSON, with its two quotes. They begin with the digits of its key.
const VALUE_BYTES: usize = 64;
/// The scope, the bucket.
const SCOPE: &str = "bench";
/// How far the keys of two requests in a row lie apart: a prime that no number of keys is a multiple
/// of, so that as many requests as there are keys are about each of them once.
const STRIDE: u64 = 7_919;

/// How a load speaks to a state service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// `state-set` and `state-get` by MDP/0.3.
    Mdp,
    /// Puts and direct gets of a bucket of NATS.
    Nats,
    /// SET and GET of Redis.
    Redis,
}

/// The keys that requests are about, in which order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    count: u64,
    stride: u64,
}

impl Keys {
    /// In no order of theirs.
    pub(super) fn scattered(count: u64) -> Self {
        Self {
            count,
            stride: STRIDE,
        }
    }

    /// One after the other.
    pub(super) fn in_order(count: u64) -> Self {
        Self { count, stride: 1 }
    }
}

/// Every message of a client.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) request: Template,
    /// What the body of a reply begins with; the value, when it was asked for.
    pub(super) answer: Template,
    /// What interrupts the client.
    pub(super) interlude: Option<Interlude>,
    /// Finds the first reply.
    pub(super) find: fn(&[u8]) -> anyhow::Result<Option<Found>>,
}

/// A reply among the bytes that were read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its bytes, from the first one on.
    pub(super) length: usize,
    /// The number of its request, or its place in the window, or nothing, where replies come in the
    /// order of their requests.
    pub(super) number: Option<u64>,
    pub(super) body: Range<usize>,
}

impl Language {
    /// The messages of a client, by its number, that has so many requests under way.
    pub(super) fn script(
        self,
        operation: Operation,
        keys: Keys,
        window: usize,
        client: u64,
    ) -> Script {
        match self {
            Self::Mdp => mdp::script(operation, keys),
            Self::Nats => nats::script(operation, keys, window, client),
            Self::Redis => redis::script(operation, keys),
        }
    }

    /// Connects the client of a number.
    pub(super) fn client(self, address: &str, client: u64) -> io::Result<TcpStream> {
        match self {
            Self::Mdp => crate::zmtp::connect(address, "DEALER"),
            Self::Nats => nats::client(address, client),
            Self::Redis => redis::client(address),
        }
    }
}

pub(super) use nats::{create_bucket, subscriber as nats_subscriber};
pub(super) use redis::subscriber as redis_subscriber;

/// The digits of a key, or of the value of one.
fn key_digits(at: usize, keys: Keys) -> Mark {
    Mark::Digits {
        at,
        count: KEY_DIGITS,
        stride: keys.stride,
        modulus: keys.count,
    }
}

/// A template of pieces, some of which are keys or values.
struct Pieces {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    keys: Keys,
}

impl Pieces {
    fn new(keys: Keys) -> Self {
        Self {
            bytes: Vec::new(),
            marks: Vec::new(),
            keys,
        }
    }

    fn text(mut self, text: &str) -> Self {
        self.bytes.extend(text.as_bytes());
        self
    }

    fn key(mut self) -> Self {
        let digits_at = self.bytes.len() + KEY_DIGITS_AT;
        self.marks.push(key_digits(digits_at, self.keys));
        self.text(KEY)
    }

    fn value(mut self) -> Self {
        // After the quote.
        let digits_at = self.bytes.len() + 1;
        self.marks.push(key_digits(digits_at, self.keys));
        let filled = "x".repeat(VALUE_BYTES - 2);
        self.text(&format!("\"{filled}\""))
    }

    /// Where nothing is marked before, every byte counts.
    fn template(self) -> Template {
        let marked = self.marks.iter().map(|mark| mark.at());
        let head = marked.min().unwrap_or(self.bytes.len());
        Template::new(self.bytes, head, self.marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: u64 = 3;
    const KEYS: u64 = 10_000;
    /// Three times the stride, within 10,000 keys.
    const WANTED: u64 = 3 * STRIDE % KEYS;

    fn request(language: Language, operation: Operation) -> String {
        let mut bytes = Vec::new();
        let script = language.script(operation, Keys::scattered(KEYS), 500, 0);
        script.request.append(NUMBER, &mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn every_language_names_the_key_and_gives_the_value_of_it() {
        let key = format!("key.{WANTED:08x}");
        let value = format!("\"{WANTED:08x}{}\"", "x".repeat(54));
        assert_eq!(value.len(), VALUE_BYTES);
        for language in [Language::Mdp, Language::Nats, Language::Redis] {
            let set = request(language, Operation::Set);
            assert!(set.contains(&key) && set.contains(&value), "{set}");
            let get = request(language, Operation::Get);
            assert!(get.contains(&key) && !get.contains("xxx"), "{get}");
        }
    }

    #[test]
    fn as_many_requests_as_keys_are_about_each_key_once() {
        let script = Language::Redis.script(Operation::Get, Keys::scattered(1_000), 1, 0);
        let requests = (1..=1_000).map(|number| {
            let mut bytes = Vec::new();
            script.request.append(number, &mut bytes);
            bytes
        });
        let distinct: std::collections::BTreeSet<_> = requests.collect();
        assert_eq!(distinct.len(), 1_000);
    }
}

//! What publisher and subscribers say in each language, encoded beforehand.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::TcpStream;

use super::case::Case;
use crate::inbound::Interlude;
use crate::nats;
use crate::template::{Mark, Template};
use crate::zmtp::{self, encode};

/// What every topic begins with; digits follow.
const TOPIC: &str = "org.plantd.bench.";
const DIGITS: &str = "0000";

/// How a load speaks to a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// Two frames, topic and body; subscriptions as messages, as ZMTP 3.0 has them.
    Zmtp,
    Nats,
}

/// Every message of a load.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) published: Template,
    pub(super) received: Template,
    /// What interrupts publisher and subscribers.
    pub(super) interlude: Option<Interlude>,
}

impl Language {
    /// The messages of a case.
    pub(super) fn script(self, case: &Case) -> Script {
        let topics = case.subscriptions as u64;
        let body = vec![b'x'; case.body_bytes];
        match self {
            Self::Zmtp => {
                let topic = format!("{TOPIC}{DIGITS}");
                let message = encode(&[topic.as_bytes(), &body]);
                let marks = vec![
                    digits(message.contents[0] + TOPIC.len(), topics),
                    Mark::Binary {
                        at: message.contents[1],
                    },
                ];
                let head = message.contents[0] + TOPIC.len();
                let message = Template::new(message.bytes, head, marks);
                Script {
                    published: message.clone(),
                    received: message,
                    interlude: None,
                }
            }
            Self::Nats => Script {
                published: line("PUB", "", &body, topics),
                received: line("MSG", DIGITS, &body, topics),
                interlude: Some(nats::interlude()),
            },
        }
    }

    /// Connects a publisher.
    pub(super) fn publisher(self, address: &str) -> io::Result<TcpStream> {
        match self {
            Self::Zmtp => zmtp::connect(address, "PUB"),
            Self::Nats => nats::connect(address, ""),
        }
    }

    /// Connects a subscriber and sends its subscriptions, that of number 0 last.
    pub(super) fn subscriber(self, address: &str, case: &Case) -> io::Result<TcpStream> {
        let topics = (0..case.subscriptions).rev();
        match self {
            Self::Zmtp => {
                let mut stream = zmtp::connect(address, "SUB")?;
                let subscription = |topic| encode(&[format!("\x01{TOPIC}{topic:04x}").as_bytes()]);
                let subscriptions = topics.flat_map(|topic| subscription(topic).bytes);
                stream.write_all(&subscriptions.collect::<Vec<u8>>())?;
                Ok(stream)
            }
            Self::Nats => {
                let mut subscriptions = String::new();
                for topic in topics {
                    write!(subscriptions, "SUB {TOPIC}{topic:04x} {topic:04x}\r\n")
                        .expect("a string takes all");
                }
                nats::connect(address, &subscriptions)
            }
        }
    }
}

/// PUB or MSG with its body; MSG names the subscription.
fn line(verb: &str, subscription: &str, body: &[u8], topics: u64) -> Template {
    let start = format!("{verb} {TOPIC}");
    let topic_at = start.len();
    let mut marks = vec![digits(topic_at, topics)];
    let mut bytes = format!("{start}{DIGITS}").into_bytes();
    if !subscription.is_empty() {
        bytes.push(b' ');
        marks.push(digits(bytes.len(), topics));
        bytes.extend(subscription.as_bytes());
    }
    bytes.extend(format!(" {}\r\n", body.len()).as_bytes());
    marks.push(Mark::Binary { at: bytes.len() });
    bytes.extend(body);
    bytes.extend(b"\r\n");
    Template::new(bytes, topic_at, marks)
}

/// The topic of a message, by its number.
fn digits(at: usize, topics: u64) -> Mark {
    Mark::Digits {
        at,
        count: DIGITS.len(),
        stride: 1,
        modulus: topics,
    }
}

//! The library's worker against whatever a broker sends, and in whatever order.

use std::collections::BTreeSet;
use std::time::Duration;

use arbitrary::Arbitrary;
use plantd_mdp::command::{FromWorker, ToWorker};
use plantd_mdp::worker::{Config, Output, PartSent, Terms};
use plantd_mdp::{Form, Properties, ReconnectDelays, Token, Worker};
use plantd_zmtp::Message;

use crate::clock;
use crate::codec::token;
use crate::input::{Part, Property, Which, header, message, steps};
use crate::wire;

/// How many tokens there are.
const TOKENS: u8 = 5;

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Opened,
    Closed,
    Welcome(Vec<Property>),
    Request(Which, Vec<Property>),
    Cancel(Which),
    More(Which, Vec<Property>),
    Disconnect,
    Frames(Vec<Part<'a>>),
    Partial(Which),
    Final(Which),
    Error(Which, bool),
    Passes(u16),
    Drain,
    Abandon,
}

/// Which requests are with the program.
#[derive(Default)]
struct Held {
    tokens: BTreeSet<Token>,
    has_left: bool,
}

impl Held {
    fn look_at(&mut self, output: Output) {
        assert!(!self.has_left, "{output:?} after Drained");
        match output {
            Output::Request { token, .. } => assert!(self.tokens.insert(token), "held twice"),
            Output::Send(FromWorker::Final { token, .. }) => {
                assert!(self.tokens.remove(&token), "answered twice");
            }
            Output::Send(FromWorker::Error { token, header }) => {
                let code = header.properties.get("code");
                let was_returned = matches!(code, Some("draining" | "busy"));
                assert!(self.tokens.remove(&token) || was_returned, "failed twice");
            }
            Output::Send(FromWorker::Partial { token, .. }) | Output::Room { token } => {
                assert!(self.tokens.contains(&token), "a part after the end");
            }
            Output::Lost(_) => self.tokens.clear(),
            Output::Drained => self.has_left = true,
            Output::Connect
            | Output::Close
            | Output::Registered(_)
            | Output::Cancel { .. }
            | Output::Send(
                FromWorker::Ready { .. } | FromWorker::Heartbeat { .. } | FromWorker::Disconnect,
            ) => {}
        }
    }

    fn look(&mut self, worker: &mut Worker) {
        worker.check_invariants();
        while let Some(output) = worker.poll_output() {
            self.look_at(output);
        }
        assert_eq!(self.tokens.len(), worker.held_count());
    }
}

/// Each request that the program holds ends once, and a worker that drains leaves.
pub fn worker(bytes: &[u8]) {
    let mut now = clock::start();
    let mut worker = Worker::new(config(), 1);
    let mut held = Held::default();
    held.look(&mut worker);
    for step in steps(bytes).take(300) {
        let none = Properties::default();
        let body = Message::from_frames(["body"]);
        match step {
            Step::Opened => worker.handle_opened(now),
            Step::Closed => worker.handle_closed(now),
            Step::Frames(parts) => worker.handle_message(&message(&parts), now),
            Step::Partial(which) => {
                let token = token(which.below(TOKENS));
                let is_held = worker.is_held(token);
                let sent = worker.send_partial(token, none, body, now);
                assert_eq!(sent == PartSent::Gone, !is_held);
            }
            Step::Final(which) => {
                worker.send_final(token(which.below(TOKENS)), none, body, now);
            }
            Step::Error(which, retryable) => {
                worker.send_error(token(which.below(TOKENS)), "no", "why", retryable, now);
            }
            Step::Passes(milliseconds) => {
                let end = now + Duration::from_millis(milliseconds.into());
                while let Some(due) = worker.poll_timeout().filter(|due| *due <= end) {
                    now = now.max(due);
                    worker.handle_timeout(now);
                    held.look(&mut worker);
                    let next = worker.poll_timeout();
                    assert!(next.is_none_or(|next| next > now), "a timer is stuck");
                }
                now = end;
            }
            Step::Drain => worker.drain(now),
            Step::Abandon => worker.abandon(now),
            Step::Welcome(_)
            | Step::Request(..)
            | Step::Cancel(_)
            | Step::More(..)
            | Step::Disconnect => worker.handle_message(&told(&step), now),
        }
        held.look(&mut worker);
    }
    worker.drain(now);
    worker.abandon(now);
    held.look(&mut worker);
    worker.handle_closed(now);
    held.look(&mut worker);
    assert!(held.tokens.is_empty(), "nothing is held after the end");
}

fn config() -> Config {
    Config {
        service: "echo".parse().expect("a name"),
        name: "w1".to_owned(),
        version: String::new(),
        offer: Terms {
            credit: 3,
            streams: 2,
            ..Terms::default()
        },
        reconnect: ReconnectDelays::default(),
    }
}

/// The message of a step that is a command of the broker's.
fn told(step: &Step<'_>) -> Message {
    let id = |which: &Which| u64::from(which.below(TOKENS));
    let token = |which: &Which| token(which.below(TOKENS));
    let command = match step {
        Step::Welcome(terms) => ToWorker::Welcome {
            service: "echo".parse().expect("a name"),
            header: header(0, terms),
        },
        Step::Request(which, properties) => ToWorker::Request {
            token: token(which),
            header: header(id(which), properties),
            body: Message::from_frames(["hi"]),
        },
        Step::Cancel(which) => ToWorker::Cancel {
            token: token(which),
            header: header(id(which), &[]),
        },
        Step::More(which, properties) => ToWorker::More {
            token: token(which),
            header: header(id(which), properties),
        },
        Step::Disconnect
        | Step::Opened
        | Step::Closed
        | Step::Frames(_)
        | Step::Partial(_)
        | Step::Final(_)
        | Step::Error(..)
        | Step::Passes(_)
        | Step::Drain
        | Step::Abandon => ToWorker::Disconnect {
            header: header(0, &[]),
        },
    };
    let written = wire::written(|out| command.encode(Form::MDP03, out));
    written.expect("MDP/0.3 has every command")
}

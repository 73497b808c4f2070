//! Arbitrary frames and orders of events: no panic, and each request ends once.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Opened,
    Closed,
    Frames(Vec<Vec<u8>>),
    Command(ToWorker),
    Partial(u8),
    Final(u8),
    Error(u8),
    Pass(u64),
    Drain,
    Abandon,
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"MDPW03".to_vec()),
        Just(Vec::new()),
        (0..0x0c_u8).prop_map(|command| vec![command]),
        (0..4_u8).prop_map(|number| token(number).as_bytes().to_vec()),
        Just(vec![0; 8]),
        vec(any::<u8>(), 0..24),
    ]
}

fn command() -> impl Strategy<Value = ToWorker> {
    let number = 0..4_u8;
    prop_oneof![
        Just(welcome(&[])),
        Just(welcome(&[("credit", "1"), ("streams", "1")])),
        Just(welcome(&[("credit", "many")])),
        Just(ToWorker::Heartbeat),
        Just(ToWorker::Disconnect {
            header: Header::default()
        }),
        (number.clone(), 0..3_u8).prop_map(|(number, window)| ToWorker::Request {
            token: token(number),
            header: header(number.into(), &[("window", &window.to_string())]),
            body: body("hi"),
        }),
        number.clone().prop_map(|number| ToWorker::Cancel {
            token: token(number),
            header: Header::new(number.into()),
        }),
        number.prop_map(|number| ToWorker::More {
            token: token(number),
            header: header(number.into(), &[("more", "1")]),
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Opened),
        1 => Just(Step::Closed),
        4 => vec(frame(), 0..6).prop_map(Step::Frames),
        16 => command().prop_map(Step::Command),
        3 => (0..4_u8).prop_map(Step::Partial),
        3 => (0..4_u8).prop_map(Step::Final),
        2 => (0..4_u8).prop_map(Step::Error),
        4 => (0..5000_u64).prop_map(Step::Pass),
        1 => Just(Step::Drain),
        1 => Just(Step::Abandon),
    ]
}

/// Which tokens are with handlers, and how often each attempt may still be ended.
#[derive(Default)]
struct Seen {
    held: BTreeSet<Token>,
    has_left: bool,
}

impl Seen {
    fn check(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            assert!(!self.has_left, "{output:?} after Drained");
            match output {
                Output::Request { token, .. } => assert!(self.held.insert(token)),
                Output::Send(FromWorker::Final { token, .. }) => assert!(self.held.remove(&token)),
                Output::Send(FromWorker::Error { token, header }) => {
                    let code = header.properties.get("code");
                    let was_never_held = matches!(code, Some("draining" | "busy"));
                    assert!(self.held.remove(&token) || was_never_held);
                }
                Output::Send(FromWorker::Partial { token, .. }) => {
                    assert!(self.held.contains(&token));
                }
                Output::Lost(_) => self.held.clear(),
                Output::Drained => self.has_left = true,
                Output::Connect
                | Output::Close
                | Output::Registered(_)
                | Output::Cancel { .. }
                | Output::Room { .. }
                | Output::Send(
                    FromWorker::Ready { .. }
                    | FromWorker::Heartbeat { .. }
                    | FromWorker::Disconnect,
                ) => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn every_held_request_ends_once_whatever_comes(steps in vec(step(), 0..120)) {
        let mut bench = Bench::new();
        let mut seen = Seen::default();
        for step in steps {
            let now = bench.now;
            let none = Properties::default();
            let worker = &mut bench.worker;
            match step {
                Step::Opened => worker.handle_opened(now),
                Step::Closed => worker.handle_closed(now),
                Step::Frames(frames) => worker.handle_message(&Message::from_frames(frames), now),
                Step::Command(command) => worker.handle_message(&encoded(&command), now),
                Step::Partial(number) => {
                    worker.send_partial(token(number), none, body("part"), now);
                }
                Step::Final(number) => worker.send_final(token(number), none, body("end"), now),
                Step::Error(number) => worker.send_error(token(number), "no", "", false, now),
                Step::Pass(millis) => {
                    let outputs = bench.pass(Duration::from_millis(millis));
                    seen.check(outputs);
                }
                Step::Drain => worker.drain(now),
                Step::Abandon => worker.abandon(now),
            }
            let outputs = bench.outputs();
            seen.check(outputs);
            prop_assert_eq!(seen.held.len(), bench.worker.held_count());
        }
    }
}

//! The worker in virtual time.

mod arbitrary;

use bytes::BytesMut;

use super::*;
use crate::{Form, command::ToWorker};

const H: Duration = Duration::from_secs(1);

/// A worker, its clock, and a broker's side to write messages with.
pub(super) struct Bench {
    pub(super) worker: Worker,
    pub(super) now: Instant,
}

fn config() -> Config {
    Config {
        service: "echo".parse().unwrap(),
        name: "w1".to_owned(),
        version: String::new(),
        offer: Terms {
            credit: 2,
            ..Terms::default()
        },
        reconnect: ReconnectDelays::default(),
    }
}

pub(super) fn token(number: u8) -> Token {
    Token::parse(&[number; 16]).unwrap()
}

pub(super) fn body(text: &str) -> Message {
    Message::from_frames([text])
}

fn header(id: u64, properties: &[(&str, &str)]) -> Header {
    let none = Properties::default();
    let properties = properties
        .iter()
        .fold(none, |all, (name, value)| all.with(name, value));
    Header { id, properties }
}

pub(super) fn encoded(command: &ToWorker) -> Message {
    let mut envelope = BytesMut::new();
    let body = command.encode(Form::MDP03, &mut envelope).unwrap();
    envelope.extend_from_slice(body.encoded());
    let mut frames = Vec::new();
    let mut rest = &envelope[..];
    while let [flags, size, tail @ ..] = rest {
        assert_eq!(flags & 0b10, 0, "tests write short frames");
        let (frame, tail) = tail.split_at(usize::from(*size));
        frames.push(frame);
        rest = tail;
    }
    Message::from_frames(frames)
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "the start of virtual time")]
    pub(super) fn new() -> Self {
        Self {
            worker: Worker::new(config(), 1),
            now: Instant::now(),
        }
    }

    fn registered() -> Self {
        let mut bench = Self::new();
        bench.outputs();
        bench.register();
        bench
    }

    /// Answers a READY.
    fn register(&mut self) {
        self.worker.handle_opened(self.now);
        self.take(&welcome(&[]));
        self.outputs();
    }

    pub(super) fn outputs(&mut self) -> Vec<Output> {
        self.worker.check_invariants();
        std::iter::from_fn(|| self.worker.poll_output()).collect()
    }

    fn take(&mut self, command: &ToWorker) {
        self.worker.handle_message(&encoded(command), self.now);
    }

    fn request(&mut self, number: u8, properties: &[(&str, &str)]) {
        self.take(&ToWorker::Request {
            token: token(number),
            header: header(number.into(), properties),
            body: body("hi"),
        });
    }

    /// Lets time pass, looking at every instant at which something is due.
    fn pass(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while let Some(due) = self.worker.poll_timeout()
            && due <= end
        {
            self.now = self.now.max(due);
            self.worker.handle_timeout(self.now);
            outputs.extend(self.outputs());
        }
        self.now = end;
        outputs
    }
}

fn welcome(properties: &[(&str, &str)]) -> ToWorker {
    ToWorker::Welcome {
        service: "echo".parse().unwrap(),
        header: header(0, properties),
    }
}

fn heartbeat(properties: &[(&str, &str)]) -> Output {
    Output::Send(FromWorker::Heartbeat {
        header: header(0, properties),
    })
}

fn error(number: u8, code: &str, message: &str, retryable: &str) -> Output {
    let properties = [
        ("code", code),
        ("message", message),
        ("retryable", retryable),
    ];
    Output::Send(FromWorker::Error {
        token: token(number),
        header: header(number.into(), &properties),
    })
}

fn final_reply(number: u8, text: &str) -> Output {
    Output::Send(FromWorker::Final {
        token: token(number),
        header: Header::new(number.into()),
        body: body(text),
    })
}

#[test]
fn registers_with_what_it_offers_and_takes_what_is_agreed() {
    let mut bench = Bench::new();
    assert_eq!(bench.outputs(), [Output::Connect]);
    bench.worker.handle_opened(bench.now);
    let offer = [
        ("credit", "2"),
        ("streams", "1024"),
        ("heartbeat-ms", "1000"),
        ("liveness", "3"),
        ("name", "w1"),
    ];
    let ready = FromWorker::Ready {
        service: "echo".parse().unwrap(),
        header: header(0, &offer),
    };
    assert_eq!(bench.outputs(), [Output::Send(ready)]);
    bench.take(&welcome(&[
        ("credit", "1"),
        ("heartbeat-ms", "500"),
        ("liveness", "4"),
    ]));
    let agreed = Terms {
        credit: 1,
        streams: 1024,
        heartbeat: Duration::from_millis(500),
        liveness: 4,
    };
    assert_eq!(bench.outputs(), [Output::Registered(agreed)]);
    assert_eq!(bench.pass(Duration::from_millis(500)), [heartbeat(&[])]);
}

#[test]
fn a_request_is_answered_under_its_token_once() {
    let mut bench = Bench::registered();
    bench.request(1, &[("content-type", "text/plain")]);
    let asked = Output::Request {
        token: token(1),
        header: header(1, &[("content-type", "text/plain")]),
        body: body("hi"),
    };
    assert_eq!(bench.outputs(), [asked]);
    bench
        .worker
        .send_final(token(1), Properties::default(), body("ho"), bench.now);
    assert_eq!(bench.outputs(), [final_reply(1, "ho")]);
    bench
        .worker
        .send_final(token(1), Properties::default(), body("ho"), bench.now);
    assert_eq!(bench.outputs(), []);
    assert_eq!(bench.worker.counts().late_replies, 1);
}

#[test]
fn an_answer_without_frames_has_one_empty_frame() {
    let mut bench = Bench::registered();
    bench.request(1, &[]);
    bench.outputs();
    bench
        .worker
        .send_final(token(1), Properties::default(), Message::EMPTY, bench.now);
    assert_eq!(bench.outputs(), [final_reply(1, "")]);
}

#[test]
fn heartbeats_go_out_only_when_nothing_else_does() {
    let mut bench = Bench::registered();
    bench.request(1, &[]);
    bench.outputs();
    bench.pass(H / 2);
    bench
        .worker
        .send_partial(token(1), Properties::default(), body("a"), bench.now);
    bench.outputs();
    assert_eq!(bench.pass(H / 2), []);
    bench.take(&ToWorker::Heartbeat);
    assert_eq!(bench.pass(H / 2), [heartbeat(&[])]);
}

#[test]
fn a_silent_broker_is_left_after_h_times_l_and_tokens_die_with_it() {
    let mut bench = Bench::registered();
    bench.request(1, &[]);
    bench.outputs();
    let outputs = bench.pass(H * 3);
    let end = [
        heartbeat(&[]),
        heartbeat(&[]),
        Output::Close,
        Output::Cancel { token: token(1) },
        Output::Lost(Loss::Silent),
    ];
    assert_eq!(outputs, end);
    assert_eq!(bench.pass(Duration::from_millis(100)), [Output::Connect]);
    bench
        .worker
        .send_final(token(1), Properties::default(), body("ho"), bench.now);
    assert_eq!(bench.outputs(), []);
    assert_eq!(bench.worker.counts().late_replies, 1);
}

#[test]
fn a_stop_of_the_process_counts_as_one_missed_heartbeat() {
    let mut bench = Bench::registered();
    bench.now += H * 100;
    bench.worker.handle_timeout(bench.now);
    assert_eq!(bench.outputs(), [heartbeat(&[])]);
    bench.take(&ToWorker::Disconnect {
        header: header(0, &[("message", "expired")]),
    });
    let message = "expired".to_owned();
    let lost = Output::Lost(Loss::Dismissed { message });
    assert_eq!(bench.outputs(), [Output::Close, lost]);
    assert_eq!(bench.pass(Duration::from_millis(100)), [Output::Connect]);
}

#[test]
fn a_stop_of_the_process_over_a_dead_link_is_noticed_within_h_times_l() {
    let mut bench = Bench::registered();
    bench.now += H * 100;
    bench.worker.handle_timeout(bench.now);
    let outputs = bench.pass(H * 2);
    assert!(
        outputs.ends_with(&[Output::Close, Output::Lost(Loss::Silent)]),
        "{outputs:?}"
    );
}

#[test]
fn case_32_back_off_grows_until_a_welcome() {
    let mut bench = Bench::new();
    bench.outputs();
    let mut longest = Duration::ZERO;
    for _ in 0..8 {
        // A connection that opens and dies is a failure too.
        bench.worker.handle_opened(bench.now);
        bench.worker.handle_closed(bench.now);
        bench.outputs();
        let delay = bench.worker.poll_timeout().unwrap() - bench.now;
        longest = longest.max(delay);
        assert!(bench.pass(delay).contains(&Output::Connect));
    }
    assert!(longest > Duration::from_secs(2));
    bench.register();
    bench.worker.handle_closed(bench.now);
    bench.outputs();
    let delay = bench.worker.poll_timeout().unwrap() - bench.now;
    assert!(delay <= Duration::from_millis(100), "{delay:?}");
}

#[test]
fn parts_wait_for_the_window() {
    let mut bench = Bench::registered();
    bench.request(1, &[("window", "1")]);
    bench.outputs();
    let none = Properties::default;
    let part = |text| {
        Output::Send(FromWorker::Partial {
            token: token(1),
            header: Header::new(1),
            body: body(text),
        })
    };
    let sent = bench
        .worker
        .send_partial(token(1), none(), body("a"), bench.now);
    assert_eq!((sent, bench.outputs()), (PartSent::Sent, vec![part("a")]));
    let sent = bench
        .worker
        .send_partial(token(1), none(), body("b"), bench.now);
    assert_eq!(
        (sent, bench.outputs()),
        (PartSent::Later(body("b")), vec![])
    );
    bench.take(&ToWorker::More {
        token: token(1),
        header: header(1, &[("more", "2")]),
    });
    assert_eq!(bench.outputs(), [Output::Room { token: token(1) }]);
    for text in ["b", "c"] {
        let sent = bench
            .worker
            .send_partial(token(1), none(), body(text), bench.now);
        assert_eq!((sent, bench.outputs()), (PartSent::Sent, vec![part(text)]));
    }
    let sent = bench
        .worker
        .send_partial(token(1), none(), body("d"), bench.now);
    assert_eq!(sent, PartSent::Later(body("d")));
    bench
        .worker
        .send_final(token(1), none(), body("end"), bench.now);
    assert_eq!(bench.outputs(), [final_reply(1, "end")]);
}

#[test]
fn a_cancelled_request_is_still_ended_by_its_handler() {
    let mut bench = Bench::registered();
    bench.request(1, &[]);
    bench.outputs();
    bench.take(&ToWorker::Cancel {
        token: token(1),
        header: Header::new(1),
    });
    assert_eq!(bench.outputs(), [Output::Cancel { token: token(1) }]);
    bench
        .worker
        .send_error(token(1), "cancelled", "", false, bench.now);
    assert_eq!(bench.outputs(), [error(1, "cancelled", "", "false")]);
}

#[test]
fn more_than_was_agreed_is_refused() {
    let mut bench = Bench::new();
    bench.outputs();
    bench.worker.handle_opened(bench.now);
    bench.take(&welcome(&[("credit", "1"), ("streams", "0")]));
    bench.request(1, &[]);
    bench.outputs();
    bench.request(2, &[]);
    let message = "the worker holds more than was agreed";
    assert_eq!(bench.outputs(), [error(2, "busy", message, "true")]);
}

#[test]
fn texts_and_headers_stay_within_their_limits() {
    let mut bench = Bench::registered();
    bench.request(1, &[]);
    bench.request(2, &[]);
    bench.outputs();
    let long = "ä".repeat(5000);
    bench
        .worker
        .send_error(token(1), &long, &long, false, bench.now);
    let [Output::Send(FromWorker::Error { header, .. })] = &bench.outputs()[..] else {
        panic!("an error is sent");
    };
    assert!(header.encoded_bytes() < Header::MAX_BYTES);
    let huge = Properties::default().with("x", "y".repeat(5000));
    bench
        .worker
        .send_final(token(2), huge, body("ho"), bench.now);
    let message = "the reply's properties are over 4 KiB";
    assert_eq!(bench.outputs(), [error(2, "too-large", message, "false")]);
}

#[test]
fn draining_finishes_what_is_held_and_returns_what_crosses() {
    let mut bench = Bench::registered();
    bench.request(1, &[]);
    bench.outputs();
    bench.worker.drain(bench.now);
    assert_eq!(bench.outputs(), [heartbeat(&[("credit", "0")])]);
    bench.request(2, &[]);
    assert_eq!(
        bench.outputs(),
        [error(2, "draining", "the worker is stopping", "true")]
    );
    bench.take(&ToWorker::Heartbeat);
    assert_eq!(bench.outputs(), []);
    bench
        .worker
        .send_final(token(1), Properties::default(), body("ho"), bench.now);
    let bye = Output::Send(FromWorker::Disconnect);
    assert_eq!(
        bench.outputs(),
        [final_reply(1, "ho"), bye, Output::Close, Output::Drained]
    );
    assert_eq!(bench.worker.poll_timeout(), None);
}

#[test]
fn an_idle_worker_leaves_once_the_broker_was_heard_or_after_an_interval() {
    let bye = [
        Output::Send(FromWorker::Disconnect),
        Output::Close,
        Output::Drained,
    ];
    let mut bench = Bench::registered();
    bench.worker.drain(bench.now);
    assert_eq!(bench.outputs(), [heartbeat(&[("credit", "0")])]);
    bench.take(&ToWorker::Heartbeat);
    assert_eq!(bench.outputs(), bye);

    let mut bench = Bench::registered();
    bench.worker.drain(bench.now);
    bench.outputs();
    assert!(bench.pass(H).ends_with(&bye));
}

#[test]
fn a_worker_that_is_not_registered_leaves_as_soon_as_it_can() {
    let mut connecting = Bench::new();
    connecting.outputs();
    connecting.worker.drain(connecting.now);
    assert_eq!(connecting.outputs(), [Output::Close, Output::Drained]);

    let mut joining = Bench::new();
    joining.worker.handle_opened(joining.now);
    joining.outputs();
    joining.worker.drain(joining.now);
    assert_eq!(joining.outputs(), []);
    joining.take(&welcome(&[]));
    assert!(
        joining
            .outputs()
            .ends_with(&[heartbeat(&[("credit", "0")])])
    );

    let mut lost = Bench::registered();
    lost.worker.drain(lost.now);
    lost.worker.handle_closed(lost.now);
    assert!(
        lost.outputs()
            .ends_with(&[Output::Lost(Loss::Closed), Output::Drained])
    );
}

#[test]
fn an_abandoned_worker_gives_back_what_it_holds() {
    let mut bench = Bench::registered();
    bench.request(1, &[]);
    bench.outputs();
    bench.worker.drain(bench.now);
    bench.outputs();
    bench.worker.abandon(bench.now);
    let outputs = [
        Output::Cancel { token: token(1) },
        error(
            1,
            "stopped",
            "the worker stopped before it had finished",
            "true",
        ),
        Output::Send(FromWorker::Disconnect),
        Output::Close,
        Output::Drained,
    ];
    assert_eq!(bench.outputs(), outputs);
}

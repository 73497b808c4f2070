//! The client in virtual time.

mod arbitrary;
mod links;

use bytes::BytesMut;

use super::*;
use crate::{Form, Header, command::ToClient};

const SECOND: Duration = Duration::from_secs(1);

/// A client and its clock.
pub(super) struct Bench {
    pub(super) client: Client,
    pub(super) now: Instant,
}

pub(super) fn id(number: u64) -> RequestId {
    RequestId::new(number).unwrap()
}

pub(super) fn body(text: &str) -> Message {
    Message::from_frames([text])
}

pub(super) fn header(id: u64, properties: &[(&str, &str)]) -> Header {
    let none = Properties::default();
    let properties = properties
        .iter()
        .fold(none, |all, (name, value)| all.with(name, value));
    Header { id, properties }
}

pub(super) fn echo() -> Request {
    Request {
        service: "echo".parse().unwrap(),
        properties: Properties::default(),
        body: body("hi"),
        deadline: None,
        retry: Retry::Usual,
        window: None,
    }
}

pub(super) fn encoded(command: &ToClient) -> Message {
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

pub(super) fn partial(number: u64, text: &str) -> ToClient {
    ToClient::Partial {
        service: "echo".parse().unwrap(),
        header: Header::new(number),
        body: body(text),
    }
}

pub(super) fn last(number: u64, text: &str) -> ToClient {
    ToClient::Final {
        service: "echo".parse().unwrap(),
        header: Header::new(number),
        body: body(text),
    }
}

pub(super) fn error(number: u64, properties: &[(&str, &str)]) -> ToClient {
    ToClient::Error {
        service: Some("echo".parse().unwrap()),
        header: header(number, properties),
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(Config::default())
    }

    #[expect(clippy::disallowed_methods, reason = "the start of virtual time")]
    pub(super) fn with(config: Config) -> Self {
        Self {
            client: Client::new(config, 1),
            now: Instant::now(),
        }
    }

    /// A client with a link that is up and finds by itself when it is half open.
    fn connected() -> (Self, LinkId) {
        let mut bench = Self::new();
        let link = bench.link();
        (bench, link)
    }

    /// Adds a link that is up and finds by itself when it is half open.
    fn link(&mut self) -> LinkId {
        let link = self.client.add_link();
        self.client.handle_opened(link, true, self.now);
        self.outputs();
        link
    }

    pub(super) fn outputs(&mut self) -> Vec<Output> {
        self.client.check_invariants();
        std::iter::from_fn(|| self.client.poll_output()).collect()
    }

    fn ask(&mut self, number: u64, request: Request) -> Vec<Output> {
        self.client
            .handle_request(id(number), request, self.now)
            .unwrap();
        self.outputs()
    }

    fn take(&mut self, link: LinkId, command: &ToClient) -> Vec<Output> {
        self.client
            .handle_message(link, &encoded(command), self.now);
        self.outputs()
    }

    fn close(&mut self, link: LinkId) -> Vec<Output> {
        self.client.handle_closed(link, self.now);
        self.outputs()
    }

    fn open(&mut self, link: LinkId) -> Vec<Output> {
        self.client.handle_opened(link, true, self.now);
        self.outputs()
    }

    fn deadline(&self, timeout: Duration) -> Option<Instant> {
        Some(self.now + timeout)
    }

    /// Lets time pass, looking at every instant at which something is due.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while let Some(due) = self.client.poll_timeout()
            && due <= end
        {
            self.now = self.now.max(due);
            self.client.handle_timeout(self.now);
            outputs.extend(self.outputs());
        }
        self.now = end;
        outputs
    }
}

fn sent(link: LinkId, number: u64, properties: &[(&str, &str)]) -> Output {
    Output::Send {
        link,
        command: FromClient::Request {
            service: "echo".parse().unwrap(),
            header: header(number, properties),
            body: body("hi"),
        },
    }
}

fn cancel(link: LinkId, number: u64) -> Output {
    Output::Send {
        link,
        command: FromClient::Cancel {
            service: "echo".parse().unwrap(),
            header: Header::new(number),
        },
    }
}

fn answered(number: u64, text: &str) -> Output {
    Output::Final {
        request: id(number),
        properties: Properties::default(),
        body: body(text),
    }
}

fn part(number: u64, text: &str) -> Output {
    Output::Partial {
        request: id(number),
        properties: Properties::default(),
        body: body(text),
    }
}

fn failed(number: u64, failure: Failure) -> Output {
    let request = id(number);
    Output::Failed { request, failure }
}

fn refused(number: u64, code: &str, message: &str, worker_code: &str) -> Output {
    let refusal = Refusal {
        code: code.to_owned(),
        message: message.to_owned(),
        worker_code: worker_code.to_owned(),
    };
    failed(number, Failure::Refused(refusal))
}

#[test]
fn a_request_is_sent_and_answered() {
    let (mut bench, link) = Bench::connected();
    let request = Request {
        properties: Properties::default().with("content-type", "text/plain"),
        ..echo()
    };
    assert_eq!(
        bench.ask(1, request),
        [sent(link, 1, &[("content-type", "text/plain")])]
    );
    assert_eq!(bench.take(link, &partial(1, "h")), [part(1, "h")]);
    assert_eq!(bench.take(link, &last(1, "o")), [answered(1, "o")]);
    assert_eq!(bench.client.request_count(), 0);
}

#[test]
fn answers_are_matched_by_id_in_any_order() {
    let (mut bench, link) = Bench::connected();
    bench.ask(1, echo());
    bench.ask(2, echo());
    assert_eq!(bench.take(link, &last(2, "two")), [answered(2, "two")]);
    assert_eq!(bench.take(link, &last(1, "one")), [answered(1, "one")]);
}

#[test]
fn a_request_without_frames_has_one_empty_frame_except_to_mmi() {
    let (mut bench, _) = Bench::connected();
    let frames = |outputs: Vec<Output>| match &outputs[..] {
        [
            Output::Send {
                command: FromClient::Request { body, .. },
                ..
            },
        ] => body.frame_count(),
        other => panic!("{other:?}"),
    };
    let empty = Request {
        body: Message::EMPTY,
        ..echo()
    };
    let mmi = Request {
        service: "mmi.services".parse().unwrap(),
        ..empty.clone()
    };
    assert_eq!(frames(bench.ask(1, empty)), 1);
    assert_eq!(frames(bench.ask(2, mmi)), 0);
}

#[test]
fn the_brokers_errors_are_given_on() {
    let (mut bench, link) = Bench::connected();
    bench.ask(1, echo());
    let properties = [
        ("code", "worker-error"),
        ("worker-code", "no"),
        ("message", "why"),
    ];
    let outputs = bench.take(link, &error(1, &properties));
    assert_eq!(outputs, [refused(1, "worker-error", "why", "no")]);
    bench.ask(2, echo());
    assert_eq!(bench.take(link, &error(2, &[])), [refused(2, "", "", "")]);
}

#[test]
fn the_deadline_is_told_and_the_brokers_error_given_a_second_more() {
    let (mut bench, link) = Bench::connected();
    let request = Request {
        deadline: bench.deadline(SECOND * 2),
        ..echo()
    };
    assert_eq!(
        bench.ask(1, request.clone()),
        [sent(link, 1, &[("deadline-ms", "2000")])]
    );
    assert_eq!(bench.pass(Duration::from_millis(2999)), []);
    let told = bench.take(link, &error(1, &[("code", "timeout")]));
    assert_eq!(told, [refused(1, "timeout", "", "")]);

    let request = Request {
        deadline: bench.deadline(SECOND * 2),
        ..request
    };
    bench.ask(2, request);
    assert_eq!(
        bench.pass(SECOND * 3),
        [cancel(link, 2), failed(2, Failure::Timeout)]
    );
}

#[test]
fn a_late_answer_is_dropped_and_never_given_to_another_request() {
    let (mut bench, link) = Bench::connected();
    let request = Request {
        deadline: bench.deadline(SECOND),
        ..echo()
    };
    bench.ask(1, request);
    bench.pass(SECOND * 2);
    bench.ask(2, echo());
    assert_eq!(bench.take(link, &last(1, "late")), []);
    assert_eq!(bench.take(link, &partial(1, "late")), []);
    assert_eq!(bench.client.counts().late_replies, 2);
    assert_eq!(bench.take(link, &last(2, "two")), [answered(2, "two")]);
}

#[test]
fn a_cancelled_request_tells_the_broker_and_nothing_more_comes_of_it() {
    let (mut bench, link) = Bench::connected();
    bench.ask(1, echo());
    bench.client.handle_cancel(id(1));
    assert_eq!(bench.outputs(), [cancel(link, 1)]);
    assert_eq!(bench.take(link, &error(1, &[("code", "cancelled")])), []);
    assert_eq!(bench.client.counts(), Counts::default());
    bench.client.handle_cancel(id(1));
    assert_eq!(bench.outputs(), []);
}

#[test]
fn a_request_that_waits_is_cancelled_without_a_word() {
    let mut bench = Bench::new();
    bench.client.add_link();
    bench.ask(1, echo());
    bench.client.handle_cancel(id(1));
    assert_eq!(bench.outputs(), []);
    assert_eq!(bench.client.request_count(), 0);
}

#[test]
fn requests_beyond_the_limits_are_refused() {
    let config = Config {
        max_requests: 2,
        max_request_bytes: 10,
        ..Config::default()
    };
    let mut bench = Bench::with(config);
    let large = Request {
        body: body("longer than ten bytes"),
        ..echo()
    };
    bench.ask(1, large.clone());
    assert_eq!(
        bench.client.handle_request(id(2), echo(), bench.now),
        Err(Refused::Full)
    );
    bench.client.handle_cancel(id(1));
    bench.ask(2, echo());
    assert_eq!(
        bench.client.handle_request(id(3), large, bench.now),
        Err(Refused::Full)
    );
    assert_eq!(
        bench.client.handle_request(id(2), echo(), bench.now),
        Err(Refused::DuplicateId)
    );
    bench.ask(3, echo());
    assert_eq!(
        bench.client.handle_request(id(4), echo(), bench.now),
        Err(Refused::Full)
    );
}

#[test]
fn the_window_is_widened_as_the_reader_takes_parts() {
    let (mut bench, link) = Bench::connected();
    let request = Request {
        window: Some(4),
        ..echo()
    };
    assert_eq!(bench.ask(1, request), [sent(link, 1, &[("window", "4")])]);
    for text in ["a", "b", "c", "d"] {
        assert_eq!(bench.take(link, &partial(1, text)), [part(1, text)]);
    }
    bench.client.handle_read(id(1), 1);
    assert_eq!(bench.outputs(), []);
    bench.client.handle_read(id(1), 1);
    let more = FromClient::More {
        service: "echo".parse().unwrap(),
        header: header(1, &[("more", "2")]),
    };
    let command = more;
    assert_eq!(bench.outputs(), [Output::Send { link, command }]);
}

#[test]
fn a_reader_too_far_behind_ends_its_request_alone() {
    let config = Config {
        max_unread_bytes: 67,
        ..Config::default()
    };
    let mut bench = Bench::with(config);
    let link = bench.link();
    bench.ask(1, echo());
    bench.ask(2, echo());
    bench.take(link, &partial(1, "ab"));
    bench.client.handle_read(id(1), 2);
    assert_eq!(bench.take(link, &partial(1, "cd")), [part(1, "cd")]);
    let outputs = bench.take(link, &partial(1, "e"));
    assert_eq!(outputs, [cancel(link, 1), failed(1, Failure::Unread)]);
    assert_eq!(bench.take(link, &last(2, "two")), [answered(2, "two")]);
}

#[test]
fn what_is_no_answer_is_dropped_and_counted() {
    let (mut bench, link) = Bench::connected();
    bench.ask(1, echo());
    for frames in [
        vec![],
        vec!["x"],
        vec!["MDPC02", "\u{3}", "echo", "hi"],
        vec!["MDPC03"],
    ] {
        bench
            .client
            .handle_message(link, &Message::from_frames(frames), bench.now);
    }
    assert_eq!(bench.outputs(), []);
    assert_eq!(bench.client.counts().invalid_replies, 4);
    assert_eq!(bench.take(link, &last(1, "ho")), [answered(1, "ho")]);
}

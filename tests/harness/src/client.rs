//! The library's client against whatever brokers send, and in whatever order.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use plantd_mdp::client::{Config, LinkId, Output, Request, RequestId, Retry};
use plantd_mdp::command::ToClient;
use plantd_mdp::{Client, Form, Properties};
use plantd_zmtp::Message;

use crate::clock;
use crate::input::{Part, Property, Which, header, message, steps};
use crate::wire;

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    AddLink,
    RemoveLink(Which),
    Opened(Which, bool),
    Closed(Which),
    Asks(Option<u16>, Tries, Option<u8>),
    Cancels(u8),
    Reads(u8),
    Partial(Which, u8),
    Final(Which, u8),
    Fails(Which, u8, Code, Vec<Property>),
    Frames(Which, Vec<Part<'a>>),
    Passes(u16),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Tries {
    Usual,
    Never,
    AtMost(u8),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Code {
    Timeout,
    Draining,
    Cancelled,
    Busy,
    WorkerError,
    Unknown,
}

impl Code {
    fn property(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Draining => "draining",
            Self::Cancelled => "cancelled",
            Self::Busy => "busy",
            Self::WorkerError => "worker-error",
            Self::Unknown => "who-knows",
        }
    }
}

/// A client, its links, and which of its requests have not ended.
struct Program {
    client: Client,
    links: Vec<LinkId>,
    open: BTreeSet<RequestId>,
    next: u64,
    now: Instant,
}

impl Program {
    fn look(&mut self) {
        self.client.check_invariants();
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Final { request, .. } | Output::Failed { request, .. } => {
                    assert!(self.open.remove(&request), "{request} ends twice");
                }
                Output::Partial { request, .. } => {
                    assert!(
                        self.open.contains(&request),
                        "{request} goes on after its end"
                    );
                }
                Output::Connect { link } | Output::Send { link, .. } => {
                    assert!(self.links.contains(&link), "a link that is gone");
                }
                Output::Close { .. } => {}
            }
        }
        assert_eq!(self.open.len(), self.client.request_count());
    }

    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.client.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.client.handle_timeout(self.now);
            self.look();
            let next = self.client.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a timer is stuck");
        }
        self.now = end;
    }

    fn asks(&mut self, timeout: Option<u16>, tries: Tries, window: Option<u8>) {
        let number = RequestId::new(self.next).expect("few are asked");
        self.next += 1;
        let request = Request {
            service: "echo".parse().expect("a name"),
            properties: Properties::default(),
            body: Message::from_frames(["hi"]),
            deadline: timeout.map(|timeout| self.now + Duration::from_millis(timeout.into())),
            retry: match tries {
                Tries::Usual => Retry::Usual,
                Tries::Never => Retry::Never,
                Tries::AtMost(times) => Retry::AtMost(times.into()),
            },
            window: window.map(u32::from),
        };
        if self
            .client
            .handle_request(number, request, self.now)
            .is_ok()
        {
            self.open.insert(number);
        }
    }

    fn hears(&mut self, which: Which, message: &Message) {
        if let Some(link) = which.of(&self.links) {
            self.client.handle_message(link, message, self.now);
        }
    }

    fn does(&mut self, step: Step<'_>) {
        let now = self.now;
        match step {
            Step::AddLink if self.links.len() < 4 => {
                let link = self.client.add_link();
                self.links.push(link);
            }
            Step::AddLink => {}
            Step::RemoveLink(which) => {
                if let Some(link) = which.of(&self.links) {
                    self.client.remove_link(link, now);
                    self.links.retain(|other| *other != link);
                }
            }
            Step::Opened(which, has_ping) => {
                if let Some(link) = which.of(&self.links) {
                    self.client.handle_opened(link, has_ping, now);
                }
            }
            Step::Closed(which) => {
                if let Some(link) = which.of(&self.links) {
                    self.client.handle_closed(link, now);
                }
            }
            Step::Asks(timeout, tries, window) => self.asks(timeout, tries, window),
            Step::Cancels(number) => {
                if let Some(id) = RequestId::new(number.into()) {
                    self.client.handle_cancel(id);
                    self.open.remove(&id);
                }
            }
            Step::Reads(number) => {
                if let Some(id) = RequestId::new(number.into()) {
                    self.client.handle_read(id, 4);
                }
            }
            Step::Partial(which, number) => self.hears(which, &answer(number, false)),
            Step::Final(which, number) => self.hears(which, &answer(number, true)),
            Step::Fails(which, number, code, properties) => {
                let mut header = header(number.into(), &properties);
                header.properties = header.properties.with("code", code.property());
                let service = Some("echo".parse().expect("a name"));
                self.hears(which, &written(&ToClient::Error { service, header }));
            }
            Step::Frames(which, parts) => self.hears(which, &message(&parts)),
            Step::Passes(milliseconds) => self.passes(Duration::from_millis(milliseconds.into())),
        }
    }
}

fn answer(number: u8, is_last: bool) -> Message {
    let service = "echo".parse().expect("a name");
    let header = header(number.into(), &[]);
    let body = Message::from_frames(["body"]);
    written(&if is_last {
        ToClient::Final {
            service,
            header,
            body,
        }
    } else {
        ToClient::Partial {
            service,
            header,
            body,
        }
    })
}

fn written(command: &ToClient) -> Message {
    let written = wire::written(|out| command.encode(Form::MDP03, out));
    written.expect("MDP/0.3 has every command")
}

/// Each request ends once, and none is left when the links are gone.
pub fn client(bytes: &[u8]) {
    let config = Config {
        max_requests: 20,
        max_unread_bytes: 300,
        ..Config::default()
    };
    let mut program = Program {
        client: Client::new(config, 1),
        links: Vec::new(),
        open: BTreeSet::new(),
        next: 1,
        now: clock::start(),
    };
    program.does(Step::AddLink);
    program.look();
    for step in steps(bytes).take(300) {
        program.does(step);
        program.look();
    }
    while let Some(link) = program.links.pop() {
        program.client.remove_link(link, program.now);
        program.look();
    }
    program.passes(Duration::from_secs(120));
    assert!(program.open.is_empty(), "{:?} never end", program.open);
}

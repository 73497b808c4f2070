//! The clients of a state service: so many connections with a window each, every reply checked.

use std::io::Write as _;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::case::{Case, Operation};
use super::peer::Service;
use super::script::{Keys, Script};
use crate::clock;
use crate::inbound::Inbound;

/// How long nothing may come before a request counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// No last number.
const ENDLESS: u64 = u64::MAX;
/// Between the numbers of two clients, so that each asks for other keys.
const APART: u64 = 1 << 32;

/// Clients of one service, connected.
pub(super) struct Load {
    clients: Vec<Client>,
    ready: OwnedFd,
    events: Vec<epoll::Event>,
}

/// One connection.
struct Client {
    stream: TcpStream,
    script: Script,
    inbound: Inbound,
    outgoing: Vec<u8>,
    /// The number of the unanswered request in each place of the window; 0 when there is none.
    owed: Vec<u64>,
    /// The number of its first request.
    first: u64,
    /// The number of the oldest request, which is the next reply's where replies say none.
    oldest: u64,
    asked_at: Instant,
}

/// What one measured time came to.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) replies: u64,
    pub(super) elapsed: Duration,
    /// CPU of the service's processes.
    pub(super) cpu: Duration,
    /// How long each request took, in order of length; only where each client has one at a time.
    pub(super) latencies: Vec<Duration>,
}

/// The moment from which on replies are counted.
struct Since {
    instant: Instant,
    cpu: Duration,
}

/// What one turn brought.
struct Turn {
    now: Instant,
    replies: u64,
}

impl Load {
    pub(super) fn connect(service: &Service, case: &Case, keys: u64) -> anyhow::Result<Self> {
        Self::connect_for(service, case, Keys::scattered(keys))
    }

    fn connect_for(service: &Service, case: &Case, keys: Keys) -> anyhow::Result<Self> {
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let language = service.language;
        let mut clients = Vec::new();
        for index in 0..case.clients as u64 {
            let number = service.number_client();
            let stream = language.client(&service.address, number);
            let stream = stream.context("connect a client")?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let data = epoll::EventData::new_u64(index);
            epoll::add(&ready, &stream, data, epoll::EventFlags::IN)?;
            let script = language.script(case.operation, keys, case.window, number);
            let first = number * APART + 1;
            clients.push(Client::new(stream, script, case.window, first));
        }
        Ok(Self {
            events: Vec::with_capacity(clients.len()),
            clients,
            ready,
        })
    }

    /// Gives each key its value, so many times.
    pub(super) fn fill(service: &Service, keys: u64, rounds: u64) -> anyhow::Result<()> {
        let case = Case::wide(Operation::Set);
        let mut load = Self::connect_for(service, &case, Keys::in_order(keys))?;
        let last = load.clients[0].first + keys * rounds - 1;
        load.begin(last)?;
        load.finish(last)
    }

    /// Keeps the windows full for a warm-up and a measured time, then waits for what is unanswered.
    pub(super) fn run(
        mut self,
        warm_up: Duration,
        measured: Duration,
        cpu: impl Fn() -> anyhow::Result<Duration>,
    ) -> anyhow::Result<Counted> {
        let start = clock::now();
        let mut since: Option<Since> = None;
        let mut replies = 0;
        let mut latencies = Vec::new();
        self.begin(ENDLESS)?;
        let mut counted = loop {
            let turn = self.turn(ENDLESS, since.is_some().then_some(&mut latencies))?;
            if let Some(Since { instant, cpu: used }) = &since {
                replies += turn.replies;
                if turn.now - *instant >= measured {
                    break Counted {
                        replies,
                        elapsed: turn.now - *instant,
                        cpu: cpu()?.saturating_sub(*used),
                        latencies,
                    };
                }
            } else if turn.now - start >= warm_up {
                since = Some(Since {
                    instant: turn.now,
                    cpu: cpu()?,
                });
            }
        };
        self.finish(0)?;
        counted.latencies.sort_unstable();
        Ok(counted)
    }

    /// Keeps the windows full until `is_over`, then waits for what is unanswered. Returns the count
    /// of replies.
    pub(super) fn run_until(mut self, is_over: impl Fn() -> bool) -> anyhow::Result<u64> {
        let mut replies = 0;
        self.begin(ENDLESS)?;
        while !is_over() {
            replies += self.turn(ENDLESS, None)?.replies;
        }
        self.finish(0)?;
        Ok(replies)
    }

    /// Fills the windows, up to a last number.
    fn begin(&mut self, last: u64) -> anyhow::Result<()> {
        for client in &mut self.clients {
            for number in client.first..client.first + client.owed.len() as u64 {
                client.ask(number, last);
            }
            client.write(clock::now())?;
        }
        Ok(())
    }

    /// Waits for replies, checks them, and asks again, up to a last number.
    fn turn(
        &mut self,
        last: u64,
        mut latencies: Option<&mut Vec<Duration>>,
    ) -> anyhow::Result<Turn> {
        self.events.clear();
        let timeout = Timespec::try_from(PATIENCE)?;
        epoll::wait(
            &self.ready,
            spare_capacity(&mut self.events),
            Some(&timeout),
        )?;
        ensure!(
            !self.events.is_empty(),
            "requests are unanswered and nothing comes"
        );
        let mut replies = 0;
        let mut now = clock::now();
        for event in &self.events {
            let client = &mut self.clients[event.data.u64() as usize];
            let answered = client.read(last)?;
            now = clock::now();
            if let Some(latencies) = latencies.as_deref_mut()
                && client.owed.len() == 1
                && answered == 1
            {
                latencies.push(now - client.asked_at);
            }
            client.write(now)?;
            replies += answered;
        }
        Ok(Turn { now, replies })
    }

    /// Waits until everything up to a last number is asked and answered.
    fn finish(&mut self, last: u64) -> anyhow::Result<()> {
        while self.clients.iter().any(Client::is_owed) {
            self.turn(last, None)?;
        }
        Ok(())
    }
}

impl Client {
    fn new(stream: TcpStream, script: Script, window: usize, first: u64) -> Self {
        Self {
            stream,
            script,
            inbound: Inbound::new(),
            outgoing: Vec::new(),
            owed: vec![0; window],
            first,
            oldest: first,
            asked_at: clock::now(),
        }
    }

    fn is_owed(&self) -> bool {
        self.owed.iter().any(|number| *number > 0)
    }

    /// The place of a number in the window.
    fn place(&self, number: u64) -> usize {
        number as usize % self.owed.len()
    }

    /// Encodes a request, if its number is not beyond the last one.
    fn ask(&mut self, number: u64, last: u64) {
        if number <= last {
            self.script.request.append(number, &mut self.outgoing);
            let place = self.place(number);
            self.owed[place] = number;
        }
    }

    fn write(&mut self, now: Instant) -> anyhow::Result<()> {
        if !self.outgoing.is_empty() {
            self.stream.write_all(&self.outgoing).context("send")?;
            self.outgoing.clear();
            self.asked_at = now;
        }
        Ok(())
    }

    /// Reads once, checks each reply, encodes a request in its place, and returns the count of replies.
    fn read(&mut self, last: u64) -> anyhow::Result<u64> {
        let count = self.inbound.read_from(&mut self.stream).context("read")?;
        ensure!(count > 0, "the service closed a client's connection");
        let mut replies = 0;
        loop {
            let interlude = self.script.interlude.as_ref();
            self.inbound.answer(interlude, &mut self.outgoing);
            let held = self.inbound.held();
            let Some(found) = (self.script.find)(held)? else {
                return Ok(replies);
            };
            let place = self.place(found.number.unwrap_or(self.oldest));
            let number = self.owed[place];
            if number == 0 {
                bail!("a reply to what was not asked");
            }
            let answer = &self.script.answer;
            let body = &held[found.body];
            if body.len() < answer.size() || !answer.is(number, body) {
                bail!(
                    "not the answer to request {number}: {}",
                    body.escape_ascii()
                );
            }
            self.owed[place] = 0;
            self.oldest += 1;
            self.inbound.skip(found.length);
            self.ask(number + self.owed.len() as u64, last);
            replies += 1;
        }
    }
}

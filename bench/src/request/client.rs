//! The client of a load: a window of unanswered requests, each reply checked.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::script::Script;
use crate::clock;
use crate::inbound::Inbound;

/// How long nothing may come before a request counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    script: Script,
    inbound: Inbound,
    outgoing: Vec<u8>,
    /// The number of the unanswered request in each place of the window; 0 when there is none.
    owed: Vec<u64>,
}

/// What one measured time came to.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) replies: u64,
    pub(crate) elapsed: Duration,
    /// CPU of the broker.
    pub(crate) cpu: Duration,
    /// How long each request took, in order of length; only with one at a time.
    pub(crate) latencies: Vec<Duration>,
}

/// The moment from which on replies are counted.
struct Since {
    instant: Instant,
    cpu: Duration,
}

impl Client {
    pub(crate) fn new(stream: TcpStream, script: Script, window: usize) -> anyhow::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            script,
            inbound: Inbound::new(),
            outgoing: Vec::new(),
            owed: vec![0; window],
        })
    }

    /// Keeps the window full for a warm-up and a measured time, then waits for what is unanswered.
    pub(crate) fn run(
        mut self,
        warm_up: Duration,
        measured: Duration,
        cpu: impl Fn() -> anyhow::Result<Duration>,
    ) -> anyhow::Result<Counted> {
        for number in 1..=self.owed.len() as u64 {
            self.ask(number);
        }
        self.write()?;
        let start = clock::now();
        let mut asked_at = start;
        let mut since: Option<Since> = None;
        let mut replies = 0;
        let mut latencies = Vec::new();
        let counted = loop {
            let answered = self.read(true)?;
            let now = clock::now();
            self.write()?;
            if let Some(Since { instant, cpu: used }) = &since {
                replies += answered;
                if self.owed.len() == 1 && answered == 1 {
                    latencies.push(now - asked_at);
                }
                if now - *instant >= measured {
                    break Counted {
                        replies,
                        elapsed: now - *instant,
                        cpu: cpu()?.saturating_sub(*used),
                        latencies,
                    };
                }
            } else if now - start >= warm_up {
                since = Some(Since {
                    instant: now,
                    cpu: cpu()?,
                });
            }
            asked_at = now;
        };
        while self.owed.iter().any(|number| *number > 0) {
            self.read(false)?;
        }
        Ok(counted)
    }

    /// Encodes the request of a number.
    fn ask(&mut self, number: u64) {
        let requests = &self.script.requests;
        let place = number as usize % self.owed.len();
        requests[number as usize % requests.len()].append(number, &mut self.outgoing);
        self.owed[place] = number;
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.outgoing).context("send")?;
        self.outgoing.clear();
        Ok(())
    }

    /// Reads once, checks each reply, encodes the next requests, and returns the count of replies.
    fn read(&mut self, go_on: bool) -> anyhow::Result<u64> {
        let count = self.inbound.read_from(&mut self.stream);
        let count = count.context("requests are unanswered and nothing comes")?;
        ensure!(count > 0, "the broker closed the client's connection");
        let mut replies = 0;
        while let Some(number) = self.next_reply()? {
            let place = number as usize % self.owed.len();
            if self.owed[place] != number {
                bail!("a reply to request {number}, which is not unanswered");
            }
            self.owed[place] = 0;
            if go_on {
                self.ask(number + self.owed.len() as u64);
            }
            replies += 1;
        }
        Ok(replies)
    }

    /// The number of the next reply, if a whole one has come.
    fn next_reply(&mut self) -> anyhow::Result<Option<u64>> {
        let Script {
            replies,
            number_at,
            interlude,
            ..
        } = &self.script;
        let size = replies[0].size();
        let outgoing = &mut self.outgoing;
        let Some(message) = self.inbound.next(size, interlude.as_ref(), outgoing) else {
            return Ok(None);
        };
        let number = message[*number_at..].first_chunk().copied();
        let number = u64::from_be_bytes(number.context("a body has room for a number")?);
        if !replies[number as usize % replies.len()].is(number, message) {
            bail!("no reply: {}", message.escape_ascii());
        }
        Ok(Some(number))
    }
}

//! The load of a bus: one thread that publishes and reads what comes of it.
//!
//! The publisher stays within a distance of the slowest subscriber, so that no bus has a reason to
//! lose anything, or publishes so many a second.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::case::Case;
use super::peer::Bus;
use super::script::{Language, Script};
use super::subscriber::Subscriber;
use crate::clock;

/// Messages that the publisher may be ahead of the slowest subscriber, at most.
const AHEAD: u64 = 10_000;
/// Bytes that it may be ahead, at most: less than what any bus keeps for a subscriber.
const AHEAD_BYTES: u64 = 4 << 20;
/// Bytes that are encoded for one write.
const BATCH_BYTES: usize = 64 * 1024;
/// Messages that a measured time goes on for, at least.
const LEAST_MESSAGES: f64 = 1000.0;
/// How long nothing may come before a message counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is tried whether a subscription has arrived.
const PROBING: Duration = Duration::from_millis(2);
/// The publisher's place among what is waited for.
const PUBLISHER: u64 = u64::MAX;

/// When a message is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// As soon as the slowest subscriber is near enough.
    Full,
    /// At equal distances, so many a second.
    Rate(f64),
}

/// A publisher and its subscribers, connected.
pub(super) struct Load {
    script: Script,
    ahead: u64,
    publisher: TcpStream,
    outgoing: Vec<u8>,
    /// How much of `outgoing` is written.
    written: usize,
    /// Whether room in the publisher's socket is waited for.
    is_blocked: bool,
    /// The number of the last message.
    sent: u64,
    subscribers: Vec<Subscriber>,
    ready: OwnedFd,
    events: Vec<epoll::Event>,
}

/// What one measured time came to.
#[derive(Debug)]
pub(super) struct Counted {
    /// Messages that a subscriber received, on average: of all that was done for them, the part
    /// that fell into the measured time, also where some subscribers are ahead of others.
    pub(super) messages: f64,
    pub(super) elapsed: Duration,
    /// CPU of the bus's process.
    pub(super) cpu: Duration,
    /// How long after it was due each message came to each subscriber; only at a rate.
    pub(super) latencies: Vec<Duration>,
}

/// When each message of a run is due.
#[derive(Debug)]
struct Schedule {
    pace: Pace,
    start: Instant,
    /// The number of the last message before it.
    sent_before: u64,
}

/// The moment from which on messages are counted.
struct Since {
    instant: Instant,
    cpu: Duration,
    messages: f64,
}

impl Load {
    /// Connects, and waits until every subscription has arrived.
    pub(super) fn connect(bus: &Bus, language: Language, case: &Case) -> anyhow::Result<Self> {
        let publisher = language.publisher(&bus.frontend);
        let publisher = publisher.context("connect a publisher")?;
        publisher.set_nonblocking(true)?;
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(PUBLISHER);
        epoll::add(&ready, &publisher, data, epoll::EventFlags::IN)?;
        let mut subscribers = Vec::new();
        for index in 0..case.subscribers as u64 {
            let stream = language.subscriber(&bus.backend, case);
            let subscriber = Subscriber::new(stream.context("connect a subscriber")?)?;
            let data = epoll::EventData::new_u64(index);
            epoll::add(&ready, &subscriber.stream, data, epoll::EventFlags::IN)?;
            subscribers.push(subscriber);
        }
        let script = language.script(case);
        let mut load = Self {
            ahead: AHEAD.min(AHEAD_BYTES / script.published.size() as u64),
            script,
            publisher,
            outgoing: Vec::new(),
            written: 0,
            is_blocked: false,
            sent: 0,
            subscribers,
            ready,
            events: Vec::with_capacity(case.subscribers + 1),
        };
        load.probe().context("wait for the subscriptions")?;
        Ok(load)
    }

    /// Publishes messages of number 0 until each subscriber has got one.
    fn probe(&mut self) -> anyhow::Result<()> {
        let start = clock::now();
        while !self.subscribers.iter().all(|it| it.is_subscribed) {
            ensure!(clock::now() - start < PATIENCE, "nothing comes");
            if self.outgoing.is_empty() {
                self.script.published.append(0, &mut self.outgoing);
            }
            self.write()?;
            self.listen(PROBING, |_, _| {})?;
        }
        Ok(())
    }

    /// Publishes for a warm-up and a measured time, which goes on until there is something to measure,
    /// then waits until all has come.
    pub(super) fn run(
        &mut self,
        pace: Pace,
        warm_up: Duration,
        measured: Duration,
        cpu: impl Fn() -> anyhow::Result<Duration>,
    ) -> anyhow::Result<Counted> {
        let schedule = Schedule {
            pace,
            start: clock::now(),
            sent_before: self.sent,
        };
        let mut since: Option<Since> = None;
        let mut latencies = Vec::new();
        let counted = loop {
            let wait = self.publish(&schedule)?;
            let now = self.listen(wait, |numbers, now| {
                if pace != Pace::Full {
                    latencies.extend(numbers.map(|number| now - schedule.due_at(number)));
                }
            })?;
            if let Some(Since {
                instant,
                cpu: used,
                messages,
            }) = &since
            {
                let received = self.mean() - messages;
                if now - *instant >= measured && received >= LEAST_MESSAGES {
                    break Counted {
                        messages: received,
                        elapsed: now - *instant,
                        cpu: cpu()?.saturating_sub(*used),
                        latencies,
                    };
                }
            } else if now - schedule.start >= warm_up {
                latencies.clear();
                since = Some(Since {
                    instant: now,
                    cpu: cpu()?,
                    messages: self.mean(),
                });
            }
        };
        while self.slowest() < self.sent || self.is_blocked {
            self.write()?;
            self.listen(PATIENCE, |_, _| {})?;
        }
        Ok(counted)
    }

    /// Publishes a batch of what is due, and returns how long there is nothing to publish.
    fn publish(&mut self, schedule: &Schedule) -> anyhow::Result<Duration> {
        let now = clock::now();
        let due = match schedule.pace {
            Pace::Full => self.slowest() + self.ahead,
            Pace::Rate(rate) => schedule.count_due(rate, now),
        };
        let Self {
            script, outgoing, ..
        } = self;
        while self.sent < due && outgoing.len() < BATCH_BYTES {
            self.sent += 1;
            script.published.append(self.sent, outgoing);
        }
        self.write()?;
        Ok(if self.is_blocked {
            PATIENCE
        } else if self.sent < due {
            Duration::ZERO
        } else {
            match schedule.pace {
                Pace::Full => PATIENCE,
                Pace::Rate(_) => schedule
                    .due_at(self.sent + 1)
                    .saturating_duration_since(now),
            }
        })
    }

    /// Writes as much as the publisher's socket takes.
    fn write(&mut self) -> anyhow::Result<()> {
        while self.written < self.outgoing.len() {
            match self.publisher.write(&self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.block(true),
                Err(error) => return Err(error).context("publish"),
            }
        }
        self.outgoing.clear();
        self.written = 0;
        self.block(false)
    }

    /// Has room in the publisher's socket waited for, or not.
    fn block(&mut self, is_blocked: bool) -> anyhow::Result<()> {
        if self.is_blocked != is_blocked {
            self.is_blocked = is_blocked;
            let mut events = epoll::EventFlags::IN;
            events.set(epoll::EventFlags::OUT, is_blocked);
            let data = epoll::EventData::new_u64(PUBLISHER);
            epoll::modify(&self.ready, &self.publisher, data, events)?;
        }
        Ok(())
    }

    /// Waits for whatever comes, reads it, and returns when that was.
    ///
    /// `seen` gets the numbers of what one subscriber received.
    fn listen(
        &mut self,
        wait: Duration,
        mut seen: impl FnMut(RangeInclusive<u64>, Instant),
    ) -> anyhow::Result<Instant> {
        let timeout = Timespec::try_from(wait)?;
        self.events.clear();
        epoll::wait(
            &self.ready,
            spare_capacity(&mut self.events),
            Some(&timeout),
        )?;
        ensure!(
            wait < PATIENCE || !self.events.is_empty(),
            "messages are on their way and nothing comes"
        );
        let now = clock::now();
        for event in &self.events {
            match event.data.u64() {
                PUBLISHER => hear(&mut self.publisher, &self.script)?,
                index => {
                    let subscriber = &mut self.subscribers[index as usize];
                    let before = subscriber.received;
                    subscriber.read(&self.script)?;
                    seen(before + 1..=subscriber.received, now);
                }
            }
        }
        Ok(now)
    }

    /// How many messages a subscriber has received, on average.
    fn mean(&self) -> f64 {
        let received = self.subscribers.iter().map(|it| it.received);
        received.sum::<u64>() as f64 / self.subscribers.len() as f64
    }

    /// The number of the last message that every subscriber received.
    fn slowest(&self) -> u64 {
        let received = self.subscribers.iter().map(|it| it.received);
        received.min().unwrap_or(self.sent)
    }
}

impl Schedule {
    /// The number of the last message that is due.
    fn count_due(&self, rate: f64, now: Instant) -> u64 {
        self.sent_before + ((now - self.start).as_secs_f64() * rate) as u64
    }

    /// When a message is due.
    fn due_at(&self, number: u64) -> Instant {
        match self.pace {
            Pace::Full => self.start,
            Pace::Rate(rate) => {
                let count = number - self.sent_before;
                self.start + Duration::from_secs_f64(count as f64 / rate)
            }
        }
    }
}

/// Reads what a bus tells a publisher: subscriptions, which it need not know, or a sign of life.
fn hear(publisher: &mut TcpStream, script: &Script) -> anyhow::Result<()> {
    let mut heard = [0; 16 * 1024];
    let count = match publisher.read(&mut heard) {
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error).context("the publisher reads"),
    };
    ensure!(count > 0, "the bus closed the publisher's connection");
    if let Some(interlude) = &script.interlude
        && heard[..count].starts_with(&interlude.received)
    {
        publisher.write_all(&interlude.answer)?;
    }
    Ok(())
}

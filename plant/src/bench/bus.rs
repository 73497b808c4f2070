//! `bench bus`: what a bus carries, and how late, as sources and sinks see it.

mod report;

use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plantd_client::{PublishError, Sink, SinkEvent, Source, Status};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::latencies::Latencies;
use super::ticks::{self, Ticks};
use super::{next, panicked};
use crate::bus::directory;
use crate::cli::{BenchBusArguments, Load, Options};
use crate::connect::not_connected;
use crate::failure::Failure;
use crate::output::{Format, Output};
use crate::signals::StopSignals;
use crate::stopwatch::Stopwatch;

use report::Report;

/// What every topic of a load begins with.
const TOPIC: &str = "org.plantd.bench.";
/// What the body of the last message begins with, as no other does. How many were published before
/// it follows: by it the sinks see what they missed.
const LAST: [u8; 8] = [0xFF; 8];
/// How often the last message is published until all sinks have it.
const LAST_INTERVAL: Duration = Duration::from_millis(100);
/// How long nothing may come before one more than the window is published: only the next message
/// shows that all of a window was dropped.
const STALLED: Duration = Duration::from_secs(1);
const NO_BUS: &str = "no bus at";
/// What is published before others get their turn, at most.
const BATCH: u64 = 256;

/// A source, and what is asked of it.
struct Publishing {
    source: Source,
    topic: String,
    body_bytes: usize,
    load: Load,
    duration: Duration,
}

#[derive(Debug, Default)]
struct Published {
    count: u64,
    passed_over: u64,
}

/// How far each sink is: what it got, and what it knows that it missed.
#[derive(Debug)]
struct Progress {
    accounted: Vec<AtomicU64>,
    changed: Notify,
}

/// What sinks got.
#[derive(Debug)]
struct Received {
    latencies: Latencies,
    missed: u64,
    /// When the latest one came.
    until: Duration,
}

pub(super) async fn run(
    options: &Options,
    arguments: BenchBusArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut signals = StopSignals::catch()?;
    let (frontend, backend) = directory::sides(options, &arguments.bus).await?;
    let unique = RandomState::new().hash_one(std::process::id());
    let topic = format!("{TOPIC}{unique:016x}");
    let mut sinks = Vec::new();
    for _ in 0..arguments.sinks {
        sinks.push(subscribe(options, &backend, &topic).await?);
    }
    let source = Source::builder()
        .brokers(&frontend)
        .transport(options.transport.into())
        .build()?;
    let mut status = source.status();
    let connected = timeout(options.connect_timeout(), status.wait_for(Status::is_up)).await;
    let is_late = connected.is_err();
    if is_late {
        let status = source.status().borrow().clone();
        return Err(not_connected(NO_BUS, options, &status));
    }
    let publishing = Publishing {
        source,
        topic,
        body_bytes: (arguments.load.size as usize).max(LAST.len()),
        load: arguments.load.load(),
        duration: arguments.load.duration,
    };
    let progress = Arc::new(Progress {
        accounted: sinks.iter().map(|_| AtomicU64::new(0)).collect(),
        changed: Notify::new(),
    });
    let stopwatch = Stopwatch::start();
    let (patience, given_up) = watch::channel(());
    let mut receiving = JoinSet::new();
    for (index, sink) in sinks.into_iter().enumerate() {
        let (progress, given_up) = (progress.clone(), given_up.clone());
        receiving.spawn(receive(sink, index, stopwatch, progress, given_up));
    }
    let published = publishing.run(stopwatch, &progress, &mut signals).await?;
    let collect = async {
        let mut received = Received::nothing();
        while let Some(sink) = receiving.join_next().await {
            received.add(&sink.map_err(panicked)?);
        }
        Ok::<_, Failure>(received)
    };
    let mut collect = pin!(collect);
    let received = tokio::select! {
        received = &mut collect => received?,
        () = publishing.finish(published.count, options.request_timeout(), &mut signals) => {
            drop(patience);
            collect.await?
        }
    };
    let report = Report::new(&arguments, &published, &received);
    match output.format() {
        Format::Json => output.json(&report),
        Format::Text => output.line(&report.to_string()),
    }
}

/// A sink whose subscription the broker has read.
async fn subscribe(options: &Options, backend: &[String], topic: &str) -> Result<Sink, Failure> {
    let sink = Sink::builder()
        .brokers(backend)
        .subscribe(topic)
        .transport(options.transport.into())
        .build()?;
    match timeout(options.connect_timeout(), sink.settled()).await {
        Ok(Ok(())) => Ok(sink),
        Ok(Err(_)) | Err(_) => {
            let status = sink.status().borrow().clone();
            Err(not_connected(NO_BUS, options, &status))
        }
    }
}

/// Takes what comes up to the last message.
async fn receive(
    mut sink: Sink,
    index: usize,
    stopwatch: Stopwatch,
    progress: Arc<Progress>,
    mut given_up: watch::Receiver<()>,
) -> Received {
    let mut received = Received::nothing();
    loop {
        let event = tokio::select! {
            event = sink.next() => event,
            _ = given_up.changed() => None,
        };
        let accounted = match event {
            Some(SinkEvent::Message(publication)) => {
                let body = publication.body.frame_bytes(0).unwrap_or_default();
                if let Some(published) = body.strip_prefix(&LAST) {
                    let published = number(published);
                    received.missed = published.saturating_sub(received.latencies.count());
                    return received;
                }
                received.until = stopwatch.elapsed();
                let due_at = Duration::from_nanos(number(&body));
                received
                    .latencies
                    .add(received.until.saturating_sub(due_at));
                1
            }
            Some(SinkEvent::Gap(gap)) => {
                received.missed += gap.missed;
                gap.missed
            }
            None => return received,
        };
        progress.accounted[index].fetch_add(accounted, Ordering::Relaxed);
        progress.changed.notify_one();
    }
}

impl Publishing {
    /// Publishes until the time is up or a signal comes.
    async fn run(
        &self,
        stopwatch: Stopwatch,
        progress: &Progress,
        signals: &mut StopSignals,
    ) -> Result<Published, Failure> {
        let ticks = match self.load {
            Load::Rate(rate) => Some(Ticks::start(stopwatch, rate)?),
            Load::Window(_) => None,
        };
        let mut time_is_up = pin!(sleep(self.duration));
        let mut published = Published::default();
        let mut is_stalled = false;
        let until = loop {
            let now = stopwatch.elapsed();
            let due = match self.load {
                Load::Rate(rate) => self.count_due(rate, now),
                Load::Window(_) if is_stalled => published.begun() + 1,
                Load::Window(window) => progress.slowest() + u64::from(window),
            };
            let is_behind = self.publish_due(due, now, &mut published)?;
            is_stalled = false;
            tokio::select! {
                () = &mut time_is_up => break self.duration,
                () = signals.next() => break stopwatch.elapsed(),
                () = progress.changed.notified(), if ticks.is_none() => {}
                () = sleep(STALLED), if ticks.is_none() => is_stalled = true,
                () = next(ticks.as_ref()) => {}
                () = tokio::task::yield_now(), if is_behind => {}
            }
        };
        if let Load::Rate(rate) = self.load {
            let due = self.count_due(rate, until);
            self.publish_due(due, until, &mut published)?;
            published.passed_over = due - published.count;
        }
        Ok(published)
    }

    /// How many are due by now, at a rate: none at the end of the duration itself.
    fn count_due(&self, rate: f64, now: Duration) -> u64 {
        let last = self.duration.saturating_sub(Duration::from_nanos(1));
        ticks::count_due(rate, now.min(last))
    }

    /// Publishes what is due, and says whether more is than one batch.
    fn publish_due(
        &self,
        due: u64,
        now: Duration,
        published: &mut Published,
    ) -> Result<bool, Failure> {
        let begun = published.begun();
        let batch_ends = begun + BATCH;
        for index in begun..due.min(batch_ends) {
            let due_at = match self.load {
                Load::Rate(rate) => ticks::due(index, rate),
                Load::Window(_) => now,
            };
            let mut body = vec![b'x'; self.body_bytes];
            body[..8].copy_from_slice(&nanoseconds(due_at).to_be_bytes());
            match (self.source.publish(&self.topic, body), self.load) {
                (Ok(()), _) => published.count += 1,
                (Err(PublishError::Full { .. }), Load::Rate(_)) => published.passed_over += 1,
                (Err(PublishError::Full { .. }), Load::Window(_)) => return Ok(false),
                (Err(error), _) => return Err(Failure::Usage(error.to_string())),
            }
        }
        Ok(due > batch_ends)
    }

    /// Publishes the last message, again and again since it can be dropped as any other, until the
    /// sinks were waited for long enough or a signal comes.
    async fn finish(&self, published: u64, patience: Duration, signals: &mut StopSignals) {
        let mut last = [LAST; 2].concat();
        last[8..].copy_from_slice(&published.to_be_bytes());
        let publish_last = async {
            let mut ticks = interval(LAST_INTERVAL);
            loop {
                ticks.tick().await;
                // Where it is refused, the next one follows.
                let _ = self.source.publish(&self.topic, &*last);
            }
        };
        tokio::select! {
            _ = timeout(patience, publish_last) => {}
            () = signals.next() => {}
        }
    }
}

impl Published {
    /// How many were published or passed over: the index of the next one.
    fn begun(&self) -> u64 {
        self.count + self.passed_over
    }
}

impl Progress {
    /// What the slowest sink has got, or knows that it missed.
    fn slowest(&self) -> u64 {
        let accounted = self.accounted.iter();
        let accounted = accounted.map(|count| count.load(Ordering::Relaxed));
        accounted.min().unwrap_or_default()
    }
}

/// The number that these bytes begin with.
fn number(bytes: &[u8]) -> u64 {
    let number = bytes.first_chunk().copied();
    number.map(u64::from_be_bytes).unwrap_or_default()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Received {
    fn nothing() -> Self {
        Self {
            latencies: Latencies::new(),
            missed: 0,
            until: Duration::ZERO,
        }
    }

    fn add(&mut self, other: &Self) {
        self.latencies.add_all(&other.latencies);
        self.missed += other.missed;
        self.until = self.until.max(other.until);
    }
}

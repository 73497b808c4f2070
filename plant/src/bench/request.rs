//! `bench request`: how fast a service answers, as those who ask it see it.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use plantd_client::{Body, Client, RequestError, ServiceName};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::latencies::{Latencies, Percentiles};
use super::ticks::{self, Ticks};
use super::{next, panicked};
use crate::cli::{BenchRequestArguments, Load, Options};
use crate::connect::{connect, nobody_serves};
use crate::failure::Failure;
use crate::output::{Format, Output, units};
use crate::signals::StopSignals;
use crate::stopwatch::Stopwatch;

/// What a broker takes from one client: how many may be unanswered at a given rate.
const MOST_UNANSWERED: usize = 4096;

/// What is asked, and how fast.
#[derive(Debug)]
struct Asking {
    client: Client,
    service: ServiceName,
    body: Body,
    timeout: Duration,
    load: Load,
    duration: Duration,
}

/// A request that has ended, with the time since it was due.
#[derive(Debug)]
struct Ended {
    latency: Duration,
    error: Option<RequestError>,
}

/// What came of all requests.
#[derive(Debug)]
struct Tally {
    sent: u64,
    answered: Latencies,
    errors: BTreeMap<String, u64>,
    first_error: Option<RequestError>,
}

/// The report, in JSON as it is.
#[derive(Debug, Serialize)]
struct Report {
    service: String,
    rate: Option<f64>,
    window: Option<u32>,
    body_bytes: usize,
    /// Until the last one ended.
    seconds: f64,
    sent: u64,
    answered: u64,
    failed: u64,
    /// Still unanswered when a second signal came.
    given_up: u64,
    /// Due, and not sent because too many were unanswered.
    not_sent: u64,
    answered_per_second: f64,
    errors: BTreeMap<String, u64>,
    /// Of those that were answered.
    latency_ms: Option<Percentiles>,
}

pub(super) async fn run(
    options: &Options,
    arguments: BenchRequestArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let body = if arguments.body.is_empty() {
        vec![b'x'; arguments.load.size as usize].into()
    } else {
        Body::from_frames(&arguments.body)
    };
    let asking = Asking {
        client: connect(options).await?,
        service: arguments.service,
        body,
        timeout: options.request_timeout(),
        load: arguments.load.load(),
        duration: arguments.load.duration,
    };
    if nobody_serves(&asking.client, &asking.service).await {
        return Err(Failure::NoWorker {
            service: asking.service.to_string(),
        });
    }
    let (report, tally) = asking.run().await?;
    match output.format() {
        Format::Json => output.json(&report)?,
        Format::Text => output.line(&report.to_string())?,
    }
    match tally.first_error {
        None => Ok(()),
        Some(first) => Err(Failure::Several {
            failed: report.failed,
            sent: report.sent,
            first: Box::new(Failure::of(&report.service, asking.timeout, first)),
        }),
    }
}

impl Asking {
    /// Asks until the time is up or a signal comes, then waits for what is unanswered.
    async fn run(&self) -> Result<(Report, Tally), Failure> {
        let mut signals = StopSignals::catch()?;
        let stopwatch = Stopwatch::start();
        let ticks = match self.load {
            Load::Rate(rate) => Some(Ticks::start(stopwatch, rate)?),
            Load::Window(_) => None,
        };
        let mut time_is_up = pin!(sleep(self.duration));
        let mut tally = Tally::new();
        let mut unanswered = JoinSet::new();
        let mut asked_for = None;
        let elapsed = loop {
            if asked_for.is_none() {
                self.send_due(stopwatch, &mut tally.sent, &mut unanswered);
            } else if unanswered.is_empty() {
                break stopwatch.elapsed();
            }
            let has_room = unanswered.len() < self.most_unanswered();
            tokio::select! {
                Some(ended) = unanswered.join_next() => tally.add(ended.map_err(panicked)?),
                () = next(ticks.as_ref()), if asked_for.is_none() && has_room => {}
                () = &mut time_is_up, if asked_for.is_none() => asked_for = Some(self.duration),
                () = signals.next() => match asked_for {
                    None => asked_for = Some(stopwatch.elapsed()),
                    Some(_) => break stopwatch.elapsed(),
                },
            }
        };
        let not_sent = match self.load {
            Load::Rate(rate) => {
                let until = asked_for.unwrap_or(self.duration).min(self.duration);
                ticks::count_due(rate, until.saturating_sub(Duration::from_nanos(1)))
                    .saturating_sub(tally.sent)
            }
            Load::Window(_) => 0,
        };
        Ok((self.report(&tally, not_sent, elapsed), tally))
    }

    fn most_unanswered(&self) -> usize {
        match self.load {
            Load::Rate(_) => MOST_UNANSWERED,
            Load::Window(window) => window as usize,
        }
    }

    /// Sends what is due and has room.
    fn send_due(&self, stopwatch: Stopwatch, sent: &mut u64, unanswered: &mut JoinSet<Ended>) {
        let now = stopwatch.elapsed();
        while unanswered.len() < self.most_unanswered() {
            let due = match self.load {
                Load::Rate(rate) => ticks::due(*sent, rate),
                Load::Window(_) => now,
            };
            if due > now || due >= self.duration {
                return;
            }
            *sent += 1;
            let request = self
                .client
                .request(self.service.as_str(), self.body.clone())
                .timeout(self.timeout);
            unanswered.spawn(async move {
                let result = request.await;
                Ended {
                    latency: stopwatch.elapsed().saturating_sub(due),
                    error: result.err(),
                }
            });
        }
    }

    fn report(&self, tally: &Tally, not_sent: u64, elapsed: Duration) -> Report {
        let (rate, window) = self.load.parts();
        let (answered, failed) = (tally.answered.count(), tally.errors.values().sum());
        let seconds = elapsed.as_secs_f64().max(1e-9);
        Report {
            service: self.service.to_string(),
            rate,
            window,
            body_bytes: self.body.len_bytes(),
            seconds,
            sent: tally.sent,
            answered,
            failed,
            given_up: tally.sent - answered - failed,
            not_sent,
            answered_per_second: answered as f64 / seconds,
            errors: tally.errors.clone(),
            latency_ms: tally.answered.percentiles(),
        }
    }
}

impl Tally {
    fn new() -> Self {
        Self {
            sent: 0,
            answered: Latencies::new(),
            errors: BTreeMap::new(),
            first_error: None,
        }
    }

    fn add(&mut self, ended: Ended) {
        match ended.error {
            None => self.answered.add(ended.latency),
            Some(error) => {
                *self.errors.entry(error.code().to_owned()).or_default() += 1;
                self.first_error.get_or_insert(error);
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            body_bytes,
            sent,
            answered,
            failed,
            ..
        } = self;
        match (self.rate, self.window) {
            (Some(rate), _) => write!(f, "{service}, {body_bytes} bytes, {rate} due a second: ")?,
            (None, window) => {
                let window = window.unwrap_or_default();
                write!(f, "{service}, {body_bytes} bytes, {window} unanswered: ")?;
            }
        }
        let took = units::duration(Duration::from_secs_f64(self.seconds));
        let rate = self.answered_per_second;
        write!(f, "{sent} sent, {answered} answered, {failed} failed")?;
        if self.given_up > 0 {
            write!(f, ", {} given up", self.given_up)?;
        }
        write!(f, " in {took} ({rate:.0} a second)")?;
        if self.not_sent > 0 {
            write!(
                f,
                "\n{} more were due and not sent: {MOST_UNANSWERED} were unanswered",
                self.not_sent
            )?;
        }
        for (code, count) in &self.errors {
            write!(f, "\nfailed as {code}: {count}")?;
        }
        if let Some(latency) = &self.latency_ms {
            write!(f, "\nlatency from when one was due: {latency}")?;
        }
        Ok(())
    }
}

//! What a worker tells while it serves: where it is registered, and what it answered.

use std::time::Duration;

use plantd_client::{Body, Request, ServiceName, Status, WorkerError};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::output::body::one_line;
use crate::output::{Format, Output, units};
use crate::stopwatch::Stopwatch;

/// Prints what happens, and counts.
#[derive(Debug)]
pub(super) struct Journal {
    service: ServiceName,
    verbose: bool,
    registered_at: Vec<String>,
    was_registered: bool,
    tally: Tally,
    reports: mpsc::UnboundedReceiver<Report>,
}

/// Where handlers report to. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Reports(mpsc::UnboundedSender<Report>);

/// A request that is worked on; reported as given up when it is dropped before its end.
#[derive(Debug)]
pub(super) struct Begun {
    reports: Reports,
    request: u64,
    bytes: usize,
    stopwatch: Stopwatch,
    outcome: Outcome,
}

/// A request that has ended.
#[derive(Debug)]
pub(super) struct Report {
    request: u64,
    bytes: usize,
    took: Duration,
    outcome: Outcome,
}

#[derive(Debug, Clone)]
enum Outcome {
    Answered { bytes: usize },
    Failed(WorkerError),
    GivenUp,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    answered: u64,
    failed: u64,
    given_up: u64,
}

/// What happened, in JSON.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Registered {
        service: &'a str,
        broker: &'a str,
    },
    Lost {
        service: &'a str,
        broker: &'a str,
        reason: &'a str,
    },
    Answered {
        request: u64,
        request_bytes: usize,
        answer_bytes: usize,
        took_ms: f64,
    },
    Failed {
        request: u64,
        request_bytes: usize,
        took_ms: f64,
        code: &'a str,
        message: &'a str,
    },
    GivenUp {
        request: u64,
        request_bytes: usize,
        took_ms: f64,
    },
    Stopped {
        answered: u64,
        failed: u64,
        given_up: u64,
    },
}

impl Reports {
    pub(super) fn begin(&self, request: &Request) -> Begun {
        Begun {
            reports: self.clone(),
            request: request.id(),
            bytes: request.body().len_bytes(),
            stopwatch: Stopwatch::start(),
            outcome: Outcome::GivenUp,
        }
    }
}

impl Begun {
    pub(super) fn end(mut self, result: &Result<Body, WorkerError>) {
        self.outcome = match result {
            Ok(body) => Outcome::Answered {
                bytes: body.len_bytes(),
            },
            Err(error) => Outcome::Failed(error.clone()),
        };
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // The journal is gone only when the process ends.
        let _ = self.reports.0.send(Report {
            request: self.request,
            bytes: self.bytes,
            took: self.stopwatch.elapsed(),
            outcome: self.outcome.clone(),
        });
    }
}

impl Journal {
    pub(super) fn new(service: ServiceName, verbose: bool) -> (Reports, Self) {
        let (sender, reports) = mpsc::unbounded_channel();
        let journal = Self {
            service,
            verbose,
            registered_at: Vec::new(),
            was_registered: false,
            tally: Tally::default(),
            reports,
        };
        (Reports(sender), journal)
    }

    /// Waits for the next report. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    /// Whether the worker has been registered at any time.
    pub(super) fn was_registered(&self) -> bool {
        self.was_registered
    }

    /// Tells at which brokers the worker is registered or lost since the last call.
    pub(super) fn show_status(
        &mut self,
        status: &Status,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let up = status.brokers.iter().filter(|broker| broker.is_up);
        let up: Vec<String> = up.map(|broker| broker.endpoint.clone()).collect();
        let before = std::mem::replace(&mut self.registered_at, up.clone());
        let service = self.service.as_str();
        for broker in up.iter().filter(|broker| !before.contains(broker)) {
            self.was_registered = true;
            write(&Event::Registered { service, broker }, output)?;
        }
        for broker in before.iter().filter(|broker| !up.contains(broker)) {
            let lost = status
                .brokers
                .iter()
                .find(|status| status.endpoint == *broker);
            let reason = lost.and_then(|status| status.last_error.as_deref());
            let reason = reason.unwrap_or_default();
            let lost = Event::Lost {
                service,
                broker,
                reason,
            };
            write(&lost, output)?;
        }
        Ok(())
    }

    /// Counts a request that has ended, and tells of it when asked to be verbose.
    pub(super) fn show(&mut self, report: &Report, output: &mut Output) -> Result<(), Failure> {
        match report.outcome {
            Outcome::Answered { .. } => self.tally.answered += 1,
            Outcome::Failed(_) => self.tally.failed += 1,
            Outcome::GivenUp => self.tally.given_up += 1,
        }
        if self.verbose {
            write(&report.event(), output)?;
        }
        Ok(())
    }

    /// Tells what is left to tell, and the counts.
    pub(super) fn close(mut self, output: &mut Output) -> Result<(), Failure> {
        while let Ok(report) = self.reports.try_recv() {
            self.show(&report, output)?;
        }
        let Tally {
            answered,
            failed,
            given_up,
        } = self.tally;
        let stopped = Event::Stopped {
            answered,
            failed,
            given_up,
        };
        write(&stopped, output)
    }
}

impl Report {
    fn event(&self) -> Event<'_> {
        let request = self.request;
        let request_bytes = self.bytes;
        let took_ms = units::milliseconds(self.took);
        match &self.outcome {
            Outcome::Answered { bytes } => Event::Answered {
                request,
                request_bytes,
                answer_bytes: *bytes,
                took_ms,
            },
            Outcome::Failed(error) => Event::Failed {
                request,
                request_bytes,
                took_ms,
                code: &error.code,
                message: &error.message,
            },
            Outcome::GivenUp => Event::GivenUp {
                request,
                request_bytes,
                took_ms,
            },
        }
    }
}

impl Event<'_> {
    fn text(&self) -> String {
        match self {
            Self::Registered { service, broker } => format!("serving {service} at {broker}"),
            Self::Lost { broker, reason, .. } => {
                format!("lost {broker}: {}; dialling again", one_line(reason))
            }
            Self::Answered {
                request,
                request_bytes,
                answer_bytes,
                took_ms,
            } => {
                let [asked, answered] =
                    [request_bytes, answer_bytes].map(|n| units::bytes(*n as u64));
                format!("request {request}: {asked} in, {answered} out, {took_ms} ms")
            }
            Self::Failed {
                request,
                code,
                message,
                ..
            } => format!(
                "request {request}: failed: {}",
                one_line(&format!("{code}: {message}"))
            ),
            Self::GivenUp {
                request, took_ms, ..
            } => format!("request {request}: given up after {took_ms} ms"),
            Self::Stopped {
                answered,
                failed,
                given_up,
            } => format!("{answered} answered, {failed} failed, {given_up} given up"),
        }
    }
}

fn write(event: &Event<'_>, output: &mut Output) -> Result<(), Failure> {
    match output.format() {
        Format::Json => output.json(event),
        Format::Text => output.line(&event.text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(outcome: Outcome) -> Report {
        Report {
            request: 17,
            bytes: 5,
            took: Duration::from_micros(1500),
            outcome,
        }
    }

    #[test]
    fn each_end_of_a_request_is_a_line() {
        let failure = WorkerError::new("exit-1", "no\nluck");
        for (outcome, text, json) in [
            (
                Outcome::Answered { bytes: 2048 },
                "request 17: 5 B in, 2 KiB out, 1.5 ms",
                r#"{"event":"answered","request":17,"request_bytes":5,"answer_bytes":2048,"took_ms":1.5}"#,
            ),
            (
                Outcome::Failed(failure),
                "request 17: failed: exit-1: no\\nluck",
                r#"{"event":"failed","request":17,"request_bytes":5,"took_ms":1.5,"code":"exit-1","message":"no\nluck"}"#,
            ),
            (
                Outcome::GivenUp,
                "request 17: given up after 1.5 ms",
                r#"{"event":"given_up","request":17,"request_bytes":5,"took_ms":1.5}"#,
            ),
        ] {
            let report = ended(outcome);
            assert_eq!(report.event().text(), text);
            assert_eq!(serde_json::to_string(&report.event()).unwrap(), json);
        }
    }
}

//! What `bench bus` says at its end.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{LAST, Published, Received};
use crate::bench::latencies::Percentiles;
use crate::cli::BenchBusArguments;
use crate::output::units;

/// The report, in JSON as it is.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bus: String,
    rate: Option<f64>,
    window: Option<u32>,
    sinks: u32,
    body_bytes: usize,
    /// Until a sink got the latest message.
    seconds: f64,
    published: u64,
    /// Due, and not published: no broker took those before, or this process fell behind.
    not_published: u64,
    /// By all sinks together.
    received: u64,
    /// Dropped on the way, as the sinks saw it.
    missed: u64,
    /// Neither received nor known to be missed when the timeout passed.
    outstanding: u64,
    /// By each sink.
    received_per_second: f64,
    latency_ms: Option<Percentiles>,
}

impl Report {
    pub(super) fn new(
        arguments: &BenchBusArguments,
        published: &Published,
        received: &Received,
    ) -> Self {
        let (rate, window) = arguments.load.load().parts();
        let count = received.latencies.count();
        let sinks = u64::from(arguments.sinks);
        let seconds = received.until.as_secs_f64().max(1e-9);
        Self {
            bus: arguments.bus.clone(),
            rate,
            window,
            sinks: arguments.sinks,
            body_bytes: (arguments.load.size as usize).max(LAST.len()),
            seconds,
            published: published.count,
            not_published: published.passed_over,
            received: count,
            missed: received.missed,
            outstanding: (published.count * sinks).saturating_sub(count + received.missed),
            received_per_second: count as f64 / sinks as f64 / seconds,
            latency_ms: received.latencies.percentiles(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bus,
            body_bytes,
            sinks,
            published,
            received,
            missed,
            ..
        } = self;
        write!(f, "{bus}, {body_bytes} bytes, sinks: {sinks}, ")?;
        match (self.rate, self.window) {
            (Some(rate), _) => write!(f, "{rate} due a second: ")?,
            (None, window) => write!(f, "{} on their way: ", window.unwrap_or_default())?,
        }
        let took = units::duration(Duration::from_secs_f64(self.seconds));
        let rate = self.received_per_second;
        write!(
            f,
            "{published} published, {received} received, {missed} missed"
        )?;
        write!(f, " in {took} ({rate:.0} a second at each sink)")?;
        if self.not_published > 0 {
            write!(
                f,
                "\n{} more were due and not published: the broker or this process fell behind",
                self.not_published
            )?;
        }
        if self.outstanding > 0 {
            write!(
                f,
                "\n{} had not come when the timeout passed",
                self.outstanding
            )?;
        }
        if let Some(latency) = &self.latency_ms {
            write!(f, "\nlatency from when one was due: {latency}")?;
        }
        Ok(())
    }
}

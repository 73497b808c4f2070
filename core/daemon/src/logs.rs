//! Logs: `tracing` events as one JSON object a line, or as text for a terminal.
//!
//! Who logs never waits for a disk or a terminal: an event becomes a record in a bounded
//! queue, and a thread of its own formats and writes it. When the queue is full, lines are dropped,
//! counted, and the loss is a line itself.
//!
//! A field `context` of an event names its area (`worker.registration`; else the module's path).
//! `worker_id`, `client_id`, `request_id`, `trace_id` and `span_id`, of an event or of a span around
//! it, stand at the top level; every other field is under `fields`.

mod layer;
mod record;
mod throttle;
mod writer;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing::Span;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, Shared};
use layer::Records;
use writer::{Format, Queue, Writer};

pub use throttle::Throttle;

/// Target of the spans that [`part`] makes.
const PART: &str = "plantd_daemon::part";

/// How long the last lines may take to be written when the process ends.
const FLUSH: Duration = Duration::from_secs(2);

/// Why logs could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The log file cannot be opened for appending.
    #[error("open log_file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The writing thread cannot be started.
    #[error("start the thread that writes logs")]
    Thread(#[source] io::Error),
    /// The process has a subscriber of `tracing` already.
    #[error("logs were started before")]
    AlreadyStarted(#[from] tracing_subscriber::util::TryInitError),
}

/// The logs of this process; when dropped, it waits for the lines that are still queued.
#[derive(Debug)]
pub struct Logs {
    queue: Arc<Queue>,
}

impl Logs {
    /// Starts the logs of the process, whose lines say `service` where no [`part`] says otherwise.
    ///
    /// Of `shared`, reads `log_level`, `log_format` and `log_file`.
    ///
    /// # Errors
    /// When `log_file` cannot be opened, or logs were started before.
    pub fn start(service: &str, shared: &Shared) -> Result<Self, LogsError> {
        let text = match shared.log_format {
            LogFormat::Auto => io::stdout().is_terminal(),
            LogFormat::Json => false,
            LogFormat::Text => true,
        };
        let file = match &shared.log_file {
            None => None,
            Some(path) => Some(
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(path)
                    .map_err(|source| LogsError::File {
                        path: path.clone(),
                        source,
                    })?,
            ),
        };
        let queue = Arc::new(Queue::default());
        let writer = Writer {
            queue: queue.clone(),
            service: service.to_owned(),
            format: if text { Format::Text } else { Format::Json },
            stdout: io::stdout(),
            file,
        };
        thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || writer.run())
            .map_err(LogsError::Thread)?;
        // The spans that name a part count at every level.
        let filter = EnvFilter::builder()
            .parse_lossy(format!("{},{PART}=error", shared.log_level.directives()));
        tracing_subscriber::registry()
            .with(filter)
            .with(Records {
                queue: queue.clone(),
                service: service.to_owned(),
                now: jiff::Timestamp::now,
            })
            .try_init()?;
        Ok(Self { queue })
    }

    /// Counts the lines that were dropped because stdout or the log file was too slow.
    pub fn dropped(&self) -> Counter {
        self.queue.dropped.clone()
    }

    /// Waits until what was logged so far is written, for two seconds at most.
    pub fn flush(&self) {
        self.queue.flush(FLUSH);
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.flush();
    }
}

/// A span whose lines say `service` in place of the process: one part of an all-in-one process.
///
/// It follows tasks by `tracing::Instrument` and threads by `Span::in_scope`.
pub fn part(service: &str) -> Span {
    tracing::error_span!(target: PART, "part", service)
}

#[cfg(test)]
mod tests;

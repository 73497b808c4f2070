//! The queue between those who log and the thread that writes.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use tracing::Level;

use super::record::{Fields, Record};

/// Most records that wait to be written.
const QUEUED: usize = 8_192;

/// Records on their way to the writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    pub(super) dropped: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    records: VecDeque<Record>,
    /// Dropped since the writer last looked.
    dropped: u64,
    /// The writer holds records that it has taken.
    writing: bool,
}

impl Queue {
    /// Queues the record, or drops and counts it when the queue is full.
    pub(super) fn push(&self, record: Record) {
        let mut waiting = self.lock();
        if waiting.records.len() < QUEUED {
            waiting.records.push_back(record);
            self.changed.notify_all();
        } else {
            waiting.dropped += 1;
            self.dropped.inc();
        }
    }

    /// Waits until everything is written, for `limit` at most.
    pub(super) fn flush(&self, limit: Duration) {
        let busy = |waiting: &mut Waiting| waiting.writing || !waiting.records.is_empty();
        let _ = self.changed.wait_timeout_while(self.lock(), limit, busy);
    }

    /// Waits for records and takes all of them, with the number of those that were dropped.
    pub(super) fn take(&self) -> (VecDeque<Record>, u64) {
        let mut waiting = self
            .changed
            .wait_while(self.lock(), |waiting| waiting.records.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        waiting.writing = true;
        (
            mem::take(&mut waiting.records),
            mem::take(&mut waiting.dropped),
        )
    }

    fn written(&self) {
        self.lock().writing = false;
        self.changed.notify_all();
    }

    /// The queue holds whole records only, so one that a panic left behind is as good as any.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How lines look on stdout; in the file they are JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Text,
}

/// Writes what is queued, for as long as the process lives.
#[derive(Debug)]
pub(super) struct Writer<W> {
    pub(super) queue: Arc<Queue>,
    pub(super) service: String,
    pub(super) format: Format,
    pub(super) stdout: W,
    pub(super) file: Option<File>,
}

impl<W: Write> Writer<W> {
    pub(super) fn run(mut self) {
        loop {
            let (records, dropped) = self.queue.take();
            self.write(&records, dropped);
            self.queue.written();
        }
    }

    /// Writes a batch; a stdout that is closed or a full disk loses lines and stops nobody.
    pub(super) fn write(&mut self, records: &VecDeque<Record>, dropped: u64) {
        let loss = (dropped > 0).then(|| self.loss(dropped));
        let (mut json, mut text) = (String::new(), String::new());
        for record in records.iter().chain(&loss) {
            if self.format == Format::Json || self.file.is_some() {
                record.write_json(&mut json);
            }
            if self.format == Format::Text {
                record.write_text(&mut text);
            }
        }
        let lines = match self.format {
            Format::Json => &json,
            Format::Text => &text,
        };
        let _ = self
            .stdout
            .write_all(lines.as_bytes())
            .and_then(|()| self.stdout.flush());
        if let Some(file) = &mut self.file {
            let _ = file.write_all(json.as_bytes());
        }
    }

    fn loss(&self, dropped: u64) -> Record {
        let mut fields = Fields::default();
        fields.put("dropped", dropped.into());
        Record {
            timestamp: Timestamp::now(),
            level: Level::WARN,
            service: self.service.clone(),
            context: "logs.dropped".to_owned(),
            message: "log lines were dropped because they could not be written fast enough"
                .to_owned(),
            top: Fields::default(),
            fields,
        }
    }
}

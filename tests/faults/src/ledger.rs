//! What clients and workers write down.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A request by a client, from when it was asked to its end.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) once_at_most: bool,
    pub(crate) start_us: u64,
    /// When it ended, and how.
    pub(crate) end: Option<(u64, Ending)>,
    /// How often it ended.
    pub(crate) ends: u32,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With this body.
    Answered(String),
    /// With an error that says that it was not done, or not for certain.
    Failed(String),
    /// Nobody can know whether it was done: the time was over, or the connection.
    Unknown(String),
}

/// The requests of all clients of a round.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<BTreeMap<u64, Asked>>>);

impl Ledger {
    /// Writes down a request, and gives its number.
    pub(crate) fn asks(&self, once_at_most: bool) -> u64 {
        let mut requests = self.requests();
        let id = requests.len() as u64 + 1;
        let asked = Asked {
            once_at_most,
            start_us: now_us(),
            end: None,
            ends: 0,
        };
        requests.insert(id, asked);
        id
    }

    /// Writes down that a request ended.
    pub(crate) fn ends(&self, id: u64, ending: Ending) {
        if let Some(asked) = self.requests().get_mut(&id) {
            asked.ends += 1;
            asked.end.get_or_insert((now_us(), ending));
        }
    }

    /// Writes down that nothing is known of the requests that have not ended.
    pub(crate) fn gives_up(&self, ids: impl IntoIterator<Item = u64>, why: &str) {
        for id in ids {
            if let Some(asked) = self.requests().get_mut(&id) {
                asked
                    .end
                    .get_or_insert_with(|| (now_us(), Ending::Unknown(why.to_owned())));
            }
        }
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, BTreeMap<u64, Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An execution of a request by a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Executed {
    pub(crate) id: u64,
    pub(crate) worker: u32,
    pub(crate) start_us: u64,
}

/// Where a worker writes down what it does: one line and one write for each execution, so that a
/// worker that is killed has written what it began.
pub(crate) struct Journal {
    file: File,
    worker: u32,
}

impl Journal {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            file,
            worker: std::process::id(),
        })
    }

    /// Writes down that a request is begun, before anything is done.
    pub(crate) fn begins(&self, id: u64) -> io::Result<()> {
        let line = format!("{id} {} {}\n", self.worker, now_us());
        (&self.file).write_all(line.as_bytes())
    }
}

/// Reads what all workers of a round have written.
pub(crate) fn executions(path: &Path) -> io::Result<Vec<Executed>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let parse = |line: &str| {
        let mut fields = line.split(' ');
        Some(Executed {
            id: fields.next()?.parse().ok()?,
            worker: fields.next()?.parse().ok()?,
            start_us: fields.next()?.parse().ok()?,
        })
    };
    let executions = text.lines().map(|line| {
        let broken = || io::Error::other(format!("a journal has the line {line:?}"));
        parse(line).ok_or_else(broken)
    });
    executions.collect()
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

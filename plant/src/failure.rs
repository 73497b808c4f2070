//! How a command fails: one line on stderr, and an exit code that scripts can rely on.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use plantd_client::{ConfigError, RequestError};
use serde::Serialize;

use crate::output::body::one_line;
use crate::output::units;

const OTHER: u8 = 1;
const NO_WORKER: u8 = 3;
const TIMEOUT: u8 = 4;
const WORKER: u8 = 5;
const NOT_CONNECTED: u8 = 6;
const NOT_THERE: u8 = 7;
const MISMATCH: u8 = 8;
pub(crate) const USAGE: u8 = 64;

/// The exit codes, for the help text.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   any other failure
  3   nobody serves the service
  4   no answer within the timeout
  5   the worker answered with an error, or was lost
  6   the broker is not there
  7   there is no such scope, key, version or backup
  8   a key, scope or database is not as it had to be, and nothing was written
  64  wrong usage";

/// Why a command ends without having done what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments cannot be used.
    Usage(String),
    /// No worker is registered for the service.
    NoWorker { service: String },
    /// The answer did not come in time.
    Timeout { asked: String, timeout: Duration },
    /// The worker answered with an error, or was lost.
    Worker {
        service: String,
        error: RequestError,
    },
    /// The state service refused, or it is not known what it did.
    State {
        subject: String,
        code: String,
        message: String,
        /// The version that a key has instead.
        present: Option<u64>,
        exit: StateExit,
    },
    /// The broker is not there, or went away.
    NotConnected { reason: String },
    /// The broker answered with another error.
    Refused(RequestError),
    /// Some of several requests failed; each failure has been told.
    Several {
        failed: u64,
        sent: u64,
        first: Box<Failure>,
    },
    /// A file or a stream cannot be read or written, or a part of the system refuses.
    System { what: String, error: io::Error },
    /// What was begun could not be finished.
    Unfinished(String),
    /// Who read stdout has gone, having seen what it wanted.
    ReaderLeft,
}

/// What a refusal of the state service means to a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateExit {
    NotThere,
    Mismatch,
    Usage,
    Unknown,
    /// The service refuses.
    Other,
    /// It is about files of this machine.
    Here,
}

/// A failure in JSON.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FailureJson {
    code: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

impl Failure {
    /// What an error means to whoever asked `asked`, a service or a broker, with that timeout.
    pub(crate) fn of(asked: &str, timeout: Duration, error: RequestError) -> Self {
        match error {
            RequestError::Timeout => Self::Timeout {
                asked: asked.to_owned(),
                timeout,
            },
            RequestError::NoWorker { .. } => Self::NoWorker {
                service: asked.to_owned(),
            },
            RequestError::WorkerError { .. } | RequestError::WorkerLost { .. } => Self::Worker {
                service: asked.to_owned(),
                error,
            },
            RequestError::NotConnected { .. }
            | RequestError::ConnectionLost
            | RequestError::Draining { .. } => Self::NotConnected {
                reason: error.to_string(),
            },
            RequestError::InvalidService(source) => Self::Usage(source.to_string()),
            RequestError::InvalidProperty { .. }
            | RequestError::Busy { .. }
            | RequestError::TooLarge { .. }
            | RequestError::Denied { .. }
            | RequestError::Cancelled { .. }
            | RequestError::BadRequest { .. }
            | RequestError::Unsupported { .. }
            | RequestError::Other { .. }
            | RequestError::InvalidReply(_)
            | RequestError::Closed
            | _ => Self::Refused(error),
        }
    }

    /// An error while stdout is written to.
    pub(crate) fn writing(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderLeft;
        }
        Self::System {
            what: "write to stdout".to_owned(),
            error,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        self.code().into()
    }

    /// Whether asking again would only fail again.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Worker { .. } | Self::Refused(_) => false,
            Self::Usage(_)
            | Self::NoWorker { .. }
            | Self::State { .. }
            | Self::NotConnected { .. }
            | Self::Several { .. }
            | Self::System { .. }
            | Self::Unfinished(_)
            | Self::ReaderLeft => true,
        }
    }

    pub(crate) fn to_json(&self) -> FailureJson {
        let mut worker_code = None;
        if let Self::Worker {
            error: RequestError::WorkerError { code, .. },
            ..
        } = self
        {
            worker_code = Some(code.clone());
        }
        let mut version = None;
        if let Self::State { present, .. } = self {
            version = *present;
        }
        FailureJson {
            code: self.word().to_owned(),
            message: self.to_string(),
            worker_code,
            version,
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::NoWorker { .. } => NO_WORKER,
            Self::Timeout { .. } => TIMEOUT,
            Self::Worker { .. } => WORKER,
            Self::State { exit, .. } => match exit {
                StateExit::NotThere => NOT_THERE,
                StateExit::Mismatch => MISMATCH,
                StateExit::Usage => USAGE,
                StateExit::Unknown => TIMEOUT,
                StateExit::Other => WORKER,
                StateExit::Here => OTHER,
            },
            Self::NotConnected { .. } => NOT_CONNECTED,
            Self::Several { first, .. } => first.code(),
            Self::Refused(_) | Self::System { .. } | Self::Unfinished(_) => OTHER,
            Self::ReaderLeft => 0,
        }
    }

    fn word(&self) -> &str {
        match self {
            Self::Usage(_) => "usage",
            Self::NoWorker { .. } => "no-worker",
            Self::Timeout { .. } => "timeout",
            Self::Worker { error, .. } | Self::Refused(error) => error.code(),
            Self::State { code, .. } => code,
            Self::NotConnected { .. } => "not-connected",
            Self::Several { first, .. } => first.word(),
            Self::System { .. } => "system",
            Self::Unfinished(_) => "unfinished",
            Self::ReaderLeft => "reader-left",
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let mut text = error.to_string();
        if let Some(source) = error.source() {
            text = format!("{text}: {source}");
        }
        Self::Usage(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) => f.write_str(problem),
            Self::NoWorker { service } => write!(
                f,
                "nobody serves {service}; `plant services` lists what is served"
            ),
            Self::Timeout { asked, timeout } => write!(
                f,
                "no answer from {asked} within {}; --timeout allows more",
                units::duration(*timeout)
            ),
            Self::Worker { service, error } => {
                write!(f, "{service}: {}", one_line(&error.to_string()))
            }
            Self::State {
                subject, message, ..
            } => write!(f, "{}: {}", one_line(subject), one_line(message)),
            Self::NotConnected { reason } => write!(
                f,
                "{}; start a broker with `plantd`, or name another with --broker",
                one_line(reason)
            ),
            Self::Refused(error) => f.write_str(&one_line(&error.to_string())),
            Self::Several { failed, sent, .. } => write!(f, "{failed} of {sent} requests failed"),
            Self::System { what, error } => write!(f, "{what}: {error}"),
            Self::Unfinished(what) => f.write_str(what),
            Self::ReaderLeft => f.write_str("stdout was closed"),
        }
    }
}

#[cfg(test)]
mod tests;

//! The codes of typed errors.

use std::fmt;

/// Says why a request has no answer: the `code` of an MDP/0.3 ERROR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// The request was never dispatched within the queue time.
    NoWorker,
    /// The request's deadline passed.
    Timeout,
    /// A limit of the broker is reached; a later try may succeed.
    Busy,
    /// The request's or the reply's body is over the limit.
    TooLarge,
    /// The peer may not do this.
    Denied,
    /// The client cancelled the request.
    Cancelled,
    /// The worker was lost and the request may not be given to another.
    WorkerLost,
    /// The worker answered with an error of its own, in `worker-code` and `message`.
    WorkerError,
    /// The request is malformed.
    BadRequest,
    /// The request has a property that must be understood and is not.
    Unsupported,
    /// The broker or the worker is stopping.
    Draining,
}

impl ErrorCode {
    /// Every code, in the order of declaration.
    pub const ALL: [Self; 11] = [
        Self::NoWorker,
        Self::Timeout,
        Self::Busy,
        Self::TooLarge,
        Self::Denied,
        Self::Cancelled,
        Self::WorkerLost,
        Self::WorkerError,
        Self::BadRequest,
        Self::Unsupported,
        Self::Draining,
    ];

    /// Whether a broker says by it that it did not give the request to a worker.
    pub(crate) fn says_not_done(self) -> bool {
        match self {
            Self::NoWorker | Self::Busy => true,
            Self::Timeout
            | Self::TooLarge
            | Self::Denied
            | Self::Cancelled
            | Self::WorkerLost
            | Self::WorkerError
            | Self::BadRequest
            | Self::Unsupported
            | Self::Draining => false,
        }
    }

    /// Returns the code as it is on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoWorker => "no-worker",
            Self::Timeout => "timeout",
            Self::Busy => "busy",
            Self::TooLarge => "too-large",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::WorkerLost => "worker-lost",
            Self::WorkerError => "worker-error",
            Self::BadRequest => "bad-request",
            Self::Unsupported => "unsupported",
            Self::Draining => "draining",
        }
    }

    /// Reads a code; `None` for one that this version does not know.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == code)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

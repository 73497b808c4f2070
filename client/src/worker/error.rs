//! How a handler says that a request failed.

use super::NobodyWaits;

/// An error of a handler, which its client gets as
/// [`RequestError::WorkerError`](crate::RequestError::WorkerError).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct WorkerError {
    /// A short word for programs, such as `not-found`. The first 128 bytes are sent.
    pub code: String,
    /// A sentence for people. The first 2 KiB are sent.
    pub message: String,
    /// Whether another worker may succeed: the broker then tries one, if the request allows.
    pub retryable: bool,
}

impl WorkerError {
    /// Creates an error that no other worker is asked after.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            retryable: false,
        }
    }

    /// Lets the broker try another worker.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}

impl From<NobodyWaits> for WorkerError {
    fn from(gone: NobodyWaits) -> Self {
        Self::new("cancelled", gone.to_string())
    }
}

impl From<crate::NotText> for WorkerError {
    fn from(error: crate::NotText) -> Self {
        Self::new("bad-request", error.to_string())
    }
}

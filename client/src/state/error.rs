//! Why the state service did not do what it was asked.

use serde::Deserialize;

use super::value::{DecodeError, EncodeError};
use crate::RequestError;

/// Says why nothing was read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The scope does not exist.
    #[error("there is no such scope")]
    NoScope,
    /// There is no such key or version.
    #[error("there is no such key or version")]
    NotFound,
    /// The value is not of the type that was asked for.
    #[error("the value of {key:?} cannot be read")]
    Value {
        /// Whose value.
        key: String,
        /// What it is instead.
        #[source]
        source: DecodeError,
    },
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] StateError),
}

/// Says why nothing was written, or that it is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The scope does not exist.
    #[error("there is no such scope")]
    NoScope,
    /// The scope to create exists.
    #[error("the scope exists")]
    ScopeExists,
    /// There is no such key.
    #[error("there is no such key")]
    NotFound,
    /// The key that was to be created has a value.
    #[error("the key has a value, of version {present}")]
    Exists {
        /// The version that the key has.
        present: u64,
    },
    /// The key has another version than the write was meant for.
    #[error("the key has version {present}")]
    VersionMismatch {
        /// The version that the key has; 0: there is no value.
        present: u64,
    },
    /// A scope, key, value or batch is over its limit.
    #[error("too large: {message}")]
    TooLarge {
        /// Which limit.
        message: String,
    },
    /// The disk of the state service is full.
    #[error("the disk is full: {message}")]
    Full {
        /// The service's words.
        message: String,
    },
    /// The value cannot be written as JSON; nothing was sent.
    #[error(transparent)]
    Value(#[from] EncodeError),
    /// One operation of a batch was refused, and so all of it was.
    #[error("operation {index} of the batch")]
    InBatch {
        /// Which operation, from 0.
        index: usize,
        /// Why.
        #[source]
        source: Box<WriteError>,
    },
    /// No answer came, within the time and the tries that there are. It was done once or not at all.
    #[error("whether it was written is not known")]
    UnknownOutcome(#[source] RequestError),
    /// Anything else; nothing was changed.
    #[error(transparent)]
    Failed(#[from] StateError),
}

/// Says why a watch ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The scope does not exist, or was deleted.
    #[error("there is no such scope")]
    NoScope,
    /// Anything else that would only happen again.
    #[error(transparent)]
    Failed(#[from] StateError),
}

/// Says why the state service did not do what it was asked, whatever that was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The service refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request has no answer.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// A refusal of the state service; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The word for programs, as `docs/protocol.md` lists them.
    pub code: String,
    /// The service's words.
    pub message: String,
    pub(super) detail: Detail,
}

/// What a refusal says for whoever goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Detail {
    pub(super) version: u64,
    pub(super) index: Option<usize>,
    pub(super) sequence: u64,
}

impl StateError {
    /// The code: that of the service, or [`RequestError::code`].
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.code,
            Self::Request(error) => error.code(),
        }
    }
}

impl ReadError {
    /// The code, as [`StateError::code`]; `invalid-value` where a value is of another type.
    pub fn code(&self) -> &str {
        match self {
            Self::NoScope => "no-scope",
            Self::NotFound => "not-found",
            Self::Value { .. } => "invalid-value",
            Self::Failed(error) => error.code(),
        }
    }
}

impl WriteError {
    /// The code, as [`StateError::code`]; `invalid-value` where a value is no JSON, and
    /// `unknown-outcome`.
    pub fn code(&self) -> &str {
        match self {
            Self::NoScope => "no-scope",
            Self::ScopeExists => "scope-exists",
            Self::NotFound => "not-found",
            Self::Exists { .. } => "exists",
            Self::VersionMismatch { .. } => "version-mismatch",
            Self::TooLarge { .. } => "too-large",
            Self::Full { .. } => "full",
            Self::Value(_) => "invalid-value",
            Self::InBatch { source, .. } => source.code(),
            Self::UnknownOutcome(_) => "unknown-outcome",
            Self::Failed(error) => error.code(),
        }
    }

    fn refused(refusal: Refusal) -> Self {
        let present = refusal.detail.version;
        match refusal.code.as_str() {
            "no-scope" => Self::NoScope,
            "scope-exists" => Self::ScopeExists,
            "not-found" => Self::NotFound,
            "exists" => Self::Exists { present },
            "version-mismatch" => Self::VersionMismatch { present },
            "too-large" => Self::TooLarge {
                message: refusal.message,
            },
            "full" => Self::Full {
                message: refusal.message,
            },
            _ => Self::Failed(StateError::Refused(refusal)),
        }
    }
}

impl WatchError {
    /// The code, as [`StateError::code`].
    pub fn code(&self) -> &str {
        match self {
            Self::NoScope => "no-scope",
            Self::Failed(error) => error.code(),
        }
    }
}

/// How an operation ended without having been done, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// It was not done.
    Not(StateError),
    /// It may have been done.
    Unknown(RequestError),
}

impl Failed {
    /// An answer that is not what was asked for.
    pub(super) fn invalid(error: RequestError) -> Self {
        Self::Not(StateError::Request(error))
    }

    /// The sequence of the scope, as far as a refusal says it.
    pub(super) fn sequence(&self) -> Option<u64> {
        match self {
            Self::Not(StateError::Refused(refusal)) => Some(refusal.detail.sequence),
            Self::Not(StateError::Request(_)) | Self::Unknown(_) => None,
        }
    }
}

impl From<Failed> for StateError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Not(error) => error,
            Failed::Unknown(error) => Self::Request(error),
        }
    }
}

impl From<Failed> for ReadError {
    fn from(failed: Failed) -> Self {
        let error = StateError::from(failed);
        match error.code() {
            "no-scope" => Self::NoScope,
            "not-found" => Self::NotFound,
            _ => Self::Failed(error),
        }
    }
}

impl From<Failed> for WriteError {
    fn from(failed: Failed) -> Self {
        let refusal = match failed {
            Failed::Not(StateError::Refused(refusal)) => refusal,
            Failed::Not(error) => return Self::Failed(error),
            Failed::Unknown(error) => return Self::UnknownOutcome(error),
        };
        match refusal.detail.index {
            Some(index) => Self::InBatch {
                index,
                source: Box::new(Self::refused(refusal)),
            },
            None => Self::refused(refusal),
        }
    }
}

//! Why an operation was not done, as a client is told.

use std::fmt;

use serde_json::{Map, Value};

/// The word for programs in a refusal; `docs/protocol.md` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// Not two frames, not JSON, or a field that is missing, unknown or out of range.
    BadRequest,
    /// There is no operation of that name.
    UnknownOperation,
    /// Something is over its limit.
    TooLarge,
    /// The scope does not exist.
    NoScope,
    /// The scope to create exists.
    ScopeExists,
    /// There is no such key, version or backup.
    NotFound,
    /// A key that was to be created has a value.
    Exists,
    /// A key has another version than was said.
    VersionMismatch,
    /// The id was used for another write.
    IdReused,
    /// A write that may have been done is asked for again after its id may be forgotten.
    TooLate,
    /// There are too many of something.
    Busy,
    /// The history does not reach back that far.
    Gap,
    /// The disk is full.
    Full,
    /// Another program holds the store.
    Unavailable,
    /// What is on disk is not what was written.
    Damaged,
    /// The daemon stops.
    Draining,
    /// The scope is of another shard.
    WrongShard,
    /// A batch has scopes of several shards.
    CrossShard,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 18] = [
        Self::BadRequest,
        Self::UnknownOperation,
        Self::TooLarge,
        Self::NoScope,
        Self::ScopeExists,
        Self::NotFound,
        Self::Exists,
        Self::VersionMismatch,
        Self::IdReused,
        Self::TooLate,
        Self::Busy,
        Self::Gap,
        Self::Full,
        Self::Unavailable,
        Self::Damaged,
        Self::Draining,
        Self::WrongShard,
        Self::CrossShard,
    ];

    /// The code of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// The code as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::UnknownOperation => "unknown-operation",
            Self::TooLarge => "too-large",
            Self::NoScope => "no-scope",
            Self::ScopeExists => "scope-exists",
            Self::NotFound => "not-found",
            Self::Exists => "exists",
            Self::VersionMismatch => "version-mismatch",
            Self::IdReused => "id-reused",
            Self::TooLate => "too-late",
            Self::Busy => "busy",
            Self::Gap => "gap",
            Self::Full => "full",
            Self::Unavailable => "unavailable",
            Self::Damaged => "damaged",
            Self::Draining => "draining",
            Self::WrongShard => "wrong-shard",
            Self::CrossShard => "cross-shard",
        }
    }
}

/// A refusal: nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The word for programs.
    pub code: Code,
    /// The text for people: what, where, and what would be right.
    pub error: String,
    /// What helps to go on.
    pub data: Map<String, Value>,
}

impl Refusal {
    /// A refusal without data.
    pub fn new(code: Code, error: impl Into<String>) -> Self {
        Self {
            code,
            error: error.into(),
            data: Map::new(),
        }
    }

    /// Adds what helps to go on.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.error)
    }
}

//! What is measured of a state service: the cases of the table.

use std::fmt;

use serde::{Serialize, Serializer};

/// A row of the table, for one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Case {
    pub(super) operation: Operation,
    /// Connections.
    pub(super) clients: usize,
    /// Unanswered requests of each.
    pub(super) window: usize,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Set,
    Get,
}

impl Operation {
    const ALL: [Self; 2] = [Self::Set, Self::Get];
}

impl Case {
    /// One client with many requests under way.
    pub(super) const fn wide(operation: Operation) -> Self {
        Self {
            operation,
            clients: 1,
            window: 500,
        }
    }

    /// Many clients, each with one request at a time.
    pub(super) const fn crowd(operation: Operation) -> Self {
        Self {
            operation,
            clients: 50,
            window: 1,
        }
    }

    /// One request at a time.
    pub(super) const fn single(operation: Operation) -> Self {
        Self {
            operation,
            clients: 1,
            window: 1,
        }
    }

    /// Every case of the table.
    pub(super) fn all() -> Vec<Self> {
        let cases = [Self::wide, Self::crowd, Self::single];
        let of = |case: fn(Operation) -> Self| Operation::ALL.map(case);
        cases.into_iter().flat_map(of).collect()
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Set => "set",
            Self::Get => "get",
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operation,
            clients,
            window,
        } = self;
        write!(f, "{operation} clients={clients} window={window}")
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

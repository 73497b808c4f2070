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
    /// How often each key is given its value before.
    pub(super) rounds: u64,
}

/// Revisions of a key that a bucket of NATS keeps: with 10,000 keys as many in all as a scope of plantd.
pub(super) const HISTORY: u64 = 10;

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
            rounds: 1,
        }
    }

    /// Many clients, each with one request at a time.
    pub(super) const fn crowd(operation: Operation) -> Self {
        Self {
            operation,
            clients: 50,
            window: 1,
            rounds: 1,
        }
    }

    /// One request at a time.
    pub(super) const fn single(operation: Operation) -> Self {
        Self {
            operation,
            clients: 1,
            window: 1,
            rounds: 1,
        }
    }

    /// The same when every history is full, so that each set takes a change away.
    pub(super) const fn full(operation: Operation) -> Self {
        Self {
            rounds: HISTORY,
            ..Self::wide(operation)
        }
    }

    /// What the table calls it, beside its clients and their windows.
    pub(super) fn name(&self) -> String {
        let history = if self.rounds == 1 {
            ""
        } else {
            ", history full"
        };
        format!("{}{history}", self.operation)
    }

    /// Every case of the table.
    pub(super) fn all() -> Vec<Self> {
        let cases = [Self::wide, Self::crowd, Self::single];
        let of = |case: fn(Operation) -> Self| Operation::ALL.map(case);
        let mut cases: Vec<Self> = cases.into_iter().flat_map(of).collect();
        cases.insert(1, Self::full(Operation::Set));
        cases
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
            rounds,
        } = self;
        let history = if *rounds == 1 { "" } else { " history=full" };
        write!(f, "{operation}{history} clients={clients} window={window}")
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

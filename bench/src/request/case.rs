//! What is measured: the cases of the table.

use std::fmt;

use serde::{Serialize, Serializer};

/// A row of the table, for one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Case {
    pub(crate) dialect: Dialect,
    /// Unanswered requests of the one client.
    pub(crate) window: usize,
    pub(crate) body_bytes: usize,
    /// Workers in all, spread evenly over the services.
    pub(crate) workers: usize,
    /// Services, asked in turn.
    pub(crate) services: usize,
    /// Workers of another service that are connected and never asked.
    pub(crate) idle: usize,
}

/// What client, workers and plantd speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Mdp02,
    Mdp03,
}

impl Dialect {
    pub(crate) const ALL: [Self; 2] = [Self::Mdp02, Self::Mdp03];
}

impl Case {
    /// Small bodies, one service and nobody idle.
    pub(crate) const fn plain(dialect: Dialect, window: usize, workers: usize) -> Self {
        Self {
            dialect,
            window,
            body_bytes: 64,
            workers,
            services: 1,
            idle: 0,
        }
    }

    /// The same with other workers that are never asked.
    pub(crate) const fn beside(self, idle: usize) -> Self {
        Self { idle, ..self }
    }

    /// Every case of the table.
    pub(crate) fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for dialect in Dialect::ALL {
            for window in [500, 1] {
                for body_bytes in [64, 1024] {
                    let plain = [1, 16, 64].map(|workers| Self::plain(dialect, window, workers));
                    cases.extend(plain.map(|case| Self { body_bytes, ..case }));
                }
            }
            cases.push(Self {
                services: 4,
                ..Self::plain(dialect, 500, 16)
            });
        }
        cases
    }

    /// The cases of a smoke run.
    pub(crate) fn quick() -> Vec<Self> {
        let mut cases = Vec::new();
        for dialect in Dialect::ALL {
            cases.extend([1, 16].map(|workers| Self::plain(dialect, 500, workers)));
            cases.push(Self::plain(dialect, 1, 1));
        }
        cases
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mdp02 => "MDP/0.2",
            Self::Mdp03 => "MDP/0.3",
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            dialect,
            window,
            body_bytes,
            workers,
            services,
            idle,
        } = self;
        write!(
            f,
            "{dialect} window={window} body={body_bytes} workers={workers} services={services} \
             idle={idle}"
        )
    }
}

impl Serialize for Dialect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

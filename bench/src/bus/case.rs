//! What is measured of a bus: the cases of the table.

use std::fmt;

use serde::Serialize;

/// A row of the table, for one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Case {
    pub(super) subscribers: usize,
    pub(super) body_bytes: usize,
    /// Topics that each subscriber has subscribed to. Each message has one of them, in turn.
    pub(super) subscriptions: usize,
}

impl Case {
    /// Small bodies and one topic.
    pub(super) const fn plain(subscribers: usize) -> Self {
        Self {
            subscribers,
            body_bytes: 64,
            subscriptions: 1,
        }
    }

    /// Every case of the table.
    pub(super) fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for subscriptions in [1, 10_000] {
            for body_bytes in [64, 1024] {
                cases.extend([1, 4, 64].map(|subscribers| Self {
                    subscribers,
                    body_bytes,
                    subscriptions,
                }));
            }
        }
        cases
    }

    /// The cases of a smoke run.
    pub(super) fn quick() -> Vec<Self> {
        let many = Self {
            subscriptions: 10_000,
            ..Self::plain(1)
        };
        vec![Self::plain(1), Self::plain(4), many]
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subscribers,
            body_bytes,
            subscriptions,
        } = self;
        write!(
            f,
            "subscribers={subscribers} body={body_bytes} subscriptions={subscriptions}"
        )
    }
}

//! Histories of operations on keys, and whether some order of one at a time explains them.
//!
//! A version names the one write that made it, and versions of a key go up, so that the order
//! of the writes is known and need not be searched for. What is left to check: that it agrees with what was
//! seen to happen before what, and that every operation saw the state that it should at its place.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What an operation did, as who asked saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It wrote a value: its version, and the one before.
    Wrote {
        value: u64,
        version: u64,
        previous: u64,
    },
    /// It saw a version, and its value if it was one that asks for it; 0: no value.
    Saw { version: u64, value: Option<u64> },
    /// It may have written this value or not.
    Unknown { value: u64 },
}

/// An operation with the moments at which it was asked and answered.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    key: String,
    asked: u64,
    answered: u64,
    outcome: Outcome,
}

/// What all clients recorded.
#[derive(Debug, Default)]
pub(crate) struct History {
    clock: AtomicU64,
    operations: Mutex<Vec<Operation>>,
}

impl History {
    /// The next moment.
    pub(crate) fn moment(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Records an operation that is answered now.
    pub(crate) fn record(&self, key: &str, asked: u64, outcome: Outcome) {
        let operation = Operation {
            key: key.to_owned(),
            asked,
            answered: self.moment(),
            outcome,
        };
        self.operations.lock().unwrap().push(operation);
    }

    /// How many operations there are.
    pub(crate) fn len(&self) -> usize {
        self.operations.lock().unwrap().len()
    }

    /// What contradicts every order; `None` if nothing does.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let operations = self.operations.lock().unwrap();
        let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        for operation in operations.iter() {
            keys.entry(&operation.key).or_default().push(operation);
        }
        keys.values()
            .find_map(|operations| contradiction_of_key(operations))
    }
}

fn contradiction_of_key(operations: &[&Operation]) -> Option<String> {
    let mut writes = BTreeMap::new();
    for operation in operations {
        if let Outcome::Wrote { version, .. } = operation.outcome
            && let Some(other) = writes.insert(version, *operation)
        {
            return Some(format!(
                "two writes of one version: {other:?}, {operation:?}"
            ));
        }
    }
    for operation in operations {
        match operation.outcome {
            Outcome::Wrote {
                version, previous, ..
            } => {
                let between = writes.range(previous + 1..version).next();
                if previous >= version || between.is_some() {
                    return Some(format!("{operation:?} passed over {between:?}"));
                }
            }
            Outcome::Saw { version, value } => {
                let wrong = match (writes.get(&version), value) {
                    (Some(write), Some(value)) => {
                        !matches!(write.outcome, Outcome::Wrote { value: wrote, .. } if wrote == value)
                            || write.asked > operation.answered
                    }
                    // A write that nobody was told of; its value was asked for by somebody.
                    (None, Some(value)) => !operations.iter().any(|other| {
                        other.outcome == Outcome::Unknown { value }
                            && other.asked < operation.answered
                    }),
                    (Some(write), None) => write.asked > operation.answered,
                    (None, None) => false,
                };
                if wrong {
                    return Some(format!("{operation:?} saw what nobody wrote"));
                }
            }
            Outcome::Unknown { .. } => {}
        }
    }
    out_of_order(operations)
}

/// An operation that saw less than one which was answered before it was asked.
fn out_of_order(operations: &[&Operation]) -> Option<String> {
    let version = |operation: &Operation| match operation.outcome {
        Outcome::Wrote { version, .. } | Outcome::Saw { version, .. } => Some(version),
        Outcome::Unknown { .. } => None,
    };
    let mut answered: Vec<(u64, u64)> = operations
        .iter()
        .filter_map(|operation| Some((operation.answered, version(operation)?)))
        .collect();
    answered.sort_unstable();
    // The most that was seen by anybody up to each answer.
    let mut most = 0;
    for (_, version) in &mut answered {
        most = most.max(*version);
        *version = most;
    }
    operations.iter().find_map(|operation| {
        let own = version(operation)?;
        let before = answered.partition_point(|(moment, _)| *moment < operation.asked);
        let seen = before.checked_sub(1).map_or(0, |last| answered[last].1);
        let is_write = matches!(operation.outcome, Outcome::Wrote { .. });
        let is_late = own < seen || (is_write && own == seen);
        is_late.then(|| format!("{operation:?}, after version {seen} had been seen"))
    })
}

#[test]
fn the_checker_finds_what_no_order_explains() {
    let wrote = |value, version, previous| Outcome::Wrote {
        value,
        version,
        previous,
    };
    let saw = |version, value| Outcome::Saw { version, value };
    let contradiction = |outcomes: &[(u64, u64, Outcome)]| {
        let history = History::default();
        for (asked, answered, outcome) in outcomes {
            let operation = Operation {
                key: "a".to_owned(),
                asked: *asked,
                answered: *answered,
                outcome: outcome.clone(),
            };
            history.operations.lock().unwrap().push(operation);
        }
        history.contradiction()
    };
    let two = [(0, 1, wrote(7, 1, 0)), (2, 3, wrote(8, 2, 1))];
    assert_eq!(contradiction(&two), None);
    let with = |third| contradiction(&[two[0].clone(), two[1].clone(), third]);
    assert_eq!(
        with((2, 5, saw(1, Some(7)))),
        None,
        "beside the second write"
    );
    assert_eq!(with((4, 5, saw(2, Some(8)))), None);
    assert!(with((4, 5, saw(1, Some(7)))).is_some(), "a stale read");
    assert!(with((4, 5, saw(2, Some(7)))).is_some(), "another's value");
    assert!(with((4, 5, wrote(9, 3, 1))).is_some(), "a lost update");
    assert!(
        with((4, 5, wrote(9, 2, 1))).is_some(),
        "a version used twice"
    );
    assert!(
        with((4, 5, saw(3, Some(9)))).is_some(),
        "a value from nowhere"
    );
    assert!(
        with((4, 5, saw(0, None))).is_some(),
        "a write that was lost"
    );
    let unknown = [
        (0, 9, Outcome::Unknown { value: 9 }),
        (1, 2, saw(3, Some(9))),
    ];
    assert_eq!(contradiction(&unknown), None);
}

//! What a run comes to, and how it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::time::Duration;

use plantd_mdp::planted::Bug;

/// A run without a violation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// How long it took, in its own time.
    pub simulated: Duration,
    /// Questions that were answered.
    pub answered: u64,
    /// Questions that failed.
    pub failed: u64,
    /// Executions by workers.
    pub executed: u64,
    /// What brokers did, and how often: `left: expired`, `failed: timeout`, `rejected: orphaned`,
    /// `closed: outbox_full`, `paused`, `drained`, `tried again`.
    pub seen: BTreeMap<String, u64>,
}

/// A run with a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What makes the run again.
    pub seed: u64,
    /// When it was seen, in the run's own time.
    pub at: Duration,
    /// What was wrong.
    pub words: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, words } = self;
        writeln!(f, "seed {seed} at {:.4} s: {words}", at.as_secs_f64())?;
        write!(
            f,
            "again: cargo run --release -p plantd-sim -- --replay {seed} --verbose"
        )
    }
}

impl std::error::Error for Failure {}

/// What became of the bugs that were planted.
#[derive(Debug, Default)]
pub struct Hunt(pub(crate) BTreeMap<Bug, Option<Failure>>);

impl Hunt {
    /// How many were planted.
    pub fn planted(&self) -> usize {
        self.0.len()
    }

    /// How many were found.
    pub fn caught(&self) -> usize {
        self.0.values().flatten().count()
    }
}

impl fmt::Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bug, found) in &self.0 {
            match found {
                Some(Failure { seed, words, .. }) => writeln!(f, "{bug:?}: seed {seed}: {words}")?,
                None => writeln!(f, "{bug:?}: not caught")?,
            }
        }
        write!(f, "{} of {} caught", self.caught(), self.planted())
    }
}

/// Writes a line for whoever replays a run; a reader that is gone is no matter.
pub(crate) fn line(words: &str) {
    let _gone = writeln!(std::io::stdout().lock(), "{words}");
}

//! What must be true of what clients and workers have written down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::bus_load::BusFigures;
use crate::ledger::{Asked, Ending, Executed};
use crate::rounds::Round;

/// How often the library sends a request, times how often a broker gives it to a worker, by default.
const ATTEMPTS: usize = 3 * 3;
/// How many violations of a kind are told.
const TOLD: usize = 5;

/// What a round came to.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The kind of fault.
    pub round: Round,
    /// How long it went on.
    pub seconds: f64,
    /// How often somebody was struck.
    pub strikes: u64,
    /// Requests that were asked.
    pub asked: usize,
    /// Requests that were answered.
    pub answered: usize,
    /// Requests that ended by an error, by its code.
    pub failed: BTreeMap<String, usize>,
    /// Requests whose end nobody can know: the time was over, or the connection.
    pub unknown: usize,
    /// Executions by workers.
    pub executed: usize,
    /// Executions of a request that had been begun before.
    pub again: usize,
    /// The most memory of a broker, in bytes.
    pub peak_bytes: u64,
    /// What was published, where there was a bus.
    pub bus: Option<BusFigures>,
    /// What was promised and did not hold.
    pub violations: Vec<String>,
}

/// What one round has written down.
pub(crate) struct Records {
    pub(crate) requests: BTreeMap<u64, Asked>,
    pub(crate) executions: Vec<Executed>,
    /// Whether connections were cut or brokers killed, so that who asks only once cannot know all.
    pub(crate) is_cut: bool,
}

impl Records {
    pub(crate) fn check(&self, round: Round, time: Duration) -> Outcome {
        let mut outcome = Outcome {
            round,
            seconds: time.as_secs_f64(),
            strikes: 0,
            asked: self.requests.len(),
            answered: 0,
            failed: BTreeMap::new(),
            unknown: 0,
            executed: 0,
            again: 0,
            peak_bytes: 0,
            bus: None,
            violations: Vec::new(),
        };
        let mut begun: BTreeMap<u64, Vec<&Executed>> = BTreeMap::new();
        for executed in self.executions.iter().filter(|executed| executed.id != 0) {
            begun.entry(executed.id).or_default().push(executed);
        }
        outcome.executed = begun.values().map(Vec::len).sum();
        outcome.again = outcome.executed - begun.len();
        self.count_ends(&mut outcome);
        for (id, asked) in &self.requests {
            let begun = begun.get(id).map_or(&[][..], Vec::as_slice);
            if let Some(violation) = self.violation(*id, asked, begun) {
                outcome.violations.push(violation);
            }
        }
        let known: BTreeSet<u64> = self.requests.keys().copied().collect();
        let unasked = begun.keys().filter(|id| !known.contains(id));
        outcome
            .violations
            .extend(unasked.map(|id| format!("{id} was done and never asked")));
        let more = outcome.violations.len().saturating_sub(TOLD);
        if more > 0 {
            outcome.violations.truncate(TOLD);
            outcome.violations.push(format!("and {more} more"));
        }
        outcome
    }

    fn count_ends(&self, outcome: &mut Outcome) {
        for asked in self.requests.values() {
            match &asked.end {
                Some((_, Ending::Answered(_))) => outcome.answered += 1,
                Some((_, Ending::Failed(code))) => {
                    *outcome.failed.entry(code.clone()).or_default() += 1;
                }
                Some((_, Ending::Unknown(_))) => outcome.unknown += 1,
                None => {}
            }
        }
    }

    fn violation(&self, id: u64, asked: &Asked, begun: &[&Executed]) -> Option<String> {
        let Some((end_us, ending)) = &asked.end else {
            return Some(format!("{id} is lost: it has no end"));
        };
        if asked.ends > 1 {
            return Some(format!("{id} ended {} times", asked.ends));
        }
        if asked.once_at_most && begun.len() > 1 {
            return Some(format!(
                "{id} was done {} times, and must not be",
                begun.len()
            ));
        }
        if begun.len() > ATTEMPTS {
            return Some(format!("{id} was done {} times", begun.len()));
        }
        match ending {
            Ending::Answered(body) => {
                let by = body.strip_prefix(&format!("{id} "));
                let by = by.and_then(|worker| worker.parse::<u32>().ok());
                let did = |executed: &&&Executed| {
                    Some(executed.worker) == by
                        && asked.start_us <= executed.start_us
                        && executed.start_us <= *end_us
                };
                let is_wrong = !begun.iter().any(|executed| did(&executed));
                is_wrong.then(|| format!("{id} was answered by {body:?}, and done by {begun:?}"))
            }
            Ending::Unknown(why) if !self.is_cut && asked.ends == 0 => {
                Some(format!("{id} is lost although nobody was cut off: {why}"))
            }
            Ending::Failed(_) | Ending::Unknown(_) => None,
        }
    }
}

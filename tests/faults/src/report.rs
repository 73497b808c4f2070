//! The table of all rounds, and the same as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::bus_load::BusFigures;
use crate::checker::Outcome;

/// What the rounds of one seed came to.
#[derive(Debug, Serialize)]
pub struct Report {
    seed: u64,
    rounds: Vec<Outcome>,
}

impl Report {
    /// A report without rounds.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rounds: Vec::new(),
        }
    }

    /// Adds a round, and gives its line of the table, with the head before the first.
    pub fn add(&mut self, outcome: Outcome) -> String {
        let mut text = String::new();
        if self.rounds.is_empty() {
            text += "round            seconds strikes  asked answered failed unknown again  MiB  violations\n";
        }
        text += &line(&outcome);
        self.rounds.push(outcome);
        text
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        let mut rounds = self.rounds.iter();
        rounds.all(|round| round.violations.is_empty())
    }

    /// All figures.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("figures are JSON")
    }
}

fn line(outcome: &Outcome) -> String {
    let Outcome {
        round,
        seconds,
        strikes,
        asked,
        answered,
        failed,
        unknown,
        again,
        peak_bytes,
        bus,
        violations,
        ..
    } = outcome;
    let name = round.to_string();
    let count: usize = failed.values().sum();
    let mib = peak_bytes >> 20;
    let mut text = format!(
        "{name:<16} {seconds:>7.1} {strikes:>7} {asked:>6} {answered:>8} {count:>6} {unknown:>7} \
         {again:>5} {mib:>4}  {}",
        violations.len()
    );
    for (code, times) in failed {
        // Writing to a string does not fail.
        let _ = write!(text, "\n    {times} failed as {code}");
    }
    if let Some(BusFigures {
        published,
        received,
        missed,
    }) = bus
    {
        let _ = write!(
            text,
            "\n    {published} published, {received} received and {missed} missed by two sinks"
        );
    }
    for violation in violations {
        let _ = write!(text, "\n    VIOLATION: {violation}");
    }
    text
}

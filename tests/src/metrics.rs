//! What a broker's `/metrics` says, or that of whoever is one to its own clients.

use std::collections::BTreeMap;
use std::fmt;

/// The text of `/metrics`, at one moment.
#[derive(Clone)]
pub struct Reading {
    text: String,
    /// What the names of its series begin with.
    prefix: String,
}

impl Reading {
    pub fn new(text: String) -> Self {
        Self::of("broker", text)
    }

    /// Reads the metrics of another part.
    pub fn of(part: &str, text: String) -> Self {
        let prefix = format!("plantd_{part}_");
        Self { text, prefix }
    }

    /// The series of the part, without what their names begin with.
    fn series(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines();
        lines.filter_map(|line| line.strip_prefix(&self.prefix))
    }

    /// A series by its whole name without `plantd_<part>_`; 0 if there is none.
    pub fn value(&self, series: &str) -> u64 {
        let mut values = self
            .series()
            .filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        values.next().map_or(0, |value| {
            value
                .parse()
                .expect("counters and gauges of the broker are whole numbers")
        })
    }

    /// How often something was refused for this reason.
    pub fn rejected(&self, reason: &str) -> u64 {
        self.value(&format!("rejected_total{{reason=\"{reason}\"}}"))
    }

    /// How many requests failed with this code.
    pub fn failed(&self, code: &str) -> u64 {
        self.value(&format!("requests_failed_total{{code=\"{code}\"}}"))
    }

    /// How many connections ended for this reason.
    pub fn closed(&self, reason: &str) -> u64 {
        self.value(&format!("connections_closed_total{{reason=\"{reason}\"}}"))
    }

    /// Every reason for which something was refused, with how often.
    pub fn rejections(&self) -> BTreeMap<String, u64> {
        self.series()
            .filter_map(|line| {
                let rest = line.strip_prefix("rejected_total{reason=\"")?;
                let (reason, count) = rest.split_once("\"} ")?;
                Some((
                    reason.to_owned(),
                    count.parse().expect("a counter is whole"),
                ))
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

impl fmt::Debug for Reading {
    /// Shows the series that are not 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.series().filter(|line| !line.ends_with(" 0")))
            .finish()
    }
}

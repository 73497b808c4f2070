//! A measurement as it is published: JSON, on a topic of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::host::Reading;

/// Whose metrics these are: the second part of their topics.
const SERVICE: &str = "host";

/// What is published of one reading (`docs/protocol.md`, "Metrics").
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Measurement {
    timestamp: String,
    service: &'static str,
    pub(crate) name: &'static str,
    value: f64,
    units: &'static str,
    tags: BTreeMap<&'static str, String>,
}

impl Measurement {
    pub(crate) fn new(reading: Reading, host: &str, now: Timestamp) -> Self {
        let mut tags = reading.tags;
        tags.insert("host", host.to_owned());
        Self {
            timestamp: now.to_string(),
            service: SERVICE,
            name: reading.kind.name,
            value: reading.value,
            units: reading.kind.units,
            tags,
        }
    }

    /// The topic that it is published on.
    pub(crate) fn topic(&self) -> String {
        topic_of(self.name)
    }

    /// Its JSON.
    pub(crate) fn payload(&self) -> String {
        serde_json::to_string(self).expect("a measurement is plain data")
    }
}

/// The topic of a metric of this module.
pub(crate) fn topic_of(name: &str) -> String {
    format!("org.plantd.metric.{SERVICE}.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::KINDS;

    #[test]
    fn it_is_published_as_the_protocol_says() {
        let reading = Reading {
            kind: KINDS[0],
            value: 0.25,
            tags: BTreeMap::new(),
        };
        let now = "2026-01-15T10:30:00.25Z".parse().unwrap();
        let measurement = Measurement::new(reading, "press-3", now);
        assert_eq!(
            measurement.payload(),
            r#"{"timestamp":"2026-01-15T10:30:00.25Z","service":"host","name":"cpu.utilization","value":0.25,"units":"ratio","tags":{"host":"press-3"}}"#
        );
        assert_eq!(
            measurement.topic(),
            "org.plantd.metric.host.cpu.utilization"
        );
    }
}

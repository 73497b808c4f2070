//! A publication or a gap, for people and for programs.

use std::collections::BTreeMap;
use std::time::SystemTime;

use jiff::Timestamp;
use plantd_client::{Gap, Publication, SinkEvent};
use serde::Serialize;

use super::traffic::{Rate, Tally};
use crate::output::body::{Frame, frames, one_line, properties, readable};

/// What is printed as JSON, a line for each.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Record<'a> {
    Message {
        #[serde(skip_serializing_if = "Option::is_none")]
        bus: Option<&'a str>,
        topic: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        time: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sequence: Option<u64>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        properties: BTreeMap<&'a str, &'a str>,
        body: Vec<Frame>,
    },
    Gap {
        #[serde(skip_serializing_if = "Option::is_none")]
        bus: Option<&'a str>,
        topic: String,
        source: String,
        first: u64,
        missed: u64,
    },
    Count {
        messages: u64,
        bytes: u64,
        missed: u64,
    },
    Rate {
        messages_per_second: u64,
        bytes_per_second: u64,
        missed: u64,
    },
}

impl<'a> Record<'a> {
    pub(super) fn of(bus: Option<&'a str>, event: &'a SinkEvent) -> Self {
        match event {
            SinkEvent::Message(publication) => {
                let header = publication.header.as_ref();
                Self::Message {
                    bus,
                    topic: topic_text(publication),
                    time: header.and_then(|header| timestamp(header.time)),
                    source: header.map(|header| header.source.to_string()),
                    sequence: header.map(|header| header.sequence),
                    properties: header
                        .map(|header| properties(&header.properties))
                        .unwrap_or_default(),
                    body: frames(&publication.body),
                }
            }
            SinkEvent::Gap(gap) => Self::Gap {
                bus,
                topic: gap.topic.to_string(),
                source: gap.source.to_string(),
                first: gap.first,
                missed: gap.missed,
            },
        }
    }

    pub(super) fn count(tally: &Tally) -> Self {
        Self::Count {
            messages: tally.messages,
            bytes: tally.bytes,
            missed: tally.missed,
        }
    }

    pub(super) fn rate(rate: Rate, missed: u64) -> Self {
        Self::Rate {
            messages_per_second: rate.messages_per_second,
            bytes_per_second: rate.bytes_per_second,
            missed,
        }
    }
}

/// A line or more: bus, time, topic, body.
pub(super) fn text(bus: Option<&str>, event: &SinkEvent) -> String {
    let mut line = String::new();
    if let Some(bus) = bus {
        line.push_str(&one_line(bus));
        line.push_str("  ");
    }
    match event {
        SinkEvent::Message(publication) => {
            if let Some(header) = &publication.header
                && let Some(time) = timestamp(header.time)
            {
                line.push_str(&time);
                line.push_str("  ");
            }
            line.push_str(&one_line(&topic_text(publication)));
            let body = readable(&publication.body);
            if !body.is_empty() {
                line.push_str("  ");
                line.push_str(body.trim_end_matches('\n'));
            }
        }
        SinkEvent::Gap(gap) => line.push_str(&gap_text(gap)),
    }
    line
}

/// What is missing, as a sentence.
pub(super) fn gap_text(gap: &Gap) -> String {
    let Gap {
        source,
        topic,
        missed,
        ..
    } = gap;
    format!("{topic}  missed {missed} of {source}")
}

/// The topic as text where it is, else with its bytes escaped.
fn topic_text(publication: &Publication) -> String {
    let topic = &publication.topic;
    topic
        .as_str()
        .map_or_else(|| topic.to_string(), str::to_owned)
}

/// RFC 3339, in milliseconds.
fn timestamp(time: SystemTime) -> Option<String> {
    let timestamp = Timestamp::try_from(time).ok()?;
    Some(format!("{timestamp:.3}"))
}

#[cfg(test)]
mod tests {
    use plantd_client::{Body, Topic};

    use super::*;

    fn plain(topic: &[u8], body: Body) -> SinkEvent {
        SinkEvent::Message(Publication {
            topic: Topic::new(topic).unwrap(),
            header: None,
            body,
        })
    }

    #[test]
    fn a_publication_is_a_line_for_people() {
        let event = plain(b"a.b", Body::from("hello\n"));
        assert_eq!(text(Some("metric"), &event), "metric  a.b  hello");
        assert_eq!(text(None, &event), "a.b  hello");
        let event = plain(b"a\xff", Body::default());
        assert_eq!(text(None, &event), "a\\xff");
        let event = plain(b"a\x1b[2J", Body::from_frames(["1", "2"]));
        assert_eq!(text(None, &event), "a\\u{1b}[2J  1\n2");
    }

    #[test]
    fn a_publication_is_an_object_for_programs() {
        let event = plain(b"a.b", Body::from_frames([&b"x"[..], b"\xff"]));
        let record = serde_json::to_string(&Record::of(Some("metric"), &event)).unwrap();
        assert_eq!(
            record,
            r#"{"event":"message","bus":"metric","topic":"a.b","body":[{"text":"x"},{"hex":"ff"}]}"#
        );
    }

    #[test]
    fn times_are_told_in_milliseconds() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_705_314_600_120);
        assert_eq!(timestamp(time).as_deref(), Some("2024-01-15T10:30:00.120Z"));
    }
}

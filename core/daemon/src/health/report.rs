//! A report as JSON: our shape for everybody, and that of draft-inadarei-api-health-check-06.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Condition;

/// The version of both shapes.
const VERSION: &str = "1";

/// One line of a report.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) condition: Condition,
    pub(super) reason: Option<String>,
    pub(super) updated: Timestamp,
}

/// What there is to say; empty is well.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Report(pub(super) Vec<Item>);

/// Who reads a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// From this host: reasons are shown.
    Local,
    /// From anywhere: reasons may name what is nobody's business.
    Remote,
}

impl Report {
    pub(super) fn is_up(&self) -> bool {
        self.worst() != Condition::Down
    }

    pub(super) fn plain(&self, reader: Reader) -> String {
        json(&Plain {
            version: VERSION,
            release_id: crate::VERSION,
            status: up_or_down(self.worst()),
            checks: self
                .0
                .iter()
                .map(|item| PlainCheck {
                    name: &item.name,
                    status: up_or_down(item.condition),
                    last_updated: seconds(item.updated),
                    reason: item.reason_for(reader),
                })
                .collect(),
        })
    }

    pub(super) fn ietf(&self, reader: Reader) -> String {
        json(&Ietf {
            status: pass_warn_fail(self.worst()),
            version: VERSION,
            release_id: crate::VERSION,
            checks: self
                .0
                .iter()
                .map(|item| {
                    let check = IetfCheck {
                        status: pass_warn_fail(item.condition),
                        time: seconds(item.updated),
                        output: item.reason_for(reader),
                    };
                    (item.name.as_str(), [check])
                })
                .collect(),
        })
    }

    fn worst(&self) -> Condition {
        self.0
            .iter()
            .map(|item| item.condition)
            .max()
            .unwrap_or(Condition::Up)
    }
}

impl Item {
    fn reason_for(&self, reader: Reader) -> Option<&str> {
        match reader {
            Reader::Local => self.reason.as_deref(),
            Reader::Remote => None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Plain<'a> {
    version: &'static str,
    release_id: &'static str,
    status: &'static str,
    checks: Vec<PlainCheck<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlainCheck<'a> {
    name: &'a str,
    status: &'static str,
    last_updated: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ietf<'a> {
    status: &'static str,
    version: &'static str,
    release_id: &'static str,
    checks: BTreeMap<&'a str, [IetfCheck<'a>; 1]>,
}

#[derive(Serialize)]
struct IetfCheck<'a> {
    status: &'static str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
}

fn up_or_down(condition: Condition) -> &'static str {
    match condition {
        Condition::Up | Condition::Degraded => "UP",
        Condition::Down => "DOWN",
    }
}

fn pass_warn_fail(condition: Condition) -> &'static str {
    match condition {
        Condition::Up => "pass",
        Condition::Degraded => "warn",
        Condition::Down => "fail",
    }
}

fn seconds(timestamp: Timestamp) -> String {
    format!("{timestamp:.0}")
}

fn json(report: &impl Serialize) -> String {
    serde_json::to_string(report).expect("a report is text and lists of text")
}

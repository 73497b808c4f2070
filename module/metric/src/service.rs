//! The service: what is measured, its latest values, and the interval.
//!
//! A request is an operation, and after it a JSON object where the operation takes one. The answer
//! is one frame of JSON: `{"success": true, "data": …}`.

use std::time::Duration;

use plantd_client::{Body, Properties, Reply, WorkerError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::config::INTERVALS;
use crate::host::{KINDS, Kind};
use crate::measurement::{Measurement, topic_of};

const OPERATIONS: &str = "list, latest or interval";

/// What is asked with `list`: nothing.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Latest {
    /// Only the metric of this name.
    name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Interval {
    /// The interval from now on.
    seconds: Option<f64>,
}

/// Answers for the module.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) latest: watch::Receiver<Vec<Measurement>>,
    pub(crate) interval: watch::Sender<Duration>,
}

impl Service {
    /// Answers one request.
    pub(crate) fn answer(&self, body: &Body) -> Result<Reply, WorkerError> {
        let frames: Vec<&[u8]> = body.frames().collect();
        let (operation, arguments) = match frames[..] {
            [operation] => (operation, None),
            [operation, arguments] => (operation, Some(arguments)),
            _ => {
                return Err(bad_request(
                    "expected an operation and, after it, a JSON object",
                ));
            }
        };
        let data = match operation {
            b"list" => read::<List>(arguments).map(|List {}| list())?,
            b"latest" => self.latest(&read(arguments)?)?,
            b"interval" => self.interval(&read(arguments)?)?,
            unknown => {
                let shown = unknown.escape_ascii();
                let expected = format!("unknown operation {shown}; expected {OPERATIONS}");
                return Err(bad_request(expected));
            }
        };
        Ok(Reply {
            body: json!({"success": true, "data": data}).to_string().into(),
            properties: Properties::default().with("content-type", "application/json"),
        })
    }

    fn latest(&self, Latest { name }: &Latest) -> Result<Value, WorkerError> {
        let is_known = |name: &String| KINDS.iter().any(|kind| kind.name == name);
        if let Some(unknown) = name.as_ref().filter(|name| !is_known(name)) {
            return Err(bad_request(format!(
                "unknown metric {unknown:?}; the operation list names all"
            )));
        }
        let latest = self.latest.borrow();
        let asked = latest
            .iter()
            .filter(|measurement| name.as_ref().is_none_or(|name| measurement.name == name));
        Ok(json!({"metrics": asked.collect::<Vec<_>>()}))
    }

    fn interval(&self, Interval { seconds }: &Interval) -> Result<Value, WorkerError> {
        if let Some(seconds) = seconds {
            let interval = Duration::try_from_secs_f64(*seconds).ok();
            let interval = interval.filter(|interval| INTERVALS.contains(interval));
            let interval = interval.ok_or_else(|| {
                bad_request(format!("seconds = {seconds}: expected 0.25 to 3600"))
            })?;
            self.interval.send_replace(interval);
            tracing::info!(context = "metric.interval", seconds, "the interval is set");
        }
        Ok(json!({"seconds": self.interval.borrow().as_secs_f64()}))
    }
}

fn list() -> Value {
    let with_topic = |kind: Kind| {
        let mut described = json!(kind);
        described["topic"] = topic_of(kind.name).into();
        described
    };
    json!({"metrics": KINDS.map(with_topic)})
}

fn read<T: Default + DeserializeOwned>(arguments: Option<&[u8]>) -> Result<T, WorkerError> {
    let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) else {
        return Ok(T::default());
    };
    // The values of an object's fields in an array would be taken for it.
    let object: serde_json::Map<String, Value> = serde_json::from_slice(arguments)
        .map_err(|error| bad_request(format!("expected a JSON object as arguments: {error}")))?;
    serde_json::from_value(object.into())
        .map_err(|error| bad_request(format!("the arguments: {error}")))
}

fn bad_request(expected: impl Into<String>) -> WorkerError {
    WorkerError::new("bad-request", expected)
}

#[cfg(test)]
mod tests;

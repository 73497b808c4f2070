//! Values, entries and changes, for people and for programs.

use plantd_client::Body;
use plantd_client::state::{Change, Value};
use serde::Serialize;

use crate::output::body;

/// Something of a scope, in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Scoped<'a, T> {
    pub(super) scope: &'a str,
    #[serde(flatten)]
    pub(super) of: &'a T,
}

/// The bytes of a value as they are.
pub(super) fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Json(json) => json.as_str().as_bytes(),
        Value::Bytes { data, .. } => data,
    }
}

/// A value for people, with a line end.
pub(super) fn readable(value: &Value) -> String {
    body::readable(&Body::from(bytes(value)))
}

/// A value on one line.
pub(super) fn line(value: &Value) -> String {
    body::one_line(readable(value).trim_end_matches('\n'))
}

/// A change on one line: its version, what became of which key, and what it holds now.
pub(super) fn change(change: &Change) -> String {
    let event = change.event.as_str();
    let key = body::one_line(&change.key);
    match &change.value {
        Some(value) => format!("{}\t{event}\t{key}\t{}", change.version, line(value)),
        None => format!("{}\t{event}\t{key}", change.version),
    }
}

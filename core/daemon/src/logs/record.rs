//! One line of the log: its parts, and how they look as JSON and as text.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;
use tracing::Level;

/// The fields that stand at the top level, in this order.
pub(super) const TOP_LEVEL: [&str; 5] = [
    "worker_id",
    "client_id",
    "request_id",
    "trace_id",
    "span_id",
];

/// Named values in the order in which they were said; the last of a name wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    pub(super) fn put(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    pub(super) fn extend(&mut self, other: Self) {
        for (name, value) in other.0 {
            self.put(name, value);
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(index).1)
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) timestamp: Timestamp,
    pub(super) level: Level,
    pub(super) service: String,
    pub(super) context: String,
    pub(super) message: String,
    pub(super) top: Fields,
    pub(super) fields: Fields,
}

impl Record {
    pub(super) fn write_json(&self, line: &mut String) {
        let level = self.level.as_str().to_ascii_lowercase();
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            r#"{{"timestamp":"{}","level":"{level}","service":"#,
            self.timestamp
        );
        quote(line, &self.service);
        line.push_str(r#","context":"#);
        quote(line, &self.context);
        for (name, value) in &self.top.0 {
            let _ = write!(line, r#","{name}":"#);
            json(line, value);
        }
        line.push_str(r#","message":"#);
        quote(line, &self.message);
        line.push_str(r#","fields":{"#);
        for (index, (name, value)) in self.fields.0.iter().enumerate() {
            line.push_str(if index == 0 { "" } else { "," });
            quote(line, name);
            line.push(':');
            json(line, value);
        }
        line.push_str("}}\n");
    }

    pub(super) fn write_text(&self, line: &mut String) {
        let _ = write!(line, "{} {:5} ", self.timestamp, self.level.as_str());
        escape(line, &self.service);
        line.push(' ');
        escape(line, &self.context);
        line.push_str(": ");
        escape(line, &self.message);
        for (name, value) in self.top.0.iter().chain(&self.fields.0) {
            let _ = write!(line, " {name}=");
            match value {
                Value::String(text) if is_word(text) => escape(line, text),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => json(line, value),
            }
        }
        line.push('\n');
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains([' ', '"', '=', '\\']) && !text.contains(is_unsafe)
}

fn json(line: &mut String, value: &Value) {
    match value {
        Value::String(text) => quote(line, text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let _ = write!(line, "{value}");
        }
    }
}

fn quote(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            other => push(line, other),
        }
    }
    line.push('"');
}

fn escape(line: &mut String, text: &str) {
    for character in text.chars() {
        push(line, character);
    }
}

fn push(line: &mut String, character: char) {
    if is_unsafe(character) {
        let _ = write!(line, "\\u{:04x}", u32::from(character));
    } else {
        line.push(character);
    }
}

/// Control characters, and those that break lines or turn the direction of text: peers choose names,
/// and a terminal shows them.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

//! What is wrong with a configuration, where it was said, and what would be right.

use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

use super::key::Key;

/// Longest value that an error shows, in characters.
const SHOWN: usize = 200;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A configuration file, with the line where it could be found.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: Option<usize>,
    },
    /// The environment variable of this name.
    Environment(String),
    /// A file that an environment variable `<KEY>_FILE` names.
    ValueFile {
        /// The variable.
        variable: String,
        /// The file.
        path: PathBuf,
    },
    /// The command-line argument of this name.
    Argument(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::ValueFile { variable, path } => {
                write!(f, "{} named by {variable}", path.display())
            }
            Self::Argument(argument) => f.write_str(argument),
        }
    }
}

/// A rule that a well-formed configuration breaks, found by [`Settings::validate`](super::Settings::validate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, dotted for a nested one; an index picks an item of a list: `buses[0].frontend`.
    pub key: String,
    /// What would be right.
    pub expected: String,
}

impl Problem {
    /// A problem with the value of `key`, where `expected` would be right.
    pub fn new(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            expected: expected.into(),
        }
    }

    /// What a check of the value of `key` found, if it found anything.
    pub fn of<T>(key: &str, checked: Result<T, impl fmt::Display>) -> Option<Self> {
        let error = checked.err()?;
        Some(Self::new(key, error.to_string()))
    }

    /// The problem of an endpoint that other machines can reach where nobody has said that it may
    /// be open to anybody (D11).
    pub fn open_to_anybody(key: impl Into<String>, endpoint: impl fmt::Display) -> Self {
        let expected = format!(
            "{endpoint} can be reached from other machines and would be open to anybody; \
             if that is meant, add the line\n    allow_anonymous: true"
        );
        Self::new(key, expected)
    }
}

/// One error of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key as it was written.
    pub key: String,
    /// The value, unless it is a secret or there is none.
    pub value: Option<String>,
    /// Where it was said.
    pub origin: Origin,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, " ({}): {}", self.origin, self.expected)
    }
}

/// Every error of a configuration, one a line when displayed. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The daemons whose configurations they are in.
    pub daemons: Vec<&'static str>,
    /// The errors: those of arguments first, then environment, file and values.
    pub errors: Vec<ConfigError>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let daemons = self.daemons.join(" and ");
        write!(f, "the configuration of {daemons} is refused:")?;
        self.errors
            .iter()
            .try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// The value as an error may show it: one line, no secrets, not endless.
pub(super) fn shown(key: &str, value: &Value) -> Option<String> {
    if is_secret(key) {
        return None;
    }
    let text = match value {
        // Text that is not a value yet may hold a secret anywhere.
        Value::String(text) if mentions_secret(text) => {
            return None;
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => redacted(value).to_string(),
    };
    Some(match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}

/// The value with the secrets inside it replaced.
pub(super) fn redacted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::Object(table) => table
            .iter()
            .map(|(key, value)| {
                let value = if is_secret(key) && !value.is_null() {
                    "***".into()
                } else {
                    redacted(value)
                };
                (key.clone(), value)
            })
            .collect(),
        Value::String(text) => Value::String(without_password(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The text with the password in `scheme://user:password@host` replaced.
fn without_password(text: &str) -> String {
    let masked = || {
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split(['/', '?']).next().unwrap_or(rest);
        let (user, _) = authority.rsplit_once('@')?.0.split_once(':')?;
        let host = rest.get(authority.rfind('@')?..)?;
        Some(format!("{scheme}://{user}:***{host}"))
    };
    masked().unwrap_or_else(|| text.to_owned())
}

fn mentions_secret(text: &str) -> bool {
    // As in `user:password@host`, whether or not it is a URL.
    let has_credentials = text
        .rsplit_once('@')
        .is_some_and(|(before, _)| before.contains(':'));
    let text = text.to_lowercase();
    has_credentials
        || ["password", "secret", "token"]
            .iter()
            .any(|word| text.contains(word))
}

pub(super) fn is_secret(key: &str) -> bool {
    ["password", "secret", "token", "key"]
        .iter()
        .any(|word| key.ends_with(word))
}

/// The candidate most like `name`, for "did you mean".
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> &'a str {
    candidates
        .min_by_key(|candidate| strsim::damerau_levenshtein(name, candidate))
        .unwrap_or_default()
}

/// What serde has to say about the value of `key`, as what would be right.
pub(super) fn expectation(key: &Key, error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once("expected ") {
        Some((_, expected)) => format!("expected {}", in_words(expected)),
        None if is_secret(&key.dotted()) => "expected another value".to_owned(),
        None => message,
    }
}

fn in_words(expected: &str) -> String {
    let range = |least: i128, most: i128| format!("a whole number from {least} to {most}");
    match expected {
        "u8" => range(0, u8::MAX.into()),
        "u16" => range(0, u16::MAX.into()),
        "u32" => range(0, u32::MAX.into()),
        "u64" | "usize" => range(0, u64::MAX.into()),
        "i32" => range(i32::MIN.into(), i32::MAX.into()),
        "i64" => range(i64::MIN.into(), i64::MAX.into()),
        "f32" | "f64" => "a number".to_owned(),
        "a sequence" => "a list, such as [a, b]".to_owned(),
        "a string" => "text".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_password_in_a_url_is_replaced_and_nothing_else() {
        for (text, printed) in [
            ("nats://u:pw@h:4222", "nats://u:***@h:4222"),
            ("redis://:pw@h/0", "redis://:***@h/0"),
            ("postgres://u:p@w@h/d?a=b@c", "postgres://u:***@h/d?a=b@c"),
            ("http://u@h/a:b@c", "http://u@h/a:b@c"),
            ("tcp://127.0.0.1:9797", "tcp://127.0.0.1:9797"),
            ("@tcp://*:9797", "@tcp://*:9797"),
        ] {
            assert_eq!(redacted(&json!([text])), json!([printed]));
        }
    }

    #[test]
    fn a_text_with_credentials_is_not_shown_in_an_error() {
        for text in ["nats://u:pw@h:port", "u:pw@h", "host=h PASSWORD=pw"] {
            assert_eq!(shown("url", &json!(text)), None, "{text}");
        }
        assert!(shown("url", &json!("@tcp://h:1")).is_some());
    }
}

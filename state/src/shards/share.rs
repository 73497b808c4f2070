//! One share of a shard: how it is written, and the scopes from one bound up to another that it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::SCOPE_BYTES;

/// One share, as it is written in the configuration. A shard has as many as bear its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareKeys {
    /// The shard whose share it is.
    pub name: String,
    /// Scopes that begin with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Scopes from this one on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Scopes before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Every scope that no other share has.
    #[serde(default)]
    pub rest: bool,
}

/// Scopes from a bound up to another, or to the last one there can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) from: String,
    pub(super) until: Option<String>,
}

impl Interval {
    /// Reads a share.
    ///
    /// # Errors
    /// Which field, as the end of a key, and what would be right.
    pub(super) fn parse(keys: &ShareKeys) -> Result<Self, (&'static str, String)> {
        let bounds = [
            (".prefix", &keys.prefix),
            (".from", &keys.from),
            (".until", &keys.until),
        ];
        for (field, bound) in bounds {
            if bound.as_deref().is_some_and(|bound| !is_bound(bound)) {
                let expected =
                    format!("expected 1 to {SCOPE_BYTES} bytes of printable ASCII without spaces");
                return Err((field, expected));
            }
        }
        match (keys.prefix.clone(), keys.from.clone(), keys.until.clone()) {
            (Some(prefix), None, None) if !keys.rest => Ok(Self {
                until: Some(after_all_with(&prefix)),
                from: prefix,
            }),
            (None, None, None) if keys.rest => Ok(Self {
                from: String::new(),
                until: None,
            }),
            (None, Some(from), Some(until)) if !keys.rest && from >= until => {
                Err((".until", format!("expected a bound after {from}")))
            }
            (None, from @ Some(_), until) | (None, from @ None, until @ Some(_)) if !keys.rest => {
                let from = from.unwrap_or_default();
                Ok(Self { from, until })
            }
            (_, _, _) => {
                let expected = "expected either prefix, or from, until or both, or rest: true";
                Err(("", expected.to_owned()))
            }
        }
    }

    pub(super) fn contains(&self, scope: &str) -> bool {
        self.from.as_str() <= scope && self.until.as_deref().is_none_or(|until| scope < until)
    }

    /// Something to compare ends by.
    pub(super) fn end(&self) -> (bool, &str) {
        (
            self.until.is_none(),
            self.until.as_deref().unwrap_or_default(),
        )
    }

    /// Whether each has scopes that the other has not, and both have some.
    pub(super) fn crosses(&self, other: &Self) -> bool {
        let (first, second) = if self.from <= other.from {
            (self, other)
        } else {
            (other, self)
        };
        first.from < second.from && first.contains(&second.from) && first.end() < second.end()
    }
}

impl fmt::Display for ShareKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let bounds = [
            ("prefix", &self.prefix),
            ("from", &self.from),
            ("until", &self.until),
        ];
        for (name, bound) in bounds {
            if let Some(bound) = bound {
                write!(f, " {name} {bound}")?;
            }
        }
        if self.rest {
            f.write_str(" rest")
        } else {
            Ok(())
        }
    }
}

fn is_bound(text: &str) -> bool {
    (1..=SCOPE_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The first text after all that begin with this one.
fn after_all_with(prefix: &str) -> String {
    // Printable ASCII, whose last byte has a next one, which is ASCII too.
    let mut next = prefix.to_owned();
    if let Some(last) = next.pop() {
        next.push(char::from(last as u8 + 1));
    }
    next
}

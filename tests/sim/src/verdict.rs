//! What a check finds.

use std::fmt;

/// A promise that was broken, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation(String);

/// Nothing, or what is wrong.
pub(crate) type Verdict = Result<(), Violation>;

impl From<String> for Violation {
    fn from(words: String) -> Self {
        Self(words)
    }
}

impl From<&str> for Violation {
    fn from(words: &str) -> Self {
        Self(words.to_owned())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns with a violation unless something holds.
macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+).into());
        }
    };
}
pub(crate) use ensure;

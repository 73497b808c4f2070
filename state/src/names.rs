//! Scopes and keys: parsed once, then trusted. Short ones lie in place, long ones are shared by their clones.

use std::fmt;

use smol_str::SmolStr;

use crate::refusal::{Code, Refusal};

/// The longest name of a scope.
pub(crate) const SCOPE_BYTES: usize = 128;
/// The longest key.
pub(crate) const KEY_BYTES: usize = 512;

/// The name of a scope: 1 to 128 bytes of printable ASCII without spaces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scope(SmolStr);

impl Scope {
    /// Takes a name that keeps the rule.
    ///
    /// # Errors
    /// `too-large` or `bad-request`, with what would be right.
    pub(crate) fn parse(name: &str) -> Result<Self, Refusal> {
        if name.len() > SCOPE_BYTES {
            let error = format!(
                "scope: {} bytes; a scope has at most {SCOPE_BYTES}",
                name.len()
            );
            return Err(Refusal::new(Code::TooLarge, error));
        }
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            let error = format!(
                "scope: {name:?} is no name of a scope: write 1 to {SCOPE_BYTES} bytes of printable \
                 ASCII without spaces, such as org.example.Plant"
            );
            return Err(Refusal::new(Code::BadRequest, error));
        }
        Ok(Self(name.into()))
    }

    /// A name that comes from the store, and was parsed before it went there.
    pub(crate) fn kept(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A key: 1 to 512 bytes of UTF-8 without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(SmolStr);

impl Key {
    /// Takes a key that keeps the rule.
    ///
    /// # Errors
    /// `too-large` or `bad-request`, with what would be right.
    pub(crate) fn parse(key: &str) -> Result<Self, Refusal> {
        if key.is_empty() {
            let error = format!("key: it is empty; a key has 1 to {KEY_BYTES} bytes");
            return Err(Refusal::new(Code::BadRequest, error));
        }
        check_text("key", key)?;
        Ok(Self(key.into()))
    }

    /// A key that comes from the store, and was parsed before it went there.
    pub(crate) fn kept(key: &str) -> Self {
        Self(key.into())
    }

    /// The key.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Checks what is a key or the beginning of one.
pub(crate) fn check_text(field: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > KEY_BYTES {
        let error = format!(
            "{field}: {} bytes; a key has at most {KEY_BYTES}",
            text.len()
        );
        return Err(Refusal::new(Code::TooLarge, error));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(found) => {
            let error = format!("{field}: {found:?} in {text:?}; a key has no control characters");
            Err(Refusal::new(Code::BadRequest, error))
        }
        None => Ok(()),
    }
}

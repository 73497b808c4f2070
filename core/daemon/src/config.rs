//! Layered configuration: arguments over environment over file over defaults.
//!
//! A daemon's configuration is a plain serde struct. Its keys are read off the serialized default,
//! so that each of them is reachable from every layer and anything else is refused. Tables nest;
//! lists are single values, written as inline YAML in arguments and environment.
//!
//! There is no reloading here: a configuration is read once, before anything is bound.

mod arguments;
mod environment;
mod error;
mod file;
mod key;
mod line;
mod load;
mod print;
mod several;
mod shared;
mod units;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{ConfigError, ConfigErrors, Origin, Problem};
pub use load::{CommandLine, Loaded, Sources, command_line, load, together};
pub use print::inconsistencies;
pub use several::OneOrMore;
pub use shared::{LogFormat, LogLevel, Shared};
pub use units::{ByteSize, TimeSpan, UnitError};

/// The configuration of one daemon.
///
/// Every key must be serialized (an unset `Option` as null), because keys are read off
/// `Self::default()`. The struct holds a [`Shared`] as `#[serde(flatten)]`.
pub trait Settings: Serialize + DeserializeOwned + Default {
    /// The name in `PLANTD_<NAME>_…`, in `<name>.yml` and in logs, such as `broker` or `module-echo`.
    const NAME: &'static str;

    /// One line that says what the daemon does, for `--help`.
    const ABOUT: &'static str;

    /// Each own key (`limits.outbox_bytes` for a nested one) with one line of help.
    ///
    /// [`inconsistencies`] finds what is missing or stale; each daemon holds it empty in a test.
    const HELP: &'static [(&'static str, &'static str)];

    /// The keys that every daemon has.
    fn shared(&self) -> &Shared;

    /// The name of the process.
    fn process() -> String {
        format!("plantd-{}", Self::NAME)
    }

    /// Checks what holds between keys; the loader adds each value and where it came from.
    fn validate(&self) -> Vec<Problem> {
        Vec::new()
    }
}

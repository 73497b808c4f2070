//! The keys that every daemon has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::TimeSpan;

/// The keys that every daemon has, at the top level of its configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shared {
    /// What is logged: a level, or filter directives.
    pub log_level: LogLevel,
    /// How lines look on stdout.
    pub log_format: LogFormat,
    /// A file that gets every line as JSON too.
    pub log_file: Option<PathBuf>,
    /// The address that health and metrics are served on.
    pub health_address: IpAddr,
    /// The port of health and metrics; 0 takes any free one, and unset serves none.
    pub health_port: Option<u16>,
    /// The longest drain after the first SIGTERM or SIGINT.
    pub shutdown_timeout: TimeSpan,
}

impl Shared {
    pub(crate) const HELP: &'static [(&'static str, &'static str)] = &[
        (
            "log_level",
            "trace, debug, info, warn, error, off or filter directives",
        ),
        ("log_format", "json, text, or auto: text on a terminal"),
        ("log_file", "a file that gets every line as JSON too"),
        (
            "health_address",
            "the address that health and metrics are served on",
        ),
        (
            "health_port",
            "the port of health and metrics; 0: any free one, unset: none",
        ),
        (
            "shutdown_timeout",
            "the longest drain after SIGTERM or SIGINT",
        ),
    ];

    /// The defaults of a daemon whose health is on `health_port`.
    pub fn with_health_port(health_port: u16) -> Self {
        Self {
            log_level: LogLevel("info".to_owned()),
            log_format: LogFormat::Auto,
            log_file: None,
            health_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            health_port: Some(health_port),
            shutdown_timeout: TimeSpan::from_secs(25),
        }
    }

    /// The defaults of a process that serves no health of its own, because its parts do.
    pub fn without_health() -> Self {
        Self {
            health_port: None,
            ..Self::with_health_port(0)
        }
    }

    /// Where health and metrics are to be bound, if anywhere.
    pub fn health_socket(&self) -> Option<SocketAddr> {
        self.health_port
            .map(|port| SocketAddr::new(self.health_address, port))
    }
}

/// How log lines look on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text when stdout is a terminal, else JSON.
    Auto,
    /// One JSON object a line.
    Json,
    /// One line of text for people.
    Text,
}

/// A level (`trace` … `error`, `off`) or filter directives such as `info,plantd_broker=debug`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogLevel(String);

impl LogLevel {
    /// The filter directives.
    pub fn directives(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LogLevel {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];
        const EXPECTED: &str = "expected trace, debug, info, warn, error, off or filter directives \
                                such as info,plantd_broker=debug";
        // A directive without a level is a target to the filter: a misspelled level would silence
        // the daemon instead of being refused.
        let named = text.contains('[')
            || text.split(',').all(|directive| {
                let level = directive.rsplit('=').next().unwrap_or(directive);
                LEVELS
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(level.trim()))
            });
        match tracing_subscriber::EnvFilter::try_new(&text) {
            Ok(_) if named => Ok(Self(text)),
            Ok(_) | Err(_) => Err(EXPECTED),
        }
    }
}

impl From<LogLevel> for String {
    fn from(level: LogLevel) -> Self {
        level.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_known_or_refused_and_never_a_target() {
        for text in [
            "info",
            "DEBUG",
            "off",
            "info,plantd_broker=debug",
            "plantd_broker=trace,warn",
            "a[b{c=d}]=info",
        ] {
            assert!(LogLevel::try_from(text.to_owned()).is_ok(), "{text}");
        }
        for text in [
            "",
            "inof",
            "plantd_broker",
            "plantd_broker=loud",
            "info,,debug",
            "info debug",
        ] {
            assert!(LogLevel::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}

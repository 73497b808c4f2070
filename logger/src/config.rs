//! The configuration of the logger.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use plantd_client::{Endpoint, Transport};
use plantd_daemon::config::{ByteSize, OneOrMore, Problem, Settings, Shared, TimeSpan};
use serde::{Deserialize, Serialize};
use tokio_postgres::config::SslMode;

/// The shortest retention: rows are dropped a day at a time.
const SHORTEST_RETENTION: Duration = Duration::from_secs(86_400);
/// A spool that holds less is full before it is of any use.
const LEAST_SPOOL: ByteSize = ByteSize::from_mib(1);
/// The longest prefix of topics, in bytes.
const LONGEST_TOPIC: usize = 255;

/// The keys of the logger; [`Settings::HELP`] says what each means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The subscriber sides of buses.
    pub bus_endpoint: OneOrMore<Endpoint>,
    /// What the topics that are stored begin with.
    pub topics: OneOrMore<Prefix>,
    /// What carries the messages.
    pub transport: Transport,
    /// Where metrics are stored.
    pub database: Database,
    /// How many metrics are stored at once.
    pub batch_metrics: usize,
    /// How long a metric waits for others to be stored with.
    pub batch_interval: TimeSpan,
    /// Where metrics wait for the database.
    pub spool_directory: PathBuf,
    /// How much may wait there.
    pub spool_limit: ByteSize,
    /// How long metrics are kept; forever if unset.
    pub retention: Option<TimeSpan>,
    /// The keys of every daemon.
    #[serde(flatten)]
    pub shared: Shared,
}

/// What topics begin with: at most 255 bytes. The empty one begins every topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        // Else a list in an argument would be taken for one topic.
        if text.starts_with('[') || text.len() > LONGEST_TOPIC {
            return Err("expected topics of at most 255 bytes, as text or as a list of them");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A PostgreSQL URL, or `key=value` pairs as `psql` takes them. Shown without its password.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Database {
    text: String,
    parsed: tokio_postgres::Config,
}

impl Database {
    pub(crate) fn client_config(&self) -> &tokio_postgres::Config {
        &self.parsed
    }
}

impl FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected postgresql://user:password@host:5432/database";
        // What the parser has to say may repeat the password.
        let parsed: tokio_postgres::Config = text.parse().map_err(|_| EXPECTED.to_owned())?;
        if parsed.get_hosts().is_empty() {
            return Err(EXPECTED.to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            parsed,
        })
    }
}

impl TryFrom<String> for Database {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Serialize for Database {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.parsed.get_password().is_none() {
            return f.write_str(&self.text);
        }
        // Written anew from its parts, so that no notation of the password is overlooked.
        let user = self.parsed.get_user().unwrap_or_default();
        let database = self.parsed.get_dbname().unwrap_or_default();
        write!(f, "postgresql://{user}:***@")?;
        for (index, host) in self.parsed.get_hosts().iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let ports = self.parsed.get_ports();
            let port = ports.get(index).or(ports.first()).unwrap_or(&5432);
            match host {
                tokio_postgres::config::Host::Tcp(host) => write!(f, "{separator}{host}:{port}")?,
                tokio_postgres::config::Host::Unix(path) => {
                    write!(f, "{separator}{}:{port}", path.display())?;
                }
            }
        }
        write!(f, "/{database}")
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bus_endpoint: OneOrMore::one(Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 11001,
            }),
            topics: OneOrMore::one(Prefix("org.plantd.metric.".to_owned())),
            transport: Transport::Plantd,
            database: "postgresql://plantd@127.0.0.1:5432/plantd"
                .parse()
                .expect("the default is a URL"),
            batch_metrics: 10_000,
            batch_interval: TimeSpan::from_secs(1),
            spool_directory: PathBuf::from("plantd-logger-spool"),
            spool_limit: ByteSize::from_mib(1024),
            retention: None,
            shared: Shared::with_health_port(8085),
        }
    }
}

impl Settings for Config {
    const NAME: &'static str = "logger";
    const ABOUT: &'static str = "Stores what the metric bus carries in PostgreSQL or TimescaleDB.";
    const HELP: &'static [(&'static str, &'static str)] = &[
        (
            "bus_endpoint",
            "the subscriber side of the bus: tcp://host:port or ipc://path, or a list",
        ),
        (
            "topics",
            "what the topics to store begin with, or a list; empty text: all",
        ),
        (
            "transport",
            "what carries the messages: plantd, or zeromq (the crate)",
        ),
        (
            "database",
            "postgresql://user:password@host:5432/database; it may hold a password",
        ),
        ("batch_metrics", "how many are stored at once, 1 to 100000"),
        (
            "batch_interval",
            "how long a metric waits for others to be stored with, 10ms to 60s",
        ),
        (
            "spool_directory",
            "where metrics wait for the database; of one logger alone",
        ),
        (
            "spool_limit",
            "how much may wait there, at least 1MiB; what comes beyond it is dropped",
        ),
        (
            "retention",
            "how long metrics are kept, such as 90d; unset: forever",
        ),
    ];

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut brokers = self.bus_endpoint.iter();
        let brokers = brokers.try_for_each(Endpoint::check_dialable);
        problems.extend(Problem::of("bus_endpoint", brokers));
        if self.database.parsed.get_ssl_mode() == SslMode::Require {
            let expected = "this logger does not speak TLS: leave sslmode out, and reach the \
                            database over a network that is yours, or by a proxy beside it";
            problems.push(Problem::new("database", expected));
        }
        if !(1..=100_000).contains(&self.batch_metrics) {
            problems.push(Problem::new("batch_metrics", "expected 1 to 100000"));
        }
        let interval = self.batch_interval.duration();
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&interval) {
            problems.push(Problem::new("batch_interval", "expected 10ms to 60s"));
        }
        if self.spool_limit < LEAST_SPOOL {
            problems.push(Problem::new("spool_limit", "expected at least 1MiB"));
        }
        if self
            .retention
            .is_some_and(|kept| kept.duration() < SHORTEST_RETENTION)
        {
            problems.push(Problem::new(
                "retention",
                "expected at least 1d: rows are dropped a day at a time",
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests;

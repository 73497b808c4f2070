//! The configuration of the state service.

mod shards;

use std::path::{Path, PathBuf};
use std::time::Duration;

use plantd_client::{Endpoint, ListenerLimits, ServiceName};
use plantd_daemon::config::{ByteSize, OneOrMore, Problem, Settings, Shared, TimeSpan};
use plantd_daemon::resources;
use serde::{Deserialize, Serialize};

use crate::request;
use crate::shards::ShareKeys;
use crate::store::{AHEAD, Options, REST};

pub use shards::Role;

/// The keys of the state service; [`Settings::HELP`] says what each means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The database file.
    pub db: PathBuf,
    /// The brokers to register at; none: only its own endpoint is served.
    pub broker_endpoint: Option<OneOrMore<Endpoint>>,
    /// Where it takes clients itself; none: it does not.
    pub endpoint: Option<OneOrMore<Endpoint>>,
    /// Whether endpoints of its own that others than this machine can reach may be open to anybody.
    pub allow_anonymous: bool,
    /// The frontends of the state bus to publish changes on; none: nothing is published.
    pub bus_endpoint: Option<OneOrMore<Endpoint>>,
    /// The service to serve; a shard serves it with its own name after a dot.
    pub service: String,
    /// What this daemon is.
    pub role: Role,
    /// Which shard this daemon is.
    pub shard: Option<String>,
    /// What each shard of the installation has, the same in each of its daemons.
    pub shards: Vec<ShareKeys>,
    /// How many requests are answered at once.
    pub concurrency: usize,
    /// How thoroughly the store is checked before it is served.
    pub check: CheckLevel,
    /// How often every row is checked while it is served; 0: never.
    pub check_interval: TimeSpan,
    /// Whether to go on without commits that were acknowledged and are gone.
    pub accept_loss: bool,
    /// For how long the answer to a write with an id is remembered.
    pub retry_window: TimeSpan,
    /// The manifest of a backup to begin with, where there is no database.
    pub restore_from: Option<PathBuf>,
    /// Where backups are, and when they are made.
    pub backup: BackupKeys,
    /// How much of the past is kept.
    pub history: HistoryKeys,
    /// What is limited.
    pub limits: LimitKeys,
    /// The keys of every daemon.
    #[serde(flatten)]
    pub shared: Shared,
}

/// Where backups are, and when they are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupKeys {
    /// Their folder; beside the database if it is not set.
    pub folder: Option<PathBuf>,
    /// How often one is made; 0: only when asked for.
    pub interval: TimeSpan,
    /// How many are kept.
    pub keep: usize,
}

/// How much of the past of each scope is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryKeys {
    /// How many changes.
    pub count: u64,
    /// For how long.
    pub age: TimeSpan,
    /// How many of each key, beyond that count; 0: none.
    pub per_key: usize,
}

/// Limits that are on by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitKeys {
    /// A value.
    pub value: ByteSize,
    /// Scopes, deleted ones too.
    pub scopes: usize,
    /// Watches at a time.
    pub watches: usize,
    /// Connections at its own endpoint.
    pub connections: usize,
    /// Those from one address; those of this machine are not counted.
    pub connections_per_address: usize,
    /// Requests and outboxes at its own endpoint.
    pub memory: ByteSize,
}

/// How thoroughly a store is checked before it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckLevel {
    /// Its structure first; every row right after, while it is served.
    Quick,
    /// Its structure and every row first.
    Full,
}

impl Default for Config {
    fn default() -> Self {
        let listener = ListenerLimits::default();
        Self {
            db: PathBuf::from("plantd-state.db"),
            broker_endpoint: Some(OneOrMore::one(Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 9797,
            })),
            endpoint: None,
            allow_anonymous: false,
            bus_endpoint: Some(OneOrMore::one(Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 13_000,
            })),
            service: "org.plantd.State".to_owned(),
            role: Role::Store,
            shard: None,
            shards: Vec::new(),
            concurrency: 1024,
            check: CheckLevel::Quick,
            check_interval: TimeSpan::from_secs(86_400),
            accept_loss: false,
            retry_window: TimeSpan::from_secs(600),
            restore_from: None,
            backup: BackupKeys {
                folder: None,
                interval: TimeSpan::from_secs(86_400),
                keep: 7,
            },
            history: HistoryKeys {
                count: 100_000,
                age: TimeSpan::from_secs(7 * 86_400),
                per_key: 0,
            },
            limits: LimitKeys {
                value: ByteSize::from_mib(1),
                scopes: 10_000,
                watches: 1_000,
                connections: listener.connections,
                connections_per_address: listener.connections_per_address,
                memory: ByteSize::from_bytes(listener.memory_bytes as u64),
            },
            shared: Shared::with_health_port(8082),
        }
    }
}

impl Settings for Config {
    const NAME: &'static str = "state";
    const ABOUT: &'static str = "Keeps values by scope and key, with versions and watches";
    const HELP: &'static [(&'static str, &'static str)] = &[
        ("db", "the database file"),
        (
            "broker_endpoint",
            "the broker: tcp://host:port or ipc://path, or a list; unset: none, with an endpoint",
        ),
        (
            "endpoint",
            "where clients are served without a broker, or a list; by convention port 9798; unset: nowhere",
        ),
        (
            "allow_anonymous",
            "let anybody use endpoints of its own that other machines can reach",
        ),
        (
            "bus_endpoint",
            "the state bus's frontend, or a list; unset: changes are not published",
        ),
        (
            "service",
            "the name of the service; a shard serves it with .<shard> after it",
        ),
        (
            "role",
            "store, or router: hands requests on to the shards and has no store",
        ),
        ("shard", "which of the shards this daemon is"),
        (
            "shards",
            "what each shard has, the same in each daemon; a list of {name, prefix or from and until or rest}",
        ),
        (
            "concurrency",
            "how many requests are answered at once, 1 to 4096",
        ),
        (
            "check",
            "what is checked before serving: quick (structure; rows right after) or full (both)",
        ),
        (
            "check_interval",
            "how often every row is checked while it is served; 0: never",
        ),
        (
            "accept_loss",
            "go on although commits that were acknowledged are gone",
        ),
        (
            "retry_window",
            "how long the answer to a write with an id is remembered",
        ),
        (
            "restore_from",
            "the manifest of a backup to begin with, where there is no database",
        ),
        (
            "backup.folder",
            "where backups are; unset: the database's path and -backups",
        ),
        (
            "backup.interval",
            "how often a backup is made; 0: only when asked for",
        ),
        ("backup.keep", "how many backups are kept"),
        ("history.count", "how many changes of each scope are kept"),
        ("history.age", "how long changes are kept"),
        (
            "history.per_key",
            "how many of the newest changes of each key are kept beyond history.count, 0 to 1000",
        ),
        ("limits.value", "one value"),
        ("limits.scopes", "scopes, also those that were deleted"),
        ("limits.watches", "watches at a time"),
        ("limits.connections", "connections at its own endpoint"),
        (
            "limits.connections_per_address",
            "those from one address other than this machine's",
        ),
        (
            "limits.memory",
            "requests and outboxes at its own endpoint together",
        ),
    ];

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let service = ServiceName::for_worker(&self.service);
        problems.extend(Problem::of("service", service));
        let mut brokers = self.broker_endpoint.iter().flat_map(OneOrMore::iter);
        let brokers = brokers.try_for_each(Endpoint::check_dialable);
        problems.extend(Problem::of("broker_endpoint", brokers));
        let expected = match (self.role, &self.endpoint) {
            (Role::Store, Some(_)) => None,
            (Role::Store, None) => Some("expected a broker, or an endpoint of its own"),
            (Role::Router, _) => Some("expected a broker, by which shards are reached"),
        };
        if let (None, Some(expected)) = (&self.broker_endpoint, expected) {
            problems.push(Problem::new("broker_endpoint", expected));
        }
        let own = self.endpoint.iter().flat_map(OneOrMore::iter);
        let open = own.filter(|own| !own.is_loopback() && !self.allow_anonymous);
        problems.extend(open.map(|own| Problem::open_to_anybody("endpoint", own)));
        let mut buses = self.bus_endpoint.iter().flat_map(OneOrMore::iter);
        let buses = buses.try_for_each(Endpoint::check_dialable);
        problems.extend(Problem::of("bus_endpoint", buses));
        problems.extend(self.shard_problems());
        let mut require = |key: &str, holds: bool, expected: &str| {
            if !holds {
                problems.push(Problem::new(key, expected));
            }
        };
        let has_name = self.db.file_name().is_some();
        require("db", has_name, "expected the path of a file");
        let concurrency = (1..=4096).contains(&self.concurrency);
        require("concurrency", concurrency, "expected 1 to 4096");
        let window = Duration::from(self.retry_window) <= Duration::from_secs(86_400);
        require("retry_window", window, "expected at most 1d");
        require("backup.keep", self.backup.keep > 0, "expected 1 or more");
        let count = (1..=1_000_000_000).contains(&self.history.count);
        require("history.count", count, "expected 1 to 1000000000");
        let age = Duration::from(self.history.age) >= Duration::from_secs(1);
        require("history.age", age, "expected 1s or more");
        let per_key = (0..=1_000).contains(&self.history.per_key);
        require("history.per_key", per_key, "expected 0 to 1000");
        let value = (1..=2 << 20).contains(&self.limits.value.bytes());
        require("limits.value", value, "expected 1 byte to 2MiB");
        let scopes = (1..=100_000).contains(&self.limits.scopes);
        require("limits.scopes", scopes, "expected 1 to 100000");
        let watches = (1..=65_536).contains(&self.limits.watches);
        require("limits.watches", watches, "expected 1 to 65536");
        let connections = self.limits.connections > 0;
        require("limits.connections", connections, "expected 1 or more");
        let per_address = self.limits.connections_per_address > 0;
        require(
            "limits.connections_per_address",
            per_address,
            "expected 1 or more",
        );
        let memory = self.limits.memory.bytes() >= 32 << 20;
        require("limits.memory", memory, "expected 32MiB or more");
        problems
    }
}

impl Config {
    pub(crate) fn to_options(&self) -> Options {
        Options {
            database: self.db.clone(),
            scopes: self.limits.scopes,
            history_count: self.history.count,
            history_age: self.history.age.into(),
            history_per_key: self.history.per_key,
            ahead: AHEAD,
            rest: REST,
            retry_window: self.retry_window.into(),
            accepts_loss: self.accept_loss,
        }
    }

    pub(crate) fn to_backup_folder(&self) -> PathBuf {
        self.backup.folder.clone().unwrap_or_else(|| {
            let mut folder = self.db.as_os_str().to_owned();
            folder.push("-backups");
            folder.into()
        })
    }

    /// What clients of its own endpoint may take together.
    pub(crate) fn to_listener_limits(&self) -> ListenerLimits {
        let limits = &self.limits;
        ListenerLimits {
            connections: limits.connections.min(resources::connections()),
            connections_per_address: limits.connections_per_address,
            memory_bytes: usize::try_from(limits.memory.bytes()).unwrap_or(usize::MAX),
        }
    }

    pub(crate) fn to_limits(&self) -> request::Limits {
        request::Limits {
            value_bytes: usize::try_from(self.limits.value.bytes()).unwrap_or(usize::MAX),
            retry_window: self.retry_window.into(),
        }
    }
}

/// The folder that a file lies in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests;

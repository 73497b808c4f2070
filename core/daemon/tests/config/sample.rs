//! A configuration like the broker's, a value for each of its keys, and sources to load it from.

use std::collections::BTreeMap;
use std::fs;

use plantd_daemon::config::{
    ByteSize, ConfigErrors, Loaded, Problem, Settings, Shared, Sources, TimeSpan, load,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Broker {
    pub(crate) endpoint: String,
    pub(crate) client_endpoint: Option<String>,
    pub(crate) allow_anonymous: bool,
    pub(crate) attempts: u32,
    pub(crate) ratio: f64,
    pub(crate) heartbeat_interval: TimeSpan,
    pub(crate) admin_password: Option<String>,
    pub(crate) names: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) limits: Limits,
    pub(crate) buses: Vec<Bus>,
    #[serde(flatten)]
    pub(crate) shared: Shared,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) outbox_bytes: ByteSize,
    pub(crate) peer: PeerLimits,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PeerLimits {
    pub(crate) requests: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bus {
    pub(crate) name: String,
    pub(crate) frontend: String,
    pub(crate) backend: String,
    pub(crate) capture: Option<String>,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            endpoint: "tcp://127.0.0.1:9797".to_owned(),
            client_endpoint: None,
            allow_anonymous: false,
            attempts: 3,
            ratio: 1.5,
            heartbeat_interval: TimeSpan::from_millis(2_500),
            admin_password: None,
            names: Vec::new(),
            labels: BTreeMap::new(),
            limits: Limits {
                outbox_bytes: ByteSize::from_mib(8),
                peer: PeerLimits { requests: None },
            },
            buses: Vec::new(),
            shared: Shared::with_health_port(8081),
        }
    }
}

impl Settings for Broker {
    const NAME: &'static str = "broker";
    const ABOUT: &'static str = "Routes requests and buses.";
    const HELP: &'static [(&'static str, &'static str)] = &[
        ("endpoint", "where peers connect"),
        ("client_endpoint", "what others are told to dial"),
        ("allow_anonymous", "lets anybody in"),
        ("attempts", "workers that a request is given to"),
        ("ratio", "a fraction"),
        ("heartbeat_interval", "between heartbeats"),
        ("admin_password", "what an admin has to know"),
        ("names", "a list"),
        ("labels", "a table of the user's own keys"),
        ("limits.outbox_bytes", "what one peer may have waiting"),
        ("limits.peer.requests", "unanswered requests of one client"),
        ("buses", "the buses"),
    ];

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.endpoint.contains('*') && !self.allow_anonymous {
            problems.push(Problem::new(
                "endpoint",
                "reaches beyond this host: add `allow_anonymous: true`",
            ));
        }
        for (index, bus) in self.buses.iter().enumerate() {
            if !bus.frontend.starts_with("tcp://") {
                problems.push(Problem::new(
                    format!("buses[{index}].frontend"),
                    "expected tcp://host:port",
                ));
            }
        }
        problems
    }
}

/// One value for each key that differs from the default.
pub(crate) fn samples() -> BTreeMap<&'static str, Value> {
    let bus = json!({"name": "metric", "frontend": "tcp://*:11000", "backend": "tcp://*:11001", "capture": null});
    BTreeMap::from([
        ("endpoint", json!("ipc:///run/broker # not a comment")),
        ("client_endpoint", json!("tcp://broker:9797")),
        ("allow_anonymous", json!(true)),
        ("attempts", json!(5)),
        ("ratio", json!(0.25)),
        ("heartbeat_interval", json!("250ms")),
        ("admin_password", json!("12345")),
        ("names", json!(["a", "b c"])),
        ("labels", json!({"site-name": "north"})),
        ("limits.outbox_bytes", json!("64KB")),
        ("limits.peer.requests", json!(17)),
        ("buses", json!([bus])),
        ("log_level", json!("info,plantd_broker=debug")),
        ("log_format", json!("json")),
        ("log_file", json!("/var/log/broker.log")),
        ("health_address", json!("0.0.0.0")),
        ("health_port", json!(0)),
        ("shutdown_timeout", json!("10s")),
    ])
}

pub(crate) fn leaves(tree: &Value, path: &str, found: &mut Vec<String>) {
    match tree.as_object() {
        Some(table) if !table.is_empty() => table.iter().for_each(|(name, value)| {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            leaves(value, &path, found);
        }),
        Some(_) | None => found.push(path.to_owned()),
    }
}

pub(crate) fn tree(config: &Broker) -> Value {
    serde_json::to_value(config).unwrap()
}

/// The default with one key changed.
pub(crate) fn expected(key: &str, value: &Value) -> Value {
    let mut tree = tree(&Broker::default());
    *tree
        .pointer_mut(&format!("/{}", key.replace('.', "/")))
        .unwrap() = value.clone();
    tree
}

pub(crate) fn as_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn variable(key: &str) -> String {
    format!("PLANTD_BROKER_{}", key.replace('.', "_").to_uppercase())
}

pub(crate) fn environment<const N: usize>(variables: [(&str, &str); N]) -> Sources {
    let environment = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    Sources {
        environment,
        ..Sources::default()
    }
}

pub(crate) fn arguments<const N: usize>(arguments: [&str; N]) -> Sources {
    Sources {
        arguments: arguments.map(str::to_owned).into(),
        ..Sources::default()
    }
}

pub(crate) fn folder(name: &str, text: &str) -> (TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    let sources = Sources {
        directories: vec![folder.path().to_owned()],
        ..Sources::default()
    };
    (folder, sources)
}

pub(crate) fn refused(sources: &Sources) -> ConfigErrors {
    load::<Broker>(sources).expect_err("a configuration with errors")
}

pub(crate) fn loaded(sources: &Sources) -> Loaded<Broker> {
    load(sources).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The file of protocol.md, section 5, as it stands.
pub(crate) const PAPER: &str = r#"endpoint: "tcp://*:9797"
client_endpoint: "tcp://127.0.0.1:9797"   # what others are told to dial
log_level: "info"
health_port: 8081
buses:
  - name: "metric"
    frontend: "tcp://*:11000"
    backend: "tcp://*:11001"
    capture: "tcp://*:11002"
"#;

//! What an operator writes: files, variables and arguments of the broker's configuration.

use std::collections::BTreeMap;
use std::fs;

use arbitrary::Arbitrary;
use plantd_broker::Config;
use plantd_daemon::config::{CommandLine, Sources, command_line};
use serde_json::Value;
use tempfile::TempDir;

use crate::input::{Which, read, steps};

/// A file in YAML.
pub fn yaml(bytes: &[u8]) {
    file(bytes, "yml");
}

/// A file in TOML.
pub fn toml(bytes: &[u8]) {
    file(bytes, "toml");
}

/// A file in JSON.
pub fn json(bytes: &[u8]) {
    file(bytes, "json");
}

fn file(bytes: &[u8], extension: &str) {
    let folder = folder();
    let path = folder.path().join(format!("plantd-broker.{extension}"));
    fs::write(&path, bytes).expect("a file can be written");
    let path = path.display().to_string();
    check(&Sources {
        arguments: vec!["--config".to_owned(), path],
        ..Sources::default()
    });
}

/// A key, or nearly one, and a value.
#[derive(Debug, Arbitrary)]
struct Setting<'a> {
    key: Which,
    ending: &'a str,
    value: &'a str,
}

impl Setting<'_> {
    fn key(&self) -> String {
        let key = self.key.of(&KEYS).expect("there are keys");
        format!("{key}{}", self.ending)
    }

    /// Whether a file would be read that is not of this test.
    fn names_a_file(&self) -> bool {
        self.ending.to_uppercase().contains("FILE")
    }
}

/// Keys of every type.
const KEYS: [&str; 12] = [
    "endpoint",
    "client_endpoint",
    "log_level",
    "log_format",
    "health_port",
    "health_address",
    "heartbeat_interval",
    "queue_timeout",
    "attempts",
    "allow_anonymous",
    "memory_limit",
    "limits_connections",
];

/// The environment.
pub fn environment(bytes: &[u8]) {
    let settings = steps::<Setting<'_>>(bytes).take(8);
    let settings = settings.filter(|setting| !setting.names_a_file());
    let environment = settings.map(|setting| {
        let name = format!("PLANTD_BROKER_{}", setting.key().to_uppercase());
        (name, setting.value.to_owned())
    });
    let environment: BTreeMap<_, _> = environment.collect();
    if !environment.contains_key("PLANTD_BROKER_CONFIG") {
        check(&Sources {
            environment,
            ..Sources::default()
        });
    }
}

/// The command line.
pub fn arguments(bytes: &[u8]) {
    let Some(settings) = read::<Vec<(bool, Setting<'_>)>>(bytes) else {
        return;
    };
    let mut arguments = Vec::new();
    for (is_one, setting) in settings.iter().take(8) {
        let name = format!("--{}", setting.key().replace('_', "-"));
        if *is_one {
            arguments.push(format!("{name}={}", setting.value));
        } else {
            arguments.extend([name, setting.value.to_owned()]);
        }
    }
    if !arguments
        .iter()
        .any(|argument| argument.starts_with("--config"))
    {
        check(&Sources {
            arguments,
            ..Sources::default()
        });
    }
}

/// A configuration is refused with the key and what would be right, or reads back from how it is
/// printed.
fn check(sources: &Sources) {
    let loaded = match command_line::<Config>(sources) {
        Ok(CommandLine::Run(loaded)) => loaded,
        Ok(CommandLine::Print(text)) => return assert!(!text.is_empty()),
        Err(errors) => {
            assert!(!errors.errors.is_empty(), "refused for no reason");
            let mut unexplained = errors.errors.iter();
            assert!(
                !unexplained.any(|error| error.expected.is_empty()),
                "{errors:?}"
            );
            return assert!(!errors.to_string().is_empty());
        }
    };
    let folder = folder();
    let path = folder.path().join("printed.yml");
    let printed = loaded.to_yaml();
    fs::write(&path, &printed).expect("a file can be written");
    let again = command_line::<Config>(&Sources {
        arguments: vec!["--config".to_owned(), path.display().to_string()],
        ..Sources::default()
    });
    let Ok(CommandLine::Run(again)) = again else {
        panic!("what was printed is refused: {again:?}\n{printed}");
    };
    assert_eq!(values(&again.config), values(&loaded.config), "{printed}");
}

fn values(config: &Config) -> Value {
    serde_json::to_value(config).expect("a configuration is a tree")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder of its own")
}

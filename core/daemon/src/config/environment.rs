//! The environment layer: `PLANTD_<NAME>_<KEY>` for every key, and `…_FILE` for a value in a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::error::{ConfigError, Origin};
use super::key::{Key, Keys};
use super::load::{Given, Layer, Raw};

/// After the prefix: names the configuration file.
pub(super) const CONFIG: &str = "CONFIG";

const FILE_SUFFIX: &str = "_FILE";

pub(super) fn read(environment: &BTreeMap<String, String>, keys: &Keys) -> Layer {
    let mut layer = Layer::default();
    for (variable, text) in environment {
        let Some(name) = variable.strip_prefix(&keys.prefix) else {
            continue;
        };
        if let Some(key) = keys.position(|key| key.variable() == name) {
            let origin = Origin::Environment(variable.clone());
            layer.given.push(Given {
                key,
                raw: Raw::Text(text.clone()),
                origin,
            });
        } else if let Some(key) = of_value_file(name, keys) {
            layer.read_value_file(key, variable, text, environment, keys);
        } else if name != CONFIG && !is_service_link(name) {
            let nearest = keys.nearest(name, &[CONFIG], Key::variable);
            layer.errors.push(ConfigError {
                key: variable.clone(),
                value: None,
                origin: Origin::Environment("environment".to_owned()),
                expected: format!(
                    "unknown key; the nearest known one is {}{nearest}",
                    keys.prefix
                ),
            });
        }
    }
    layer
}

impl Layer {
    fn read_value_file(
        &mut self,
        key: usize,
        variable: &str,
        path: &str,
        environment: &BTreeMap<String, String>,
        keys: &Keys,
    ) {
        let direct = format!("{}{}", keys.prefix, keys.list[key].variable());
        let mut refuse = |expected| {
            self.errors.push(ConfigError {
                key: keys.list[key].dotted(),
                value: Some(path.to_owned()),
                origin: Origin::Environment(variable.to_owned()),
                expected,
            });
        };
        if environment.contains_key(&direct) {
            return refuse(format!("expected either {variable} or {direct}, not both"));
        }
        match fs::read_to_string(path) {
            Ok(text) => self.given.push(Given {
                key,
                raw: Raw::Text(text.trim_end_matches(['\r', '\n']).to_owned()),
                origin: Origin::ValueFile {
                    variable: variable.to_owned(),
                    path: PathBuf::from(path),
                },
            }),
            Err(error) => refuse(format!("expected a readable file: {error}")),
        }
    }
}

fn of_value_file(name: &str, keys: &Keys) -> Option<usize> {
    let name = name.strip_suffix(FILE_SUFFIX)?;
    keys.position(|key| key.variable() == name)
}

/// Kubernetes puts `PLANTD_BROKER_SERVICE_HOST`, `PLANTD_BROKER_PORT_9797_TCP_ADDR` and their like
/// into every container beside a Service called `plantd-broker`; nobody meant them as keys.
pub(super) fn is_service_link(name: &str) -> bool {
    name == "PORT"
        || name == "SERVICE_HOST"
        || name == "SERVICE_PORT"
        || name.starts_with("SERVICE_PORT_")
        || name
            .strip_prefix("PORT_")
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

//! What the command line prints about a configuration: help, version, and the effective values.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::arguments::OPTIONS;
use super::environment::is_service_link;
use super::error::{is_secret, redacted};
use super::key::{Keys, is_table};
use super::load::Loaded;
use super::{Settings, Shared};

pub(super) fn version<T: Settings>() -> String {
    format!("{} {}\n", T::process(), crate::VERSION)
}

pub(super) fn help<T: Settings>(keys: &Keys) -> String {
    let mut help = format!(
        "{about}\n\n\
         Usage: {process} [--KEY VALUE]…\n\n\
         Each key is an argument, a variable {prefix}<KEY>, or a line of {name}.yml (.yaml, .toml, .json) in .,\n\
         ~/.config/plantd or /etc/plantd; the first of these wins. Lists are inline YAML. {prefix}<KEY>_FILE\n\
         names a file that holds the value.\n\nKeys:\n",
        about = T::ABOUT,
        process = T::process(),
        name = T::NAME,
        prefix = keys.prefix,
    );
    for (name, line) in T::HELP.iter().chain(Shared::HELP) {
        if let Some(key) = keys.list.iter().find(|key| key.dotted() == *name) {
            let default = match &key.default {
                Value::Null => String::new(),
                Value::String(text) => format!(" [{text}]"),
                other
                @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                    format!(" [{other}]")
                }
            };
            entry(&mut help, &key.argument(), &format!("{line}{default}"));
        }
    }
    help.push_str("\nOptions:\n");
    for (option, line) in [
        ("--config PATH", "the configuration file"),
        ("--print-config", "print every value and where it came from"),
        ("--help, -h", "print this"),
        ("--version, -V", "print the version"),
    ] {
        entry(&mut help, option, line);
    }
    help
}

fn entry(help: &mut String, name: &str, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(help, "  {name:<24} {line}");
}

pub(super) fn yaml<T: Settings>(loaded: &Loaded<T>) -> String {
    let mut text = String::new();
    if let Value::Object(table) = serde_json::to_value(&loaded.config).unwrap_or_default() {
        let defaults = Keys::of::<T>().tree;
        table_yaml(loaded, &table, &defaults, &mut Vec::new(), &mut text);
    }
    text
}

fn table_yaml<T: Settings>(
    loaded: &Loaded<T>,
    table: &Map<String, Value>,
    defaults: &Value,
    path: &mut Vec<String>,
    text: &mut String,
) {
    for (name, value) in table {
        let indent = "  ".repeat(path.len());
        path.push(name.clone());
        let default = defaults.get(name).unwrap_or(&Value::Null);
        match value {
            Value::Object(inner) if is_table(default) => {
                let _ = writeln!(text, "{indent}{name}:");
                table_yaml(loaded, inner, default, path, text);
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => {
                let secret = is_secret(name) && !value.is_null();
                let value = if secret {
                    "***".into()
                } else {
                    redacted(value)
                };
                let _ = writeln!(
                    text,
                    "{indent}{name}: {value}  # {}",
                    loaded.origin(&path.join("."))
                );
            }
        }
        path.pop();
    }
}

/// What is wrong with the keys of `T` themselves: undescribed ones, stale descriptions, two keys of
/// one name in the environment, names that something else claims, a default that does not read back.
pub fn inconsistencies<T: Settings>() -> Vec<String> {
    let keys = Keys::of::<T>();
    let described: Vec<&str> = T::HELP
        .iter()
        .chain(Shared::HELP)
        .map(|(key, _)| *key)
        .collect();
    let mut found = Vec::new();
    let mut variables = BTreeSet::new();
    for key in &keys.list {
        if !described.contains(&key.dotted().as_str()) {
            found.push(format!("{} has no line in HELP", key.dotted()));
        }
        if !variables.insert(key.variable()) {
            found.push(format!(
                "{} shares its variable with another key",
                key.dotted()
            ));
        }
        if OPTIONS.contains(&key.argument().as_str()) || is_service_link(&key.variable()) {
            found.push(format!(
                "{} has a name that means something else",
                key.dotted()
            ));
        }
    }
    for key in described {
        if !keys.list.iter().any(|known| known.dotted() == key) {
            found.push(format!("HELP describes {key}, which is not a key"));
        }
    }
    for variable in &variables {
        if variable
            .strip_suffix("_FILE")
            .is_some_and(|key| variables.contains(key))
        {
            found.push(format!("{variable} is a key and the file of another"));
        }
    }
    if let Err(error) = serde_json::from_value::<T>(keys.tree) {
        found.push(format!("the default does not read back: {error}"));
    }
    found
}

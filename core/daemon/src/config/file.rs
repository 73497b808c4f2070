//! The file layer: finding the file, reading YAML, TOML or JSON, and naming the line of a key.

use std::fs;
use std::path::{Path, PathBuf};

use config::{FileFormat, Source, ValueKind};
use serde_json::{Map, Number, Value};

use super::arguments::Arguments;
use super::error::{ConfigError, Origin, nearest};
use super::key::{Key, Keys, is_table};
use super::line::line_of;
use super::load::{Given, Layer, Raw, Sources};
use super::{Settings, environment};

const EXTENSIONS: [&str; 4] = ["yml", "yaml", "toml", "json"];

/// The file to read and, when somebody named it, who.
pub(super) fn find<T: Settings>(
    sources: &Sources,
    arguments: &Arguments,
    keys: &Keys,
) -> Option<(PathBuf, Option<Origin>)> {
    let variable = format!("{}{}", keys.prefix, environment::CONFIG);
    if let Some(path) = &arguments.file {
        return Some((path.clone(), Some(Origin::Argument("--config".to_owned()))));
    }
    if let Some(path) = sources.environment.get(&variable) {
        return Some((PathBuf::from(path), Some(Origin::Environment(variable))));
    }
    sources
        .directories
        .iter()
        .flat_map(|directory| {
            EXTENSIONS.map(|extension| directory.join(format!("{}.{extension}", T::NAME)))
        })
        .find(|path| path.is_file())
        .map(|path| (path, None))
}

pub(super) fn read(path: &Path, named_by: Option<Origin>, keys: &Keys) -> Layer {
    let mut layer = Layer::default();
    match parse(path) {
        Ok((text, Value::Object(table))) => {
            let mut walk = Walk {
                path,
                text: &text,
                keys,
                layer: &mut layer,
            };
            walk.table(&keys.tree, &table, &mut Vec::new());
        }
        Ok((_, _)) => {}
        Err(reason) => layer.errors.push(ConfigError {
            key: "config".to_owned(),
            value: named_by.is_some().then(|| path.display().to_string()),
            origin: named_by.unwrap_or(Origin::File {
                path: path.to_owned(),
                line: None,
            }),
            expected: format!("expected a readable file of settings: {reason}"),
        }),
    }
    layer
}

/// A value written in an argument or in the environment, read as inline YAML.
pub(super) fn inline(text: &str) -> Option<Value> {
    let document = format!("value: {}", text.replace('\n', "\n  "));
    let tree = tree(&document, FileFormat::Yaml).ok()?;
    let Value::Object(mut table) = tree else {
        return None;
    };
    if table.len() == 1 {
        table.remove("value")
    } else {
        None
    }
}

fn parse(path: &Path) -> Result<(String, Value), String> {
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("yml" | "yaml") => FileFormat::Yaml,
        Some("toml") => FileFormat::Toml,
        Some("json") => FileFormat::Json,
        Some(_) | None => return Err("its name must end in .yml, .yaml, .toml or .json".to_owned()),
    };
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let tree = tree(&text, format)?;
    Ok((text, tree))
}

fn tree(text: &str, format: FileFormat) -> Result<Value, String> {
    // A document without content is a null to YAML, and a configuration that changes nothing to us.
    if matches!(format, FileFormat::Yaml)
        && text
            .lines()
            .map(str::trim)
            .all(|line| line.is_empty() || line == "---" || line.starts_with('#'))
    {
        return Ok(Value::Object(Map::new()));
    }
    let table = config::File::from_str(text, format)
        .collect()
        .map_err(|error| one_line(&error.to_string()))?;
    Ok(table
        .into_iter()
        .map(|(key, value)| (key, plain(value)))
        .collect())
}

/// A parser's message without the lines of the file that it quotes: they may hold a secret.
fn one_line(message: &str) -> String {
    let quoted = |line: &&str| {
        line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ')
            .starts_with('|')
    };
    let told: Vec<&str> = message.lines().filter(|line| !quoted(line)).collect();
    told.join(": ")
}

/// The crate's own conversions turn booleans into numbers and round fractions; plain JSON does not.
fn plain(value: config::Value) -> Value {
    match value.kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(value) => value.into(),
        ValueKind::I64(value) => value.into(),
        ValueKind::U64(value) => value.into(),
        ValueKind::I128(value) => value.to_string().into(),
        ValueKind::U128(value) => value.to_string().into(),
        ValueKind::Float(value) => {
            Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
        }
        ValueKind::String(value) => value.into(),
        ValueKind::Table(table) => table
            .into_iter()
            .map(|(key, value)| (key, plain(value)))
            .collect(),
        ValueKind::Array(items) => items.into_iter().map(plain).collect(),
    }
}

/// Goes through a file's tables beside those of the default.
struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    keys: &'a Keys,
    layer: &'a mut Layer,
}

impl Walk<'_> {
    fn table(&mut self, defaults: &Value, table: &Map<String, Value>, path: &mut Vec<String>) {
        let mut seen: Vec<String> = Vec::new();
        for (written, value) in table {
            let name = snake(written);
            path.push(written.clone());
            let default = defaults.get(&name);
            if seen.contains(&name) {
                self.refuse(
                    path,
                    None,
                    format!("given twice, as {written} and with the other dash"),
                );
            } else if let Some(default) = default {
                self.known(default, value, path);
            } else {
                let known = defaults.as_object().into_iter().flat_map(Map::keys);
                let nearest = nearest(&name, known.map(String::as_str)).to_owned();
                self.refuse(
                    path,
                    None,
                    format!("unknown key; the nearest known one is {nearest}"),
                );
            }
            path.pop();
            seen.push(name);
        }
    }

    fn known(&mut self, default: &Value, value: &Value, path: &mut Vec<String>) {
        match value {
            Value::Object(table) if is_table(default) => self.table(default, table, path),
            // `limits:` with all its lines commented out.
            Value::Null if is_table(default) => {}
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => {
                if is_table(default) {
                    return self.refuse(path, None, "expected a table of keys".to_owned());
                }
                let dotted = path
                    .iter()
                    .map(|name| snake(name))
                    .collect::<Vec<_>>()
                    .join(".");
                if let Some(key) = self.keys.position(|key| key.dotted() == dotted) {
                    let origin = self.origin(path);
                    let value = Raw::Typed(snake_lists(&self.keys.list[key], value));
                    self.layer.given.push(Given {
                        key,
                        raw: value,
                        origin,
                    });
                }
            }
        }
    }

    fn refuse(&mut self, path: &[String], value: Option<String>, expected: String) {
        let origin = self.origin(path);
        self.layer.errors.push(ConfigError {
            key: path.join("."),
            value,
            origin,
            expected,
        });
    }

    fn origin(&self, path: &[String]) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line: line_of(self.text, path),
        }
    }
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// Snake case inside lists of tables too; the keys of a user's own table stay as they are.
fn snake_lists(key: &Key, value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(snake_keys).collect(),
        Value::Object(_) if key.default.is_null() => snake_keys(value),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            value.clone()
        }
    }
}

fn snake_keys(value: &Value) -> Value {
    match value {
        Value::Object(table) => table
            .iter()
            .map(|(key, value)| (snake(key), snake_keys(value)))
            .collect(),
        Value::Array(items) => items.iter().map(snake_keys).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

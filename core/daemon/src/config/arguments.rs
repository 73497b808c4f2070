//! The command-line layer: `--key value` or `--key=value` for every key.

use std::path::PathBuf;

use super::error::{ConfigError, Origin};
use super::key::{Key, Keys};
use super::load::{Given, Layer, Raw};

const CONFIG: &str = "--config";

/// Arguments that are not keys.
pub(super) const OPTIONS: [&str; 4] = [CONFIG, "--print-config", "--help", "--version"];

/// What the command line says.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) layer: Layer,
    /// `--config PATH`
    pub(super) file: Option<PathBuf>,
    pub(super) request: Option<Request>,
}

/// What is to be printed in place of running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Help,
    Version,
    Configuration,
}

pub(super) fn read(arguments: &[String], keys: &Keys) -> Arguments {
    let mut read = Arguments::default();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--help" | "-h" => read.request = Some(Request::Help),
            "--version" | "-V" => read.request = Some(Request::Version),
            "--print-config" => read.request = Some(Request::Configuration),
            _ => {
                let (name, attached) = match argument.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (argument.as_str(), None),
                };
                let name = name.replace('_', "-");
                let key = keys.position(|key| key.argument() == name);
                let flag = key.is_some_and(|key| keys.list[key].default.is_boolean());
                let value = attached.or_else(|| {
                    rest.next_if(|next| match flag {
                        true => ["true", "false"].contains(&next.as_str()),
                        false => name.starts_with("--") && !next.starts_with("--"),
                    })
                    .cloned()
                });
                read.take(
                    &name,
                    key,
                    value.or_else(|| flag.then(|| "true".to_owned())),
                    keys,
                );
            }
        }
    }
    read
}

impl Arguments {
    fn take(&mut self, name: &str, key: Option<usize>, value: Option<String>, keys: &Keys) {
        match (key, value) {
            (Some(key), Some(text)) => {
                self.layer.given.push(Given {
                    key,
                    raw: Raw::Text(text),
                    origin: Origin::Argument(name.to_owned()),
                });
            }
            (None, Some(path)) if name == CONFIG => self.file = Some(PathBuf::from(path)),
            (Some(_), None) => self.refuse(name, "expected a value after it".to_owned()),
            (None, None) if name == CONFIG => {
                self.refuse(name, "expected a path after it".to_owned())
            }
            (None, _) if !name.starts_with("--") => {
                self.refuse(
                    name,
                    "expected --key value; --help lists all keys".to_owned(),
                );
            }
            (None, _) => {
                let nearest = keys.nearest(name, &OPTIONS, Key::argument);
                self.refuse(
                    name,
                    format!("unknown argument; the nearest known one is {nearest}"),
                );
            }
        }
    }

    fn refuse(&mut self, name: &str, expected: String) {
        self.layer.errors.push(ConfigError {
            key: name.to_owned(),
            value: None,
            origin: Origin::Argument("command line".to_owned()),
            expected,
        });
    }
}

//! Putting the layers together: the highest wins, and every error is reported at once.
//!
//! The `config` crate reads files and inline YAML. Merging is done here, a key at a time: each value
//! keeps its own origin, and a bad one does not hide the next.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::arguments::{self, Arguments, Request};
use super::error::{ConfigError, ConfigErrors, Origin, Problem, expectation, nearest, shown};
use super::key::{Key, Keys};
use super::{Settings, environment, file, print};

/// Where a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The command line without the program's name.
    pub arguments: Vec<String>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Where `<name>.yml` is looked for, first to last.
    pub directories: Vec<PathBuf>,
}

impl Sources {
    /// The process's own arguments, its environment, and `.`, `~/.config/plantd`, `/etc/plantd`.
    pub fn process() -> Self {
        let arguments = std::env::args_os()
            .skip(1)
            .map(|argument| argument.to_string_lossy().into_owned());
        Self {
            arguments: arguments.collect(),
            ..Self::without_arguments()
        }
    }

    /// The same without arguments: what the parts of an all-in-one process are configured by.
    pub fn without_arguments() -> Self {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .map(|(name, value)| {
                (
                    name.to_string_lossy().into_owned(),
                    value.to_string_lossy().into_owned(),
                )
            })
            .collect();
        let home = environment
            .get("HOME")
            .map(|home| PathBuf::from(home).join(".config/plantd"));
        let directories = [
            Some(PathBuf::from(".")),
            home,
            Some(PathBuf::from("/etc/plantd")),
        ];
        Self {
            arguments: Vec::new(),
            directories: directories.into_iter().flatten().collect(),
            environment,
        }
    }
}

/// A configuration and where its values came from.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The configuration.
    pub config: T,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    pub(super) origins: BTreeMap<String, Origin>,
}

impl<T: Settings> Loaded<T> {
    /// Where the value of a dotted key came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The whole configuration as a YAML file with each value's origin as a comment, without secrets.
    pub fn to_yaml(&self) -> String {
        print::yaml(self)
    }
}

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum CommandLine<T> {
    /// To run with this configuration.
    Run(Loaded<T>),
    /// To print this text and exit 0: `--help`, `--version` or `--print-config`.
    Print(String),
}

/// Reads the configuration, or the text that the arguments ask for.
///
/// # Errors
/// Every error of every layer, together.
pub fn command_line<T: Settings>(sources: &Sources) -> Result<CommandLine<T>, ConfigErrors> {
    let keys = Keys::of::<T>();
    let arguments = arguments::read(&sources.arguments, &keys);
    Ok(match arguments.request {
        Some(Request::Help) => CommandLine::Print(print::help::<T>(&keys)),
        Some(Request::Version) => CommandLine::Print(print::version::<T>()),
        Some(Request::Configuration) => {
            CommandLine::Print(layered::<T>(sources, arguments, &keys)?.to_yaml())
        }
        None => CommandLine::Run(layered(sources, arguments, &keys)?),
    })
}

/// Reads the configuration.
///
/// # Errors
/// Every error of every layer, together.
pub fn load<T: Settings>(sources: &Sources) -> Result<Loaded<T>, ConfigErrors> {
    let keys = Keys::of::<T>();
    let arguments = arguments::read(&sources.arguments, &keys);
    layered(sources, arguments, &keys)
}

/// Joins the configurations of two parts of one process.
///
/// # Errors
/// The errors of both.
pub fn together<A, B>(
    one: Result<A, ConfigErrors>,
    other: Result<B, ConfigErrors>,
) -> Result<(A, B), ConfigErrors> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(errors), Ok(_)) | (Ok(_), Err(errors)) => Err(errors),
        (Err(mut errors), Err(other)) => {
            errors.daemons.extend(other.daemons);
            errors.errors.extend(other.errors);
            Err(errors)
        }
    }
}

/// What one layer says.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) given: Vec<Given>,
    pub(super) errors: Vec<ConfigError>,
}

/// A value that somebody gave to the key at this index of [`Keys`].
#[derive(Debug)]
pub(super) struct Given {
    pub(super) key: usize,
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

#[derive(Debug)]
pub(super) enum Raw {
    /// Text whose type is the key's.
    Text(String),
    /// A value that has its type from the file.
    Typed(Value),
}

fn layered<T: Settings>(
    sources: &Sources,
    arguments: Arguments,
    keys: &Keys,
) -> Result<Loaded<T>, ConfigErrors> {
    let found = file::find::<T>(sources, &arguments, keys);
    let path = found.as_ref().map(|(path, _)| path.clone());
    let file = found
        .map(|(path, named_by)| file::read(&path, named_by, keys))
        .unwrap_or_default();
    let environment = environment::read(&sources.environment, keys);

    let (chosen, mut errors) = highest([arguments.layer, environment, file]);
    let (tree, origins) = merge::<T>(chosen, keys, &mut errors);
    let config = serde_json::from_value::<T>(tree.clone());
    match &config {
        Ok(config) => errors.extend(broken_rules(config, &tree, &origins, keys, &errors)),
        Err(error) => errors.push(ConfigError {
            key: "configuration".to_owned(),
            value: None,
            origin: Origin::Default,
            expected: error.to_string(),
        }),
    }
    match config {
        Ok(config) if errors.is_empty() => Ok(Loaded {
            config,
            file: path,
            origins,
        }),
        Ok(_) | Err(_) => Err(ConfigErrors {
            daemons: vec![T::NAME],
            errors,
        }),
    }
}

/// The value of each key in the highest layer that has one, and the errors of all layers.
fn highest(layers: [Layer; 3]) -> (BTreeMap<usize, Given>, Vec<ConfigError>) {
    let mut chosen = BTreeMap::new();
    let mut errors = Vec::new();
    for layer in layers {
        errors.extend(layer.errors);
        // Of an argument that is given twice the last counts.
        let within: BTreeMap<usize, Given> = layer
            .given
            .into_iter()
            .map(|given| (given.key, given))
            .collect();
        for (key, given) in within {
            chosen.entry(key).or_insert(given);
        }
    }
    (chosen, errors)
}

/// The default with every good value in its place, and where each value, good or bad, came from.
fn merge<T: Settings>(
    chosen: BTreeMap<usize, Given>,
    keys: &Keys,
    errors: &mut Vec<ConfigError>,
) -> (Value, BTreeMap<String, Origin>) {
    let mut tree = keys.tree.clone();
    let mut origins = BTreeMap::new();
    for (index, given) in chosen {
        let key = &keys.list[index];
        match accepted::<T>(key, &given.raw, &keys.tree) {
            Ok(value) => key.set(&mut tree, value),
            Err((value, expected)) => errors.push(ConfigError {
                key: key.dotted(),
                value: shown(&key.dotted(), &value),
                origin: given.origin.clone(),
                expected,
            }),
        }
        origins.insert(key.dotted(), given.origin);
    }
    (tree, origins)
}

/// What is wrong with a configuration whose values can all be read, except about keys whose own
/// value was refused.
fn broken_rules<T: Settings>(
    config: &T,
    tree: &Value,
    origins: &BTreeMap<String, Origin>,
    keys: &Keys,
    refused: &[ConfigError],
) -> Vec<ConfigError> {
    // What was meant by an unknown key is not known either: it may be a secret.
    let unknown = unknown_within(config, tree, keys)
        .into_iter()
        .map(|problem| ConfigError {
            value: None,
            ..located(problem, tree, origins)
        });
    let broken = config
        .validate()
        .into_iter()
        .map(|problem| located(problem, tree, origins));
    unknown
        .chain(broken)
        .filter(|error| refused.iter().all(|refused| refused.key != error.key))
        .collect()
}

/// The value if the default with this one key changed can be read, so that errors of other keys
/// do not hide it; else what was read and what would be right.
fn accepted<T: Settings>(key: &Key, raw: &Raw, defaults: &Value) -> Result<Value, (Value, String)> {
    let attempt = |value: &Value| {
        let mut tree = defaults.clone();
        key.set(&mut tree, value.clone());
        serde_json::from_value::<T>(tree)
    };
    // Text is taken as it stands where text will do, so that no password is read as YAML. Empty
    // text unsets what can be unset.
    let candidates = match raw {
        Raw::Typed(value) => vec![value.clone()],
        Raw::Text(text) if text.is_empty() => vec![Value::Null, Value::String(String::new())],
        Raw::Text(text) => {
            let text_value = Value::String(text.clone());
            let typed = file::inline(text).filter(|typed| *typed != text_value);
            [Some(text_value), typed].into_iter().flatten().collect()
        }
    };
    let mut refused = (Value::Null, String::new());
    for value in candidates {
        match attempt(&value) {
            Ok(_) => return Ok(value),
            Err(error) => refused = (value, expectation(key, &error)),
        }
    }
    Err(refused)
}

/// Keys inside values that were given and not taken: `buses[0].fronted`.
fn unknown_within<T: Settings>(config: &T, given: &Value, keys: &Keys) -> Vec<Problem> {
    let taken = serde_json::to_value(config).unwrap_or_default();
    let mut problems = Vec::new();
    for key in &keys.list {
        if let (Some(given), Some(taken)) = (key.lookup(given), key.lookup(&taken)) {
            compare(&key.dotted(), given, taken, &mut problems);
        }
    }
    problems
}

fn compare(path: &str, given: &Value, taken: &Value, problems: &mut Vec<Problem>) {
    if let (Some(given), Some(taken)) = (given.as_array(), taken.as_array()) {
        for (index, (given, taken)) in given.iter().zip(taken).enumerate() {
            compare(&format!("{path}[{index}]"), given, taken, problems);
        }
    }
    let (Some(given), Some(taken)) = (given.as_object(), taken.as_object()) else {
        return;
    };
    for (name, value) in given {
        let path = format!("{path}.{name}");
        match taken.get(name) {
            Some(taken) => compare(&path, value, taken, problems),
            None if value.is_null() => {}
            None => {
                let nearest = nearest(name, Map::keys(taken).map(String::as_str));
                problems.push(Problem::new(
                    path,
                    format!("unknown key; the nearest known one is {nearest}"),
                ));
            }
        }
    }
}

/// The problem with the value that it is about and where that came from.
fn located(problem: Problem, tree: &Value, origins: &BTreeMap<String, Origin>) -> ConfigError {
    let pointer = format!(
        "/{}",
        problem
            .key
            .replace('[', "/")
            .replace(']', "")
            .replace('.', "/")
    );
    let key = problem.key.split('[').next().unwrap_or_default();
    ConfigError {
        value: tree
            .pointer(&pointer)
            .and_then(|value| shown(&problem.key, value)),
        origin: origins.get(key).cloned().unwrap_or(Origin::Default),
        key: problem.key,
        expected: problem.expected,
    }
}

//! The keys of a configuration, read off its serialized default.

use serde_json::Value;

use super::Settings;
use super::error::nearest;

/// One value that can be set: a path of table names, and what it is when nobody sets it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    path: Vec<String>,
    pub(super) default: Value,
}

impl Key {
    /// `limits.outbox_bytes`
    pub(super) fn dotted(&self) -> String {
        self.path.join(".")
    }

    /// `--limits-outbox-bytes`
    pub(super) fn argument(&self) -> String {
        format!("--{}", self.path.join("-").replace('_', "-"))
    }

    /// `LIMITS_OUTBOX_BYTES`, without the daemon's prefix.
    pub(super) fn variable(&self) -> String {
        self.path.join("_").to_uppercase()
    }

    /// Puts `value` in the key's place in `tree`, which has the shape of the default.
    pub(super) fn set(&self, tree: &mut Value, value: Value) {
        if let Some(place) = tree.pointer_mut(&self.pointer()) {
            *place = value;
        }
    }

    pub(super) fn lookup<'a>(&self, tree: &'a Value) -> Option<&'a Value> {
        tree.pointer(&self.pointer())
    }

    fn pointer(&self) -> String {
        format!("/{}", self.path.join("/"))
    }
}

/// All keys of a daemon.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) list: Vec<Key>,
    /// The serialized default, with every key in it.
    pub(super) tree: Value,
    /// `PLANTD_BROKER_`
    pub(super) prefix: String,
}

impl Keys {
    pub(super) fn of<T: Settings>() -> Self {
        let tree =
            serde_json::to_value(T::default()).expect("a default configuration is plain data");
        let mut list = Vec::new();
        collect(&tree, &mut Vec::new(), &mut list);
        let name = T::NAME.to_uppercase().replace('-', "_");
        Self {
            list,
            tree,
            prefix: format!("PLANTD_{name}_"),
        }
    }

    pub(super) fn position(&self, matches: impl Fn(&Key) -> bool) -> Option<usize> {
        self.list.iter().position(matches)
    }

    /// The known name most like `unknown`, where `name` spells keys the way the layer does and
    /// `others` are its names that are not keys.
    pub(super) fn nearest(
        &self,
        unknown: &str,
        others: &[&str],
        name: impl Fn(&Key) -> String,
    ) -> String {
        let names: Vec<String> = self.list.iter().map(name).collect();
        let known = names
            .iter()
            .map(String::as_str)
            .chain(others.iter().copied());
        nearest(unknown, known).to_owned()
    }
}

/// A table without keys is a value of its own: its keys belong to the user.
pub(super) fn is_table(default: &Value) -> bool {
    default.as_object().is_some_and(|table| !table.is_empty())
}

fn collect(default: &Value, path: &mut Vec<String>, keys: &mut Vec<Key>) {
    match default.as_object() {
        Some(table) if is_table(default) => {
            for (name, value) in table {
                path.push(name.clone());
                collect(value, path, keys);
                path.pop();
            }
        }
        Some(_) | None => keys.push(Key {
            path: path.clone(),
            default: default.clone(),
        }),
    }
}

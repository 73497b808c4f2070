//! Several changes at once, or none of them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

use serde_json::value::RawValue;

use super::{
    State,
    entry::{Written, present},
    error::WriteError,
    value::{Value, from_base64},
    wire::Fields,
};

/// One operation of a batch, see [`State::batch`]. Read by serde in the shape of `docs/protocol.md`.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    scope: String,
    key: String,
    action: Action,
    if_version: Option<u64>,
    create_only: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
enum Action {
    Set { value: Value, ttl: Option<Duration> },
    Delete,
    Touch(Option<Duration>),
    Check,
}

impl Operation {
    fn new(scope: &str, key: &str, action: Action) -> Self {
        Self {
            scope: scope.to_owned(),
            key: key.to_owned(),
            action,
            if_version: None,
            create_only: None,
        }
    }

    /// Writes a value.
    pub fn set(scope: &str, key: &str, value: Value) -> Self {
        Self::new(scope, key, Action::Set { value, ttl: None })
    }

    /// Writes a value that is removed when this time has passed.
    pub fn set_for(scope: &str, key: &str, value: Value, ttl: Duration) -> Self {
        let ttl = Some(ttl);
        Self::new(scope, key, Action::Set { value, ttl })
    }

    /// Deletes a key.
    pub fn delete(scope: &str, key: &str) -> Self {
        Self::new(scope, key, Action::Delete)
    }

    /// Gives a value another time to live; `None`: for ever.
    pub fn touch(scope: &str, key: &str, ttl: Option<Duration>) -> Self {
        Self::new(scope, key, Action::Touch(ttl))
    }

    /// Changes nothing, and lets the batch be done only if the key has this version; 0: no value.
    pub fn check(scope: &str, key: &str, version: u64) -> Self {
        Self::new(scope, key, Action::Check).if_version(version)
    }

    /// Lets the batch be done only if the key has this version; 0: no value.
    #[must_use]
    pub fn if_version(mut self, version: u64) -> Self {
        self.if_version = Some(version);
        self
    }

    /// Lets the batch be done only if the key has no value. Only of [`Operation::set`].
    #[must_use]
    pub fn create_only(mut self) -> Self {
        self.create_only = Some(true);
        self
    }

    fn fields(&self) -> Fields<'_> {
        let fields = Fields {
            key: Some(&self.key),
            if_version: self.if_version,
            create_only: self.create_only,
            ..Fields::of(&self.scope)
        };
        match &self.action {
            Action::Set { value, ttl } => Fields {
                op: Some("set"),
                ttl: ttl.map(|ttl| Some(ttl.as_secs_f64())),
                ..fields
            }
            .with_value(value),
            Action::Delete => Fields {
                op: Some("delete"),
                ..fields
            },
            Action::Touch(ttl) => Fields {
                op: Some("touch"),
                ttl: Some(ttl.map(|ttl| ttl.as_secs_f64())),
                ..fields
            },
            Action::Check => Fields {
                op: Some("check"),
                ..fields
            },
        }
    }
}

/// An operation as `docs/protocol.md` writes it, such as
/// `{"op":"set","scope":"org.example.Plant","key":"pump/1","value":true}`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Told {
    op: String,
    scope: String,
    key: String,
    #[serde(default, deserialize_with = "present")]
    value: Option<Box<RawValue>>,
    content_type: Option<String>,
    base64: Option<String>,
    ttl: Option<f64>,
    if_version: Option<u64>,
    create_only: Option<bool>,
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let told = Told::deserialize(from)?;
        let ttl = told.ttl.map(Duration::try_from_secs_f64);
        let ttl = ttl.transpose().map_err(D::Error::custom)?;
        let value = match (told.value, told.base64) {
            (Some(_), Some(_)) => {
                return Err(D::Error::custom("value and base64 are one too many"));
            }
            (Some(json), None) => Some(json.into()),
            (None, Some(text)) => {
                let data = from_base64(&text).map_err(D::Error::custom)?;
                let content_type = told.content_type;
                let content_type =
                    content_type.ok_or_else(|| D::Error::missing_field("content-type"))?;
                Some(Value::bytes(content_type, data))
            }
            (None, None) => None,
        };
        let action = match (told.op.as_str(), value) {
            ("set", Some(value)) => Action::Set { value, ttl },
            ("set", None) => return Err(D::Error::missing_field("value")),
            ("delete", None) => Action::Delete,
            ("touch", None) => Action::Touch(ttl),
            ("check", None) => Action::Check,
            (_, Some(_)) => return Err(D::Error::custom("only a set has a value")),
            (other, None) => {
                let words = &["set", "delete", "touch", "check"];
                return Err(D::Error::unknown_variant(other, words));
            }
        };
        Ok(Self {
            scope: told.scope,
            key: told.key,
            action,
            if_version: told.if_version,
            create_only: told.create_only,
        })
    }
}

impl State {
    /// Changes several keys, also of several scopes, at once or not at all; returns what each
    /// operation came to, in their order. Missing scopes are made.
    ///
    /// A key may occur once; there may be 1 to 1,000 operations, and 4 MiB of values. Where several
    /// daemons share the scopes, all of a batch has to be with one of them.
    ///
    /// # Errors
    /// [`WriteError::InBatch`] when an operation is refused, and whatever else keeps it from being
    /// done.
    pub async fn batch<I>(&self, operations: I) -> Result<Vec<Written>, WriteError>
    where
        I: IntoIterator<Item = Operation>,
    {
        #[derive(Deserialize)]
        struct Results {
            results: Vec<Written>,
        }
        let operations: Vec<Operation> = operations.into_iter().collect();
        let fields = Fields {
            operations: Some(operations.iter().map(Operation::fields).collect()),
            ..Fields::default()
        };
        let done: Results = self.write("batch", fields).await?;
        Ok(done.results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_as_the_service_reads_them() {
        let read = |json: &str| serde_json::from_str::<Operation>(json);
        let set = read(r#"{"op":"set","scope":"s","key":"k","value":null,"ttl":1.5}"#).unwrap();
        let value = Value::json(&()).unwrap();
        let ttl = Duration::from_millis(1500);
        assert_eq!(set, Operation::set_for("s", "k", value, ttl));
        let check = read(r#"{"op":"check","scope":"s","key":"k","if-version":7}"#).unwrap();
        assert_eq!(check, Operation::check("s", "k", 7));
        for (json, problem) in [
            (r#"{"op":"put","scope":"s","key":"k"}"#, "unknown variant"),
            (r#"{"op":"set","scope":"s","key":"k"}"#, "missing field"),
            (
                r#"{"op":"delete","scope":"s","key":"k","value":1}"#,
                "only a set",
            ),
            (
                r#"{"op":"delete","scope":"s","key":"k","if_version":1}"#,
                "unknown field",
            ),
            (
                r#"{"op":"set","scope":"s","key":"k","base64":"AA=="}"#,
                "content-type",
            ),
        ] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.contains(problem), "{json}: {error}");
        }
    }
}

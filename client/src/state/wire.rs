//! The JSON of requests and replies, as `docs/protocol.md` has it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::value::{Value, base64};
use crate::Body;

/// The fields of a request, of all operations.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Fields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) op: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) if_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) create_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<Option<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) create_scope: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) echo: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) values: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) snapshot: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) progress: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) backup: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operations: Option<Vec<Fields<'a>>>,
}

impl<'a> Fields<'a> {
    /// The fields of an operation on a scope.
    pub(super) fn of(scope: &'a str) -> Self {
        Self {
            scope: Some(scope),
            ..Self::default()
        }
    }

    /// Adds a value to be written.
    pub(super) fn with_value(mut self, value: &'a Value) -> Self {
        match value {
            Value::Json(json) => self.value = Some(json.as_raw()),
            Value::Bytes { content_type, data } => {
                self.content_type = Some(content_type);
                self.base64 = Some(base64(data));
            }
        }
        self
    }

    /// The two frames of a request.
    pub(super) fn body(&self, operation: &str) -> Body {
        let fields = serde_json::to_vec(self).expect("texts and numbers have a JSON");
        Body::from_frames([operation.as_bytes(), &fields])
    }
}

/// A reply, or one part of it.
#[derive(Debug, Deserialize)]
pub(super) struct Reply<'a> {
    pub(super) success: bool,
    #[serde(default)]
    pub(super) error: String,
    #[serde(default)]
    pub(super) code: String,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
}

impl<'a> Reply<'a> {
    /// Reads the only frame of a reply.
    pub(super) fn parse(body: &'a Body) -> Result<Self, String> {
        let text = body.text().map_err(|error| error.to_string())?;
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// What the operation tells.
    pub(super) fn data<T: Deserialize<'a>>(&self) -> Result<T, String> {
        let data = self.data.map_or("{}", RawValue::get);
        serde_json::from_str(data).map_err(|error| error.to_string())
    }
}

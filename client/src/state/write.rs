//! Writes of one key, with their conditions.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use super::{
    entry::Written,
    error::WriteError,
    scope::Scope,
    value::{EncodeError, Value},
    wire::Fields,
};

/// A write that is under way.
type Writing = Pin<Box<dyn Future<Output = Result<Written, WriteError>> + Send>>;

/// A value to be written; awaiting it writes it. Made by [`Scope::set`].
///
/// A lost answer is asked for again, and the value is written once. Dropping the future may leave it
/// written or not.
#[must_use = "a value is written when it is awaited"]
#[derive(Debug)]
pub struct SetBuilder {
    scope: Scope,
    key: String,
    value: Result<Value, EncodeError>,
    if_version: Option<u64>,
    create_only: Option<bool>,
    ttl: Option<Duration>,
    create_scope: Option<bool>,
}

impl SetBuilder {
    pub(super) fn new(scope: Scope, key: &str, value: Result<Value, EncodeError>) -> Self {
        Self {
            scope,
            key: key.to_owned(),
            value,
            if_version: None,
            create_only: None,
            ttl: None,
            create_scope: None,
        }
    }

    /// Writes only if the key has this version, 0: only if it has no value; else the error is
    /// [`WriteError::VersionMismatch`], with the version that it has.
    pub fn if_version(mut self, version: u64) -> Self {
        self.if_version = Some(version);
        self
    }

    /// Writes only if the key has no value; else the error is [`WriteError::Exists`].
    pub fn create_only(mut self) -> Self {
        self.create_only = Some(true);
        self
    }

    /// Removes the value when this time has passed.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Fails by [`WriteError::NoScope`] where the scope is missing, rather than to make it.
    pub fn in_existing_scope(mut self) -> Self {
        self.create_scope = Some(false);
        self
    }

    async fn write(self) -> Result<Written, WriteError> {
        let value = self.value?;
        let fields = Fields {
            key: Some(&self.key),
            if_version: self.if_version,
            create_only: self.create_only,
            ttl: self.ttl.map(|ttl| Some(ttl.as_secs_f64())),
            create_scope: self.create_scope,
            echo: Some(false),
            ..self.scope.fields()
        };
        let fields = fields.with_value(&value);
        Ok(self.scope.state.write("state-set", fields).await?)
    }
}

impl IntoFuture for SetBuilder {
    type Output = Result<Written, WriteError>;
    type IntoFuture = Writing;

    fn into_future(self) -> Writing {
        Box::pin(self.write())
    }
}

/// A key to be deleted; awaiting it deletes it. Made by [`Scope::delete`].
#[must_use = "a key is deleted when it is awaited"]
#[derive(Debug)]
pub struct DeleteBuilder {
    scope: Scope,
    key: String,
    if_version: Option<u64>,
}

impl DeleteBuilder {
    pub(super) fn new(scope: Scope, key: &str) -> Self {
        Self {
            scope,
            key: key.to_owned(),
            if_version: None,
        }
    }

    /// Deletes only if the key has this version.
    pub fn if_version(mut self, version: u64) -> Self {
        self.if_version = Some(version);
        self
    }

    async fn write(self) -> Result<Written, WriteError> {
        let fields = Fields {
            key: Some(&self.key),
            if_version: self.if_version,
            ..self.scope.fields()
        };
        Ok(self.scope.state.write("delete", fields).await?)
    }
}

impl IntoFuture for DeleteBuilder {
    type Output = Result<Written, WriteError>;
    type IntoFuture = Writing;

    fn into_future(self) -> Writing {
        Box::pin(self.write())
    }
}

/// A value to be given another time to live; awaiting it does it. Made by [`Scope::touch`].
///
/// A missing key is [`WriteError::NotFound`].
#[must_use = "a value is touched when it is awaited"]
#[derive(Debug)]
pub struct TouchBuilder {
    scope: Scope,
    key: String,
    ttl: Option<Duration>,
    if_version: Option<u64>,
}

impl TouchBuilder {
    pub(super) fn new(scope: Scope, key: &str, ttl: Option<Duration>) -> Self {
        Self {
            scope,
            key: key.to_owned(),
            ttl,
            if_version: None,
        }
    }

    /// Does it only if the key has this version.
    pub fn if_version(mut self, version: u64) -> Self {
        self.if_version = Some(version);
        self
    }

    async fn write(self) -> Result<Written, WriteError> {
        let fields = Fields {
            key: Some(&self.key),
            ttl: Some(self.ttl.map(|ttl| ttl.as_secs_f64())),
            if_version: self.if_version,
            ..self.scope.fields()
        };
        Ok(self.scope.state.write("touch", fields).await?)
    }
}

impl IntoFuture for TouchBuilder {
    type Output = Result<Written, WriteError>;
    type IntoFuture = Writing;

    fn into_future(self) -> Writing {
        Box::pin(self.write())
    }
}

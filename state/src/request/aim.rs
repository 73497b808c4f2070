//! Which scopes a request is about, and which shard it is for.

use super::fields::{self, Fields, Kind};
use super::reading::{missing, refused_in_batch};
use super::{Operation, Page, Write, WriteRequest};
use crate::names::Scope;
use crate::refusal::Refusal;

/// What has to be known of a request to hand it on. What else it says is for the store to judge.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Aim {
    /// To the shard of a scope.
    Scope {
        scope: Scope,
        /// Whether the answer comes in parts.
        is_stream: bool,
    },
    /// To the shard of these scopes, if it is one.
    Batch(Vec<Scope>),
    /// To all shards, for a page of their scopes.
    ListScopes(Page),
    /// To all shards.
    Health,
    Stats,
    Backup {
        has_progress: bool,
    },
    Verify {
        has_backup: bool,
        has_progress: bool,
    },
    /// To none.
    Shards,
}

impl Aim {
    /// Reads of a request's frames what has to be known.
    ///
    /// # Errors
    /// The refusal that the client is answered with.
    pub(crate) fn parse(name: &[u8], json: &[u8]) -> Result<(&'static str, Self), Refusal> {
        let operation = fields::operation(name)?;
        let fields = Fields::parse(json, operation)?;
        let has_progress = fields.progress.unwrap_or(false);
        let is_stream = operation.kind == Kind::Watch;
        let at = |scope| Self::Scope { scope, is_stream };
        let aim = match operation.kind {
            Kind::Batch => Self::Batch(fields.scopes_of_batch()?),
            Kind::ListScopes => Self::ListScopes(fields.page()?),
            Kind::Health => fields.optional_scope()?.map_or(Self::Health, at),
            Kind::Stats => fields.optional_scope()?.map_or(Self::Stats, at),
            Kind::Backup => Self::Backup { has_progress },
            Kind::Verify => Self::Verify {
                has_backup: fields.backup.is_some(),
                has_progress,
            },
            Kind::Shards => Self::Shards,
            Kind::Edit(_)
            | Kind::Get
            | Kind::DeletePrefix
            | Kind::CreateScope
            | Kind::DeleteScope
            | Kind::ListKeys
            | Kind::History
            | Kind::Watch => at(fields.scope()?),
        };
        Ok((operation.name, aim))
    }
}

impl Fields<'_> {
    fn scopes_of_batch(&self) -> Result<Vec<Scope>, Refusal> {
        let operations = self.operations()?.iter().enumerate();
        let scope = self.optional_scope()?;
        let scope_of = |json: &[u8]| {
            let own = Fields::parse_in_batch(json)?.optional_scope()?;
            own.or_else(|| scope.clone())
                .ok_or_else(|| missing("scope"))
        };
        let scopes = operations.map(|(index, json)| {
            scope_of(json.get().as_bytes()).map_err(|refusal| refused_in_batch(refusal, index))
        });
        scopes.collect()
    }
}

impl Operation {
    /// Holds every scope of an operation to a rule; of a batch the refusal says which.
    pub(crate) fn check_scopes(
        &self,
        rule: impl Fn(&Scope) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Write(WriteRequest { write, .. }) => match write {
                Write::CreateScope(scope)
                | Write::DeleteScope(scope)
                | Write::DeletePrefix { scope, .. } => rule(scope),
                Write::Edit(edit) => rule(&edit.scope),
                Write::Batch(edits) => {
                    let mut edits = edits.iter().enumerate();
                    edits.try_for_each(|(index, edit)| {
                        rule(&edit.scope).map_err(|refusal| refused_in_batch(refusal, index))
                    })
                }
            },
            Self::Get { scope, .. }
            | Self::ListKeys { scope, .. }
            | Self::History { scope, .. }
            | Self::Health(Some(scope))
            | Self::Stats(Some(scope)) => rule(scope),
            Self::Watch(watch) => rule(&watch.scope),
            Self::ListScopes(_)
            | Self::Health(None)
            | Self::Stats(None)
            | Self::Backup { .. }
            | Self::Verify { .. }
            | Self::Shards => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

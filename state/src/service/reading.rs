//! Reads: where each is done, and what is told of a key.

use super::{Answer, Service, clock, no_scope, not_found};
use crate::names::{Key, Scope};
use crate::refusal::{Code, Refusal};
use crate::reply::Object;
use crate::request::Operation;
use crate::store::{Condition, Entry};

impl Service {
    /// Answers a look at a key from memory, if it can be.
    pub(super) fn recall(&self, operation: &Operation) -> Option<Answer> {
        let Operation::Get {
            scope,
            key,
            version: None,
        } = operation
        else {
            return None;
        };
        match self.checked(|store| Ok(store.recall(scope, key))) {
            Ok(entry) => entry.map(|entry| Ok(self.told(scope, key, &entry))),
            Err(refusal) => Some(Err(refusal)),
        }
    }

    pub(super) async fn read(&self, operation: Operation) -> Result<Vec<u8>, Refusal> {
        match operation {
            Operation::Get {
                scope,
                key,
                version,
            } => self.get(&scope, &key, version),
            Operation::Health(scope) => self.health(scope.as_ref()),
            Operation::Stats(Some(scope)) => self.scope_stats(&scope).await,
            Operation::Stats(None) => self.stats(),
            Operation::Shards => Ok(self.place.shards()),
            Operation::ListScopes(page) => {
                self.in_the_background(move |service| service.list_scopes(&page))
                    .await
            }
            Operation::ListKeys {
                scope,
                page,
                has_values,
            } => {
                self.in_the_background(move |service| service.list_keys(&scope, &page, has_values))
                    .await
            }
            Operation::History {
                scope,
                key,
                before,
                limit,
            } => {
                self.in_the_background(move |service| service.history(&scope, &key, before, limit))
                    .await
            }
            Operation::Write(_)
            | Operation::Watch(_)
            | Operation::Backup { .. }
            | Operation::Verify { .. } => Err(Refusal::new(
                Code::BadRequest,
                "it is no operation that reads",
            )),
        }
    }

    fn get(&self, scope: &Scope, key: &Key, version: Option<u64>) -> Result<Vec<u8>, Refusal> {
        if let Some(version) = version {
            return self.get_version(scope, key, version);
        }
        match self.checked(|store| store.value_or_scope(scope, key))? {
            Ok(entry) => Ok(self.told(scope, key, &entry)),
            Err(Some(row)) => Err(not_found(scope, key, row.sequence)),
            Err(None) => Err(no_scope(scope)),
        }
    }

    /// The reply that tells the value of a key.
    fn told(&self, scope: &Scope, key: &Key, entry: &Entry) -> Vec<u8> {
        let mut out = Object::data();
        out.text("scope", scope.as_str()).text("key", key.as_str());
        self.write_entry(&mut out, entry);
        out.finish()
    }

    /// Writes what is said of a value.
    pub(super) fn write_entry(&self, out: &mut Object, entry: &Entry) {
        out.value(&entry.value)
            .number("version", entry.version)
            .number("timestamp", entry.timestamp as u64);
        if let Some(expires) = entry.expires {
            let left = self.store.shared().time_left(expires, clock());
            out.seconds("ttl", left);
        }
    }

    fn get_version(&self, scope: &Scope, key: &Key, version: u64) -> Result<Vec<u8>, Refusal> {
        let found = self.look_at_one_moment(|reader| {
            let Some(row) = reader.scope(scope)? else {
                return Ok(None);
            };
            // The present version is there, however long ago it was written.
            let found = match reader
                .value(scope, key)?
                .filter(|entry| entry.version == version)
            {
                Some(entry) => Some((entry.value, entry.timestamp)),
                None => {
                    let change = reader.change(&row, key, version)?;
                    change.and_then(|change| Some((change.value?, change.timestamp)))
                }
            };
            Ok(Some((row, found)))
        })?;
        let Some((row, found)) = found else {
            return Err(no_scope(scope));
        };
        let Some((value, timestamp)) = found else {
            let error = format!(
                "{scope} {key} has no version {version}: the history of the key does not have it, and \
                 that of the scope goes back to {}",
                row.floor + 1
            );
            return Err(Refusal::new(Code::NotFound, error).with("oldest", row.floor + 1));
        };
        let mut out = Object::data();
        out.text("scope", scope.as_str())
            .text("key", key.as_str())
            .value(&value)
            .number("version", version)
            .number("timestamp", timestamp as u64);
        Ok(out.finish())
    }

    fn health(&self, scope: Option<&Scope>) -> Result<Vec<u8>, Refusal> {
        let status = match self.store.shared().condition() {
            Condition::Writes => "healthy",
            Condition::Refuses(_) => "read-only",
            Condition::Damaged(_) => "damaged",
        };
        let mut out = Object::data();
        out.text("status", status)
            .text("service", &self.place.service)
            .flag("store_available", status != "damaged");
        if let Some(scope) = scope {
            let exists = self.look(|reader| reader.scope(scope))?.is_some();
            out.text("scope", scope.as_str())
                .flag("scope_exists", exists);
        }
        Ok(out.finish())
    }
}

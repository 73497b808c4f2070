//! Lists: scopes, keys, histories, and what there is to say of the store.

use std::fs;

use super::{Service, no_scope};
use crate::names::{Key, Scope};
use crate::publish::is_subscribed;
use crate::refusal::Refusal;
use crate::reply::Object;
use crate::request::Page;
use crate::store::Change;

impl Service {
    pub(super) fn list_scopes(&self, page: &Page) -> Result<Vec<u8>, Refusal> {
        let (scopes, has_more) = self.look(|reader| self.place.scopes(reader, page))?;
        let mut out = Object::data();
        out.list("scopes");
        for scope in &scopes {
            out.text_item(scope);
        }
        out.end().number("count", scopes.len() as u64);
        if let (true, Some(last)) = (has_more, scopes.last()) {
            out.text("next", last);
        }
        Ok(out.finish())
    }

    pub(super) fn list_keys(
        &self,
        scope: &Scope,
        page: &Page,
        has_values: bool,
    ) -> Result<Vec<u8>, Refusal> {
        let listed = self.checked(|store| store.keys(scope, page, has_values))?;
        let Some(listed) = listed else {
            return Err(no_scope(scope));
        };
        let mut out = Object::data();
        out.text("scope", scope.as_str());
        out.list(if has_values { "entries" } else { "keys" });
        for (key, entry) in &listed.entries {
            match entry {
                Some(entry) => {
                    out.item().text("key", key.as_str());
                    self.write_entry(&mut out, entry);
                    out.end();
                }
                None => drop(out.text_item(key.as_str())),
            }
        }
        out.end()
            .number("count", listed.entries.len() as u64)
            .number("sequence", listed.sequence);
        if let (true, Some((last, _))) = (listed.has_more, listed.entries.last()) {
            out.text("next", last.as_str());
        }
        Ok(out.finish())
    }

    pub(super) fn history(
        &self,
        scope: &Scope,
        key: &Key,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<u8>, Refusal> {
        let found = self.checked(|store| store.history(scope, key, before, limit))?;
        let Some((changes, has_more)) = found else {
            return Err(no_scope(scope));
        };
        let mut out = Object::data();
        out.text("scope", scope.as_str()).text("key", key.as_str());
        out.list("versions");
        for change in &changes {
            out.item();
            write_change(&mut out, change, true);
            out.end();
        }
        out.end().number("count", changes.len() as u64);
        if let (true, Some(last)) = (has_more, changes.last()) {
            out.number("next", last.sequence);
        }
        Ok(out.finish())
    }

    pub(super) fn stats(&self) -> Result<Vec<u8>, Refusal> {
        let totals = self.look(|reader| reader.totals())?;
        let size = |path| fs::metadata(path).map_or(0, |file| file.len());
        let database = self.store.database();
        let mut out = Object::data();
        let backup_age = self.backup_age();
        out.number("scopes", totals.scopes)
            .number("keys", totals.keys)
            .number("commits", totals.commits)
            .number("file-bytes", size(database.to_owned()))
            .number("wal-bytes", size(self.store.wal()));
        let watches = self.most_watches - self.watches.available_permits();
        if let Some(age) = backup_age {
            out.number("backup-age", age.as_secs());
        }
        if let Some(outside) = self.place.outside() {
            out.number("outside", outside);
        }
        out.number("watches", watches as u64)
            .text("sqlite", rusqlite::version())
            .text("version", plantd_daemon::VERSION);
        Ok(out.finish())
    }

    pub(super) async fn scope_stats(&self, scope: &Scope) -> Result<Vec<u8>, Refusal> {
        // Before the sequence is read: each change after it is then published.
        let is_published = match self.source.get() {
            Some(source) => is_subscribed(source, scope).await,
            None => false,
        };
        let row = self.look(|reader| reader.scope(scope))?;
        let row = row.ok_or_else(|| no_scope(scope))?;
        let oldest = if row.sequence > row.floor {
            row.floor + 1
        } else {
            0
        };
        let mut out = Object::data();
        out.text("scope", scope.as_str())
            .number("sequence", row.sequence)
            .number("oldest", oldest)
            .number("past", row.past)
            .number("keys", row.keys)
            .number("created", row.created as u64)
            .flag("published", is_published);
        Ok(out.finish())
    }
}

/// Writes what is said of a change.
pub(crate) fn write_change(out: &mut Object, change: &Change, has_value: bool) {
    out.text("event", change.event.as_str());
    if let Some(key) = &change.key {
        out.text("key", key.as_str());
    }
    out.number("version", change.sequence)
        .number("previous", change.previous)
        .number("timestamp", change.timestamp as u64);
    if let (true, Some(value)) = (has_value, &change.value) {
        out.value(value);
    }
    if change.more > 0 {
        out.number("more", change.more.into());
    }
}

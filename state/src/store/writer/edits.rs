//! Edits of keys: first everything is looked at and decided, then everything is written.

use std::mem;

use rusqlite::OptionalExtension as _;

use super::statements::LOGGED;
use super::{Announcement, Edited, Now, Writer, Written};
use crate::names::{Key, Scope};
use crate::refusal::{Code, Refusal};
use crate::request::{Action, Condition, DELETED_KEYS, Edit};
use crate::store::Fault;
use crate::store::clock::signed;
use crate::store::outcome::Written as WrittenValue;
use crate::store::place::At;
use crate::store::recent::Kept;
use crate::store::row::{Change, Entry, Event, Found};

impl Writer<'_> {
    pub(super) fn edit(&mut self, edit: &Edit, now: Now) -> Result<Result<Edited, Refusal>, Fault> {
        let present = match self.look(edit)? {
            Ok(present) => present,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = self.make_missing_scopes(std::slice::from_ref(edit), now)? {
            return Ok(Err(refusal));
        }
        self.make(edit, present, 0, now).map(Ok)
    }

    /// Does all edits, or none of them.
    pub(super) fn edit_all(
        &mut self,
        edits: &[Edit],
        now: Now,
    ) -> Result<Result<Vec<Edited>, Refusal>, Fault> {
        let mut found = Vec::with_capacity(edits.len());
        for (index, edit) in edits.iter().enumerate() {
            match self.look(edit)? {
                Ok(present) => found.push(present),
                Err(refusal) => return Ok(Err(refusal.with("index", index))),
            }
        }
        if let Err(refusal) = self.make_missing_scopes(edits, now)? {
            return Ok(Err(refusal));
        }
        let mut edited = Vec::with_capacity(edits.len());
        for (index, (edit, present)) in edits.iter().zip(&found).enumerate() {
            let rest = edits[index + 1..].iter().zip(&found[index + 1..]);
            let logged = rest.filter(|(other, present)| {
                other.scope == edit.scope && is_logged(other, present.is_some())
            });
            let more = u32::try_from(logged.count()).unwrap_or(u32::MAX);
            edited.push(self.make(edit, *present, more, now)?);
        }
        Ok(Ok(edited))
    }

    /// Decides whether an edit may be done, and finds what is there.
    fn look(&mut self, edit: &Edit) -> Result<Result<Option<Found>, Refusal>, Fault> {
        let scope = self.live_scope(&edit.scope);
        let has_scope = scope.is_some();
        let sequence = scope.map_or(0, |scope| scope.sequence);
        let creates_scope = matches!(
            edit.action,
            Action::Set {
                creates_scope: true,
                ..
            }
        );
        if !has_scope && !creates_scope {
            return Ok(Err(no_scope(&edit.scope)));
        }
        let present = if has_scope {
            self.find(&edit.scope, &edit.key)?
        } else {
            None
        };
        let version = present.map_or(0, |found| found.version);
        let (scope, key) = (&edit.scope, &edit.key);
        let refused = |code, error: String| {
            let refusal = Refusal::new(code, error)
                .with("scope", scope.as_str())
                .with("key", key.as_str())
                .with("version", version);
            Ok(Err(refusal))
        };
        match edit.condition {
            Condition::None => {}
            Condition::Absent if present.is_none() => {}
            Condition::Absent => {
                let error = format!("{scope} {key} exists, with version {version}");
                return refused(Code::Exists, error);
            }
            Condition::Version(wanted) if wanted == version => {}
            Condition::Version(wanted) => {
                let error = format!("{scope} {key} has version {version}, not {wanted}");
                return refused(Code::VersionMismatch, error);
            }
        }
        let needs_value = matches!(edit.action, Action::Touch { .. });
        if needs_value && present.is_none() {
            let error = format!("{scope} has no key {key}, as of sequence {sequence}");
            return refused(Code::NotFound, error);
        }
        Ok(Ok(present))
    }

    fn find(&mut self, scope: &Scope, key: &Key) -> Result<Option<Found>, Fault> {
        let at = At { scope, key };
        if let Some(written) = self.group.outcome.find(at) {
            return Ok(written.map(|written| written.kept.found()));
        }
        if let Some(found) = self.recent.present(at) {
            return Ok(Some(found));
        }
        let (scope, key) = (scope.as_str(), key.as_str());
        let mut rows = self.statements.find.query((scope, key))?;
        match rows.next()? {
            Some(row) => Found::read(row, scope, key).map(Some),
            None => Ok(None),
        }
    }

    fn make(
        &mut self,
        edit: &Edit,
        present: Option<Found>,
        more: u32,
        now: Now,
    ) -> Result<Edited, Fault> {
        let previous = present.map_or(0, |found| found.version);
        match &edit.action {
            Action::Set { value, ttl, .. } => {
                let expires = ttl.map(|ttl| now.clock + signed(ttl));
                let before = match present {
                    Some(found) => found.version,
                    None => self.exhume(&edit.scope, &edit.key)?,
                };
                let is_folded = !self.may_be_ahead(value, expires, present);
                let change = Change {
                    sequence: self.next_sequence(&edit.scope, !is_folded)?,
                    event: Event::Set,
                    key: Some(edit.key.clone()),
                    value: Some(value.clone()),
                    timestamp: self.clock.stamp(now.wall),
                    previous,
                    before,
                    more,
                };
                let entry = Entry {
                    value: value.clone(),
                    version: change.sequence,
                    timestamp: change.timestamp,
                    expires,
                };
                self.put(&edit.scope, &edit.key, entry, present, is_folded)?;
                let version = change.sequence;
                self.log(&edit.scope, change)?;
                Ok(Edited { version, previous })
            }
            Action::Delete => {
                let Some(found) = present else {
                    let version = self.live_scope(&edit.scope).map_or(0, |row| row.sequence);
                    return Ok(Edited { version, previous });
                };
                let version =
                    self.remove(&edit.scope, &edit.key, found, Event::Delete, more, now)?;
                Ok(Edited { version, previous })
            }
            Action::Touch { ttl } => {
                let expires = ttl.map(|ttl| now.clock + signed(ttl));
                self.give_time(&edit.scope, &edit.key, present, expires)?;
                Ok(Edited {
                    version: previous,
                    previous,
                })
            }
            Action::Check => Ok(Edited {
                version: previous,
                previous,
            }),
        }
    }

    /// Where a key was deleted that is given a value again; 0: nowhere that is known.
    fn exhume(&mut self, scope: &Scope, key: &Key) -> Result<u64, Fault> {
        let version: Option<i64> = self
            .statements
            .exhume
            .query_row((scope.as_str(), key.as_str()), |row| row.get(0))
            .optional()?;
        Ok(version.map_or(0, |version| version as u64))
    }

    /// Gives a key a value: in the table, or ahead of it.
    fn put(
        &mut self,
        scope: &Scope,
        key: &Key,
        entry: Entry,
        present: Option<Found>,
        is_folded: bool,
    ) -> Result<(), Fault> {
        let checksum = entry.checksum(scope.as_str(), key.as_str());
        let kept = Kept { entry, checksum };
        if is_folded {
            self.write_row(At { scope, key }, &kept)?;
            self.expect_due(kept.entry.expires);
        } else {
            self.folding.expect(scope);
        }
        self.account(scope, present, Some(checksum));
        let written = WrittenValue { kept, is_folded };
        let place = At { scope, key }.to_place();
        self.group.outcome.write(place, written);
        Ok(())
    }

    /// Takes a value away, and says so in the history.
    pub(super) fn remove(
        &mut self,
        scope: &Scope,
        key: &Key,
        found: Found,
        event: Event,
        more: u32,
        now: Now,
    ) -> Result<u64, Fault> {
        let sequence = self.next_sequence(scope, false)?;
        self.statements
            .delete
            .execute((scope.as_str(), key.as_str()))?;
        self.statements
            .bury
            .execute((scope.as_str(), key.as_str(), sequence as i64))?;
        self.account(scope, Some(found), None);
        self.group.outcome.remove(At { scope, key }.to_place());
        let change = Change {
            sequence,
            event,
            key: Some(key.clone()),
            value: None,
            timestamp: self.clock.stamp(now.wall),
            previous: found.version,
            before: found.version,
            more,
        };
        self.log(scope, change)?;
        Ok(sequence)
    }

    fn give_time(
        &mut self,
        scope: &Scope,
        key: &Key,
        present: Option<Found>,
        expires: Option<i64>,
    ) -> Result<(), Fault> {
        let Some(mut entry) = self.entry(scope, key)? else {
            return Ok(());
        };
        entry.expires = expires;
        self.put(scope, key, entry, present, true)
    }

    /// The value of a key, as the group has left it so far.
    fn entry(&mut self, scope: &Scope, key: &Key) -> Result<Option<Entry>, Fault> {
        let at = At { scope, key };
        if let Some(written) = self.group.outcome.find(at) {
            return Ok(written.map(|written| written.kept.entry.clone()));
        }
        if let Some(kept) = self.recent.ahead(at) {
            return Ok(Some(kept.entry));
        }
        let (scope, key) = (scope.as_str(), key.as_str());
        let mut rows = self.statements.find.query((scope, key))?;
        match rows.next()? {
            Some(row) => Entry::read(row, 0, scope, key).map(|(entry, _)| Some(entry)),
            None => Ok(None),
        }
    }

    /// Adds a change to the history, at the latest at the end of the group, and to what is announced after it.
    pub(super) fn log(&mut self, scope: &Scope, change: Change) -> Result<(), Fault> {
        let id = self.change_id(scope, change.sequence)?;
        self.group.unlogged.push(id);
        self.group.announcements.push(Announcement {
            scope: scope.clone(),
            change,
        });
        Ok(())
    }

    /// Writes the changes that the history does not have yet. To be called before it is looked at.
    pub(super) fn write_log(&mut self) -> Result<(), Fault> {
        let ids = mem::take(&mut self.group.unlogged);
        let logged = self.group.announcements.len() - ids.len();
        let changes = &self.group.announcements[logged..];
        let (many, single) = (ids.chunks_exact(LOGGED), changes.chunks_exact(LOGGED));
        let rest = many.remainder().iter().zip(single.remainder());
        for (ids, changes) in many.zip(single) {
            let statement = &mut self.statements.log_many;
            for (row, (id, announcement)) in ids.iter().zip(changes).enumerate() {
                let change = &announcement.change;
                change.bind(statement, *id, row * Change::WIDTH + 1)?;
            }
            statement.raw_execute()?;
        }
        // It keeps copies of what it was given.
        self.statements.log_many.clear_bindings();
        for (id, announcement) in rest {
            announcement.change.bind(&mut self.statements.log, *id, 1)?;
            self.statements.log.raw_execute()?;
        }
        Ok(())
    }

    fn expect_due(&mut self, expires: Option<i64>) {
        self.next_due = match (self.next_due, expires) {
            (Some(due), Some(expires)) => Some(due.min(expires)),
            (due, expires) => due.or(expires),
        };
    }

    /// Deletes the first keys that begin with a prefix.
    pub(super) fn delete_prefix(
        &mut self,
        scope: &Scope,
        prefix: &str,
        limit: usize,
        now: Now,
    ) -> Result<Result<Written, Refusal>, Fault> {
        if self.live_scope(scope).is_none() {
            return Ok(Err(no_scope(scope)));
        }
        self.fold_scope(scope)?;
        let mut keys = self.first_keys(scope, prefix, limit.min(DELETED_KEYS) + 1)?;
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        let count = keys.len();
        for (index, (key, found)) in keys.into_iter().enumerate() {
            let more = u32::try_from(count - index - 1).unwrap_or(u32::MAX);
            self.remove(scope, &key, found, Event::Delete, more, now)?;
        }
        Ok(Ok(Written::Prefix {
            deleted: count as u64,
            has_more,
            sequence: self.live_scope(scope).map_or(0, |row| row.sequence),
        }))
    }

    /// The first keys that begin with a prefix, with what a removal has to know.
    pub(super) fn first_keys(
        &self,
        scope: &Scope,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<(Key, Found)>, Fault> {
        let sql = format!(
            "SELECT {}, key FROM state WHERE scope = ?1 AND key >= ?2 ORDER BY key LIMIT ?3",
            Entry::COLUMNS
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query((scope.as_str(), prefix, limit as i64))?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let key = row.get_ref(6)?.as_str()?;
            if !key.starts_with(prefix) {
                break;
            }
            keys.push((Key::kept(key), Found::read(row, scope.as_str(), key)?));
        }
        Ok(keys)
    }
}

/// Whether an edit is a change that the history has.
fn is_logged(edit: &Edit, has_value: bool) -> bool {
    match edit.action {
        Action::Set { .. } => true,
        Action::Delete => has_value,
        Action::Touch { .. } | Action::Check => false,
    }
}

pub(super) fn no_scope(scope: &Scope) -> Refusal {
    Refusal::new(Code::NoScope, format!("there is no scope {scope}")).with("scope", scope.as_str())
}

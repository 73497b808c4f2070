//! Scopes: their making and end, their sequences, and what they account for.

use super::edits::no_scope;
use super::{Now, Writer, Written};
use crate::names::Scope;
use crate::refusal::{Code, Refusal};
use crate::request::{Action, DELETED_KEYS, Edit};
use crate::store::Fault;
use crate::store::row::{Change, Event, Found, LAST_SCOPE, LAST_SEQUENCE, ScopeRow, change_id};

impl Writer<'_> {
    pub(super) fn read_scopes(&mut self) -> Result<(), Fault> {
        let sql = format!("SELECT {} FROM scopes", ScopeRow::COLUMNS);
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut scopes = std::collections::BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (scope, row) = ScopeRow::read(row)?;
            self.next_number = self.next_number.max(row.number + 1);
            scopes.insert(Scope::kept(&scope), row);
        }
        drop(rows);
        self.scopes = scopes;
        let all = self.scopes.iter();
        self.shared
            .show_commit(all.map(|(scope, row)| (scope, row.sequence)));
        Ok(())
    }

    /// A scope that exists.
    pub(super) fn live_scope(&self, scope: &Scope) -> Option<&ScopeRow> {
        self.scopes.get(scope).filter(|row| !row.is_deleted)
    }

    /// A scope's row, to be changed in this group.
    pub(super) fn change_scope(&mut self, scope: &Scope) -> Option<&mut ScopeRow> {
        let row = self.scopes.get_mut(scope)?;
        if !self.group.before.contains_key(scope) {
            self.group.before.insert(scope.clone(), Some(row.clone()));
        }
        Some(row)
    }

    /// The sequence of the next change. It is ahead of the table of values, or that has what it is.
    pub(super) fn next_sequence(&mut self, scope: &Scope, is_ahead: bool) -> Result<u64, Fault> {
        let row = self
            .change_scope(scope)
            .filter(|row| row.sequence < LAST_SEQUENCE)
            .ok_or_else(|| Fault::damaged(format!("the sequence of {scope}")))?;
        if row.folded == row.sequence && !is_ahead {
            row.folded += 1;
        }
        row.sequence += 1;
        Ok(row.sequence)
    }

    pub(super) fn change_id(&self, scope: &Scope, sequence: u64) -> Result<i64, Fault> {
        let row = self.scopes.get(scope);
        let row = row.ok_or_else(|| Fault::damaged(format!("the scope {scope}")))?;
        Ok(change_id(row.number, sequence))
    }

    /// Notes that the row of a value took the place of another, or of none.
    pub(super) fn account(&mut self, scope: &Scope, before: Option<Found>, after: Option<u32>) {
        if let Some(row) = self.change_scope(scope) {
            let gone = before.map_or(0, |found| u64::from(found.checksum));
            let come = after.map_or(0, u64::from);
            row.digest = row.digest.wrapping_sub(gone).wrapping_add(come);
            row.keys = row.keys + u64::from(after.is_some()) - u64::from(before.is_some());
        }
    }

    pub(super) fn create_scope(
        &mut self,
        scope: &Scope,
        now: Now,
    ) -> Result<Result<Written, Refusal>, Fault> {
        if let Some(row) = self.live_scope(scope) {
            let refusal = Refusal::new(Code::ScopeExists, format!("the scope {scope} exists"))
                .with("scope", scope.as_str())
                .with("sequence", row.sequence);
            return Ok(Err(refusal));
        }
        if let Err(refusal) = self.has_room(scope) {
            return Ok(Err(refusal));
        }
        let sequence = self.make_scope(scope, now)?;
        Ok(Ok(Written::Scope {
            sequence,
            deleted: 0,
        }))
    }

    /// Makes the scopes that edits need and that are not there.
    pub(super) fn make_missing_scopes(
        &mut self,
        edits: &[Edit],
        now: Now,
    ) -> Result<Result<(), Refusal>, Fault> {
        let needed = edits
            .iter()
            .filter(|edit| matches!(edit.action, Action::Set { .. }));
        let mut missing: Vec<&Scope> = needed
            .map(|edit| &edit.scope)
            .filter(|scope| self.live_scope(scope).is_none())
            .collect();
        missing.sort();
        missing.dedup();
        let unknown = missing
            .iter()
            .filter(|scope| !self.scopes.contains_key(**scope));
        let most = self.options.scopes;
        if self.scopes.len() + unknown.count() > most {
            return Ok(Err(too_many_scopes(most)));
        }
        for scope in missing {
            self.make_scope(scope, now)?;
        }
        Ok(Ok(()))
    }

    fn has_room(&self, scope: &Scope) -> Result<(), Refusal> {
        let most = self.options.scopes;
        if self.scopes.len() < most || self.scopes.contains_key(scope) {
            Ok(())
        } else {
            Err(too_many_scopes(most))
        }
    }

    /// Makes a scope; one that was deleted goes on with its sequence.
    fn make_scope(&mut self, scope: &Scope, now: Now) -> Result<u64, Fault> {
        let timestamp = self.clock.stamp(now.wall);
        let number = self.next_number;
        match self.change_scope(scope) {
            Some(row) => {
                row.is_deleted = false;
                row.created = timestamp;
            }
            None if number > LAST_SCOPE => {
                return Err(Fault::damaged("the numbers of scopes"));
            }
            None => {
                let row = ScopeRow {
                    number,
                    sequence: 0,
                    floor: 0,
                    folded: 0,
                    keys: 0,
                    digest: 0,
                    created: timestamp,
                    is_deleted: false,
                    past: 0,
                };
                self.next_number += 1;
                self.scopes.insert(scope.clone(), row);
                self.group.before.insert(scope.clone(), None);
            }
        }
        self.log_scope(scope, Event::CreateScope, timestamp)
    }

    pub(super) fn delete_scope(
        &mut self,
        scope: &Scope,
        now: Now,
    ) -> Result<Result<Written, Refusal>, Fault> {
        let Some(row) = self.live_scope(scope) else {
            return Ok(Err(no_scope(scope)));
        };
        let deleted = row.keys;
        if deleted > DELETED_KEYS as u64 {
            let error = format!(
                "{scope} has {deleted} keys; a scope with more than {DELETED_KEYS} is deleted after \
                 delete-prefix has taken them away"
            );
            return Ok(Err(
                Refusal::new(Code::TooLarge, error).with("keys", deleted)
            ));
        }
        let timestamp = self.clock.stamp(now.wall);
        for table in ["state", "deleted"] {
            let sql = format!("DELETE FROM {table} WHERE scope = ?1");
            self.connection
                .prepare_cached(&sql)?
                .execute([scope.as_str()])?;
        }
        self.group.outcome.remove_scope(scope);
        let sequence = self.log_scope(scope, Event::DeleteScope, timestamp)?;
        if let Some(row) = self.change_scope(scope) {
            row.is_deleted = true;
            row.folded = row.sequence;
            row.keys = 0;
            row.digest = 0;
        }
        self.write_log()?;
        // Whoever watches up to the end is told of it.
        self.forget_up_to(scope, sequence - 1)?;
        Ok(Ok(Written::Scope { sequence, deleted }))
    }

    fn log_scope(&mut self, scope: &Scope, event: Event, timestamp: i64) -> Result<u64, Fault> {
        let sequence = self.next_sequence(scope, false)?;
        let change = Change {
            sequence,
            event,
            key: None,
            value: None,
            timestamp,
            previous: 0,
            before: 0,
            more: 0,
        };
        self.log(scope, change)?;
        Ok(sequence)
    }

    /// Writes the rows of all scopes that the group has changed.
    pub(super) fn write_scopes(&mut self) -> Result<(), Fault> {
        for scope in self.group.before.keys() {
            let Some(row) = self.scopes.get(scope) else {
                continue;
            };
            self.statements.scope.execute((
                row.number,
                scope.as_str(),
                row.sequence as i64,
                row.floor as i64,
                row.keys as i64,
                row.digest as i64,
                row.created,
                row.is_deleted,
                row.checksum(scope.as_str()),
                row.past as i64,
                row.unfolded() as i64,
            ))?;
        }
        Ok(())
    }
}

fn too_many_scopes(most: usize) -> Refusal {
    let error = format!("there are {most} scopes, as many as limits.scopes allows");
    Refusal::new(Code::Busy, error)
}

//! Pages of keys: the table of values, with what the history has beyond it.

use std::collections::BTreeMap;

use super::{PAGE_BYTES, Reader};
use crate::names::{Key, Scope};
use crate::request::Page;
use crate::store::Fault;
use crate::store::row::{Entry, ScopeRow, change_id, sequence_of};

/// A page of keys, all of one moment.
#[derive(Debug)]
pub(crate) struct KeyPage {
    /// The scope's sequence at that moment.
    pub(crate) sequence: u64,
    /// In the order of keys; values only if they were asked for.
    pub(crate) entries: Vec<(Key, Option<Entry>)>,
    /// Whether there are keys after these.
    pub(crate) has_more: bool,
}

impl Reader {
    /// A page of keys, with their values or without.
    pub(crate) fn keys(
        &self,
        scope: &Scope,
        page: &Page,
        has_values: bool,
    ) -> Result<Option<KeyPage>, Fault> {
        self.at_one_moment(|reader| {
            let Some(row) = reader.scope(scope)? else {
                return Ok(None);
            };
            reader.page(scope, &row, page, has_values).map(Some)
        })
    }

    fn page(
        &self,
        scope: &Scope,
        row: &ScopeRow,
        page: &Page,
        has_values: bool,
    ) -> Result<KeyPage, Fault> {
        let columns = if has_values {
            Entry::COLUMNS
        } else {
            "1, 2, 3, 4, 5, 6"
        };
        let (from, comparison) = match &page.after {
            Some(after) if *after >= page.prefix => (after, ">"),
            Some(_) | None => (&page.prefix, ">="),
        };
        let mut later = self.later(row, from, comparison)?.into_iter().peekable();
        let mut filling = Filling::new(page.limit);
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {columns}, key FROM state WHERE scope = ?1 AND key {comparison} ?2
             ORDER BY key LIMIT ?3"
        ))?;
        let most = page.limit as i64 + 1;
        let mut rows = statement.query((scope.as_str(), from, most))?;
        while let Some(found) = rows.next()? {
            let key = found.get_ref(6)?.as_str()?;
            if !key.starts_with(&page.prefix) || filling.has_more {
                break;
            }
            while let Some((key, change)) = later.next_if(|(later, _)| later.as_str() < key) {
                self.add_later(&mut filling, scope, row, &key, change, has_values)?;
            }
            let newer = later.next_if(|(later, _)| later == key);
            if !has_values {
                filling.add(key, None);
                continue;
            }
            let (entry, _) = Entry::read(found, 0, scope.as_str(), key)?;
            match newer {
                Some((key, change)) if entry.version < change.sequence => {
                    self.add_later(&mut filling, scope, row, &key, change, has_values)?;
                }
                Some(_) | None => filling.add(key, Some(entry)),
            }
        }
        for (key, change) in later {
            if !key.starts_with(&page.prefix) || filling.has_more {
                break;
            }
            self.add_later(&mut filling, scope, row, &key, change, has_values)?;
        }
        Ok(KeyPage {
            sequence: row.sequence,
            entries: filling.entries,
            has_more: filling.has_more,
        })
    }

    /// The last changes, by key, of those that the table of values may not have.
    fn later(
        &self,
        row: &ScopeRow,
        from: &str,
        comparison: &str,
    ) -> Result<BTreeMap<String, Later>, Fault> {
        let mut later = BTreeMap::new();
        if row.unfolded() == 0 {
            return Ok(later);
        }
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT id, event = 1, key FROM changes WHERE id > ?1 AND id <= ?2 AND key {comparison} ?3
             ORDER BY id"
        ))?;
        let (low, high) = unfolded(row);
        let mut rows = statement.query((low, high, from))?;
        while let Some(found) = rows.next()? {
            let change = Later {
                sequence: sequence_of(found.get(0)?),
                is_set: found.get(1)?,
            };
            later.insert(found.get(2)?, change);
        }
        Ok(later)
    }

    /// Adds a key as a change has left it, unless that was a deletion.
    fn add_later(
        &self,
        filling: &mut Filling,
        scope: &Scope,
        row: &ScopeRow,
        key: &str,
        change: Later,
        has_values: bool,
    ) -> Result<(), Fault> {
        if !change.is_set || filling.has_more {
            return Ok(());
        }
        let entry = if has_values {
            let change = self.change(row, &Key::kept(key), change.sequence)?;
            let kept = change.and_then(|change| change.kept(scope.as_str()));
            let damaged = || Fault::damaged(format!("the value of {scope} {key}"));
            Some(kept.ok_or_else(damaged)?.entry)
        } else {
            None
        };
        filling.add(key, entry);
        Ok(())
    }

    /// The last change of a key, if the table of values may not have it.
    pub(super) fn last_unfolded(&self, row: &ScopeRow, key: &Key) -> Result<Option<u64>, Fault> {
        if row.unfolded() == 0 {
            return Ok(None);
        }
        let sql = "SELECT max(id) FROM changes WHERE id > ?1 AND id <= ?2 AND key = ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let (low, high) = unfolded(row);
        let last: Option<i64> =
            statement.query_row((low, high, key.as_str()), |found| found.get(0))?;
        Ok(last.map(sequence_of))
    }
}

/// A change that the table of values may not have.
#[derive(Debug, Clone, Copy)]
struct Later {
    sequence: u64,
    is_set: bool,
}

/// A page on its way.
struct Filling {
    limit: usize,
    bytes: usize,
    entries: Vec<(Key, Option<Entry>)>,
    has_more: bool,
}

impl Filling {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            entries: Vec::new(),
            has_more: false,
        }
    }

    /// Adds a key, or notes that there is one more.
    fn add(&mut self, key: &str, entry: Option<Entry>) {
        self.bytes += entry.as_ref().map_or(0, |entry| entry.value.len());
        let is_full = self.bytes > PAGE_BYTES && !self.entries.is_empty();
        if self.entries.len() == self.limit || is_full {
            self.has_more = true;
        } else {
            self.entries.push((Key::kept(key), entry));
        }
    }
}

/// Between which ids, the last one included, changes are that the table of values may not have.
fn unfolded(row: &ScopeRow) -> (i64, i64) {
    (
        change_id(row.number, row.folded),
        change_id(row.number, row.sequence),
    )
}

//! Pages of keys: the table of values, with what the history has beyond it.

use std::collections::BTreeMap;

use super::{PAGE_BYTES, Reader};
use crate::names::{Key, Scope};
use crate::request::Page;
use crate::store::Fault;
use crate::store::ahead::{AsOf, Range};
use crate::store::row::{Entry, ScopeRow, sequence_of};

/// A page of keys, all of one moment.
#[derive(Debug, PartialEq)]
pub(crate) struct KeyPage {
    /// The scope's sequence at that moment.
    pub(crate) sequence: u64,
    /// In the order of keys; values only if they were asked for.
    pub(crate) entries: Vec<(Key, Option<Entry>)>,
    /// Whether there are keys after these.
    pub(crate) has_more: bool,
}

impl Page {
    /// The keys that a page of them may have, and one more.
    pub(in crate::store) fn range(&self) -> Range<'_> {
        let after = self.after.as_deref();
        Range {
            prefix: &self.prefix,
            after: after.filter(|after| *after >= self.prefix.as_str()),
            most: self.limit + 1,
        }
    }
}

impl Reader {
    /// A page of keys, with their values or without. `ahead` is what was ahead of the table of values
    /// in the page's range, before this.
    pub(in crate::store) fn keys(
        &self,
        scope: &Scope,
        page: &Page,
        has_values: bool,
        ahead: Option<AsOf<Vec<(Key, Entry)>>>,
    ) -> Result<Option<KeyPage>, Fault> {
        self.at_one_moment(|reader| {
            let Some(row) = reader.scope(scope)? else {
                return Ok(None);
            };
            let later = reader.later(&row, page.range(), ahead)?;
            let page = reader.page(scope, &row, page, has_values, later)?;
            Ok(Some(page))
        })
    }

    fn page(
        &self,
        scope: &Scope,
        row: &ScopeRow,
        page: &Page,
        has_values: bool,
        later: BTreeMap<String, Later>,
    ) -> Result<KeyPage, Fault> {
        let columns = if has_values {
            Entry::COLUMNS
        } else {
            "1, 2, 3, 4, 5, 6"
        };
        let (from, comparison) = bound(page.range());
        let mut later = later.into_iter().peekable();
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

    /// What keys of a range have that the table of values may not have.
    fn later(
        &self,
        row: &ScopeRow,
        range: Range<'_>,
        ahead: Option<AsOf<Vec<(Key, Entry)>>>,
    ) -> Result<BTreeMap<String, Later>, Fault> {
        let mut later = BTreeMap::new();
        if row.unfolded() == 0 {
            return Ok(later);
        }
        let (since, ahead) = since(row, ahead);
        for (key, entry) in ahead.unwrap_or_default() {
            let sequence = entry.version;
            let what = What::Entry(entry);
            later.insert(key.as_str().to_owned(), Later { sequence, what });
        }
        let (from, comparison) = bound(range);
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT id, event = 1, key FROM changes WHERE id > ?1 AND id <= ?2 AND key {comparison} ?3
             ORDER BY id"
        ))?;
        let (low, high) = row.ids(since, row.sequence);
        let mut rows = statement.query((low, high, from))?;
        while let Some(found) = rows.next()? {
            let is_set: bool = found.get(1)?;
            let change = Later {
                sequence: sequence_of(found.get(0)?),
                what: if is_set { What::Change } else { What::Gone },
            };
            later.insert(found.get(2)?, change);
        }
        Ok(later)
    }

    /// Adds a key as it was left later, unless it was deleted.
    fn add_later(
        &self,
        filling: &mut Filling,
        scope: &Scope,
        row: &ScopeRow,
        key: &str,
        later: Later,
        has_values: bool,
    ) -> Result<(), Fault> {
        let entry = match later.what {
            What::Gone => return Ok(()),
            What::Entry(_) | What::Change if !has_values || filling.has_more => None,
            What::Entry(entry) => Some(entry),
            What::Change => {
                let change = self.change(row, &Key::kept(key), later.sequence)?;
                let kept = change.and_then(|change| change.kept(scope.as_str()));
                let damaged = || Fault::damaged(format!("the value of {scope} {key}"));
                Some(kept.ok_or_else(damaged)?.entry)
            }
        };
        if !filling.has_more {
            filling.add(key, entry);
        }
        Ok(())
    }

    /// The last change of a key, if the table of values may not have it. `ahead` is its version if it was
    /// ahead of the table, before this.
    pub(super) fn last_unfolded(
        &self,
        row: &ScopeRow,
        key: &Key,
        ahead: Option<AsOf<Option<u64>>>,
    ) -> Result<Option<u64>, Fault> {
        if row.unfolded() == 0 {
            return Ok(None);
        }
        let (since, ahead) = since(row, ahead);
        let sql = "SELECT max(id) FROM changes WHERE id > ?1 AND id <= ?2 AND key = ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let (low, high) = row.ids(since, row.sequence);
        let last: Option<i64> =
            statement.query_row((low, high, key.as_str()), |found| found.get(0))?;
        Ok(last.map(sequence_of).or(ahead.flatten()))
    }
}

/// From where on the changes of a scope are to be looked at beside what memory knew, or without it: when
/// the history no longer has all that came since, the table has what memory had.
fn since<T>(row: &ScopeRow, known: Option<AsOf<T>>) -> (u64, Option<T>) {
    match known {
        // A scope that was deleted since has its floor beyond.
        Some(as_of) if as_of.sequence > row.floor => (as_of.sequence, Some(as_of.known)),
        Some(_) | None => (row.folded, None),
    }
}

/// Where a range begins, for a statement.
fn bound(range: Range<'_>) -> (&str, &'static str) {
    match range.after {
        Some(after) => (after, ">"),
        None => (range.prefix, ">="),
    }
}

/// What a key has that the table of values may not have.
#[derive(Debug)]
struct Later {
    sequence: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The value, from memory.
    Entry(Entry),
    /// The value that this change wrote.
    Change,
    Gone,
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

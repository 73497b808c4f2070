//! What a group of writes comes to for values: for each key what it has in the end.

use std::collections::BTreeSet;

use super::place::{At, Place, Places};
use super::recent::Kept;
use crate::names::Scope;

/// What becomes of values. Those that are not mentioned stay as they are.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Values that were ahead of the table before the group, and which it has written into the table.
    pub(super) folded: Vec<(Place, u64)>,
    /// Scopes of which it has written everything into the table.
    pub(super) folded_scopes: Vec<Scope>,
    /// Scopes that were deleted.
    pub(super) gone: BTreeSet<Scope>,
    /// After all that: the value of a key, or that it has none.
    pub(super) values: Places<Option<Written>>,
}

/// A value that a group has written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) kept: Kept,
    /// Whether the table of values has it too.
    pub(super) is_folded: bool,
}

impl Outcome {
    /// With room for so many values.
    pub(super) fn with_capacity(values: usize) -> Self {
        Self {
            values: Places::with_capacity(values),
            ..Self::default()
        }
    }

    /// What becomes of a key, if anything; inside: its value, if it has one.
    pub(super) fn find(&self, at: At<'_>) -> Option<Option<&Written>> {
        match self.values.get(&at) {
            Some(written) => Some(written.as_ref()),
            None => self.gone.contains(at.scope).then_some(None),
        }
    }

    pub(super) fn write(&mut self, place: Place, written: Written) {
        self.values.insert(place, Some(written));
    }

    pub(super) fn remove(&mut self, place: Place) {
        self.values.insert(place, None);
    }

    pub(super) fn remove_scope(&mut self, scope: &Scope) {
        self.values.retain(|place, _| place.scope != *scope);
        self.gone.insert(scope.clone());
    }

    /// The places whose values are ahead of the table then.
    pub(super) fn ahead(&self) -> impl Iterator<Item = &Place> {
        let values = self.values.iter();
        let ahead = values.filter(|(_, it)| it.as_ref().is_some_and(|it| !it.is_folded));
        ahead.map(|(place, _)| place)
    }

    /// Notes that all values of a scope are in the table, and gives those of the group that were not.
    pub(super) fn fold_scope(&mut self, scope: &Scope) -> Vec<(Place, Kept)> {
        self.folded_scopes.push(scope.clone());
        let values = self.values.iter_mut();
        let of_scope = values.filter(|(place, _)| place.scope == *scope);
        let ahead = of_scope.filter_map(|(place, written)| {
            let written = written.as_mut().filter(|written| !written.is_folded)?;
            written.is_folded = true;
            Some((place.clone(), written.kept.clone()))
        });
        ahead.collect()
    }
}

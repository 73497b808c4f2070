//! Who gets what: sets of subscribers, each kept once.
//!
//! Consecutive messages for the same audience are handed on in one piece, so that it must be cheap to
//! see that two audiences are the same: they are if their ids are.

use std::collections::HashMap;
use std::sync::Arc;

use super::trie::{Match, Slot, Trie};

/// What all sets may take together, in members, before they are forgotten and found anew.
const MEMBERS: usize = 1 << 20;

/// A set of subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AudienceId(u32);

/// Every audience that a message had of late.
#[derive(Debug, Default)]
pub(super) struct Audiences {
    sets: Vec<Arc<[Slot]>>,
    ids: HashMap<Arc<[Slot]>, AudienceId, foldhash::fast::RandomState>,
    members: usize,
    /// Ids that were given before this change of the trie stand for nothing.
    since: u64,
}

impl Audiences {
    /// The audience of a topic, if it is known.
    #[inline]
    pub(super) fn known(&self, trie: &Trie, found: Match) -> Option<AudienceId> {
        trie.audience(found, self.since)
    }

    /// Who belongs to an audience, in order.
    pub(super) fn members(&self, audience: AudienceId) -> &Arc<[Slot]> {
        &self.sets[audience.0 as usize]
    }

    /// The audience of a topic. Ids that were given before may be void then.
    pub(super) fn find(&mut self, trie: &mut Trie, found: Match) -> AudienceId {
        let slots: Arc<[Slot]> = trie.subscribers_at(found.topic).into();
        let id = match self.ids.get(&slots) {
            Some(id) => *id,
            None => self.keep(trie, slots),
        };
        trie.set_audience(found.topic, id);
        id
    }

    fn keep(&mut self, trie: &mut Trie, slots: Arc<[Slot]>) -> AudienceId {
        if self.members + slots.len() > MEMBERS && !self.sets.is_empty() {
            self.sets.clear();
            self.ids.clear();
            self.members = 0;
            self.since = trie.forget_audiences();
        }
        self.members += slots.len();
        let id = AudienceId(self.sets.len() as u32);
        self.sets.push(slots.clone());
        self.ids.insert(slots, id);
        id
    }
}

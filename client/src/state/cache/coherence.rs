//! What may be cached of one scope, and for how long it may be served: a value.
//!
//! # The rule
//! What is cached is served while the scope is *joined*: the broker has read the subscription, the
//! service publishes to it, and every change since was told, each with the next sequence. Whatever breaks
//! that begins another *era*: what was cached in an earlier one is not served any more, and an answer
//! to what was asked in an earlier one is not cached.
//!
//! Within an era a change drops its key. What is asked for a key is a *flight*. Its answer is cached
//! unless something newer became known while it was under way: a change, an own write, the answer to
//! another flight. How new an answer is says its version or, of a missing key, the sequence of the
//! scope; what was asked after something became known is answered with that or something newer,
//! since the service answers a read with everything that was committed before.
//!
//! Everything may be forgotten at any time: what is not cached is asked for.

use std::collections::HashMap;

use crate::SourceId;

#[derive(Debug, Default)]
pub(super) struct Coherence {
    standing: Standing,
    era: u64,
    /// Counts flights.
    asked: u64,
    flights: HashMap<Box<str>, Flights>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not joined; with the last change that was heard of meanwhile.
    Away { heard: Option<(SourceId, u64)> },
    /// Every change up to this sequence is known, and told by this source.
    Joined {
        sequence: u64,
        source: Option<SourceId>,
    },
}

impl Default for Standing {
    fn default() -> Self {
        Self::Away { heard: None }
    }
}

/// What is under way for one key.
#[derive(Debug, Default)]
struct Flights {
    count: u32,
    /// What is older than this is out of date.
    newest: u64,
    /// What was asked up to this one may be out of date, whatever its age.
    doubted: u64,
}

/// One flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    era: u64,
    number: u64,
}

/// A change, as the bus tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told<'a> {
    pub(super) source: SourceId,
    pub(super) sequence: u64,
    pub(super) of: ChangeOf<'a>,
}

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeOf<'a> {
    Key(&'a str),
    /// The scope was made: nothing was in it before.
    ScopeMade,
    ScopeDeleted,
}

/// What a change does to what is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect<'a> {
    Nothing,
    /// What is known of this key is to be dropped if it is older than this.
    Drop {
        key: &'a str,
        older_than: u64,
    },
    /// Everything is out of date, and the scope is joined still.
    DropAll,
    /// Changes are missing: the scope has to be joined anew.
    Lost,
}

impl Coherence {
    /// The era whose entries may be served, if any may.
    pub(super) fn era(&self) -> Option<u64> {
        match self.standing {
            Standing::Joined { .. } => Some(self.era),
            Standing::Away { .. } => None,
        }
    }

    /// The service publishes to whom is subscribed, and the scope's sequence was this after that was so.
    pub(super) fn handle_joined(&mut self, sequence: u64) {
        let (heard, source) = match self.standing {
            Standing::Joined { .. } | Standing::Away { heard: None } => (0, None),
            Standing::Away {
                heard: Some((source, heard)),
            } => (heard, Some(source)),
        };
        self.standing = Standing::Joined {
            sequence: sequence.max(heard),
            source,
        };
        self.era += 1;
    }

    /// Changes may be missing from here on, or are.
    pub(super) fn handle_lost(&mut self) {
        self.standing = Standing::default();
        self.era += 1;
    }

    pub(super) fn handle_told<'a>(&mut self, told: Told<'a>) -> Effect<'a> {
        match &mut self.standing {
            Standing::Away { heard } => {
                match heard {
                    Some((source, sequence)) if *source == told.source => {
                        *sequence = told.sequence.max(*sequence);
                    }
                    Some(_) | None => *heard = Some((told.source, told.sequence)),
                }
                return Effect::Nothing;
            }
            Standing::Joined { sequence, source } => {
                let is_another = source.is_some_and(|source| source != told.source);
                if is_another || told.sequence > *sequence + 1 {
                    self.handle_lost();
                    return Effect::Lost;
                }
                *source = Some(told.source);
                *sequence = told.sequence.max(*sequence);
            }
        }
        match told.of {
            ChangeOf::Key(key) => {
                self.handle_seen(key, told.sequence);
                Effect::Drop {
                    key,
                    older_than: told.sequence,
                }
            }
            ChangeOf::ScopeMade => Effect::Nothing,
            ChangeOf::ScopeDeleted => {
                self.era += 1;
                Effect::DropAll
            }
        }
    }

    /// A key is asked for; `None` while its answer could not be cached.
    pub(super) fn handle_asked(&mut self, key: &str) -> Option<Ticket> {
        let era = self.era()?;
        self.asked += 1;
        match self.flights.get_mut(key) {
            Some(flights) => flights.count += 1,
            None => {
                let flights = Flights {
                    count: 1,
                    ..Flights::default()
                };
                self.flights.insert(key.into(), flights);
            }
        }
        Some(Ticket {
            era,
            number: self.asked,
        })
    }

    /// A flight is answered: whether the answer may be cached, in place of what is cached of the key.
    pub(super) fn handle_answered(&mut self, ticket: Ticket, key: &str, as_of: u64) -> bool {
        let Some(flights) = self.flights.get(key) else {
            return false;
        };
        let is_kept = self.era() == Some(ticket.era)
            && ticket.number > flights.doubted
            && as_of >= flights.newest;
        self.handle_seen(key, as_of);
        is_kept
    }

    /// A flight has ended, however it did. Comes once for each, as the last.
    pub(super) fn handle_landed(&mut self, key: &str) {
        if let Some(flights) = self.flights.get_mut(key) {
            flights.count -= 1;
            if flights.count == 0 {
                self.flights.remove(key);
            }
        }
    }

    /// Somebody was told how a key was as of a version or a sequence.
    pub(super) fn handle_seen(&mut self, key: &str, as_of: u64) {
        if let Some(flights) = self.flights.get_mut(key) {
            flights.newest = flights.newest.max(as_of);
        }
    }

    /// A key was or may have been written from here; what is cached of it is to be dropped.
    pub(super) fn handle_written(&mut self, key: &str) {
        if let Some(flights) = self.flights.get_mut(key) {
            flights.doubted = self.asked;
        }
    }

    /// Any key may have been written from here.
    pub(super) fn handle_scope_written(&mut self) {
        self.era += 1;
    }

    #[cfg(test)]
    fn has_flights(&self) -> bool {
        !self.flights.is_empty()
    }
}

#[cfg(test)]
mod tests;

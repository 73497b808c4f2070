//! What is known of each source and topic, for those that were heard last.

use std::{collections::HashMap, mem, time::Instant};

use super::Seen;
use crate::{SourceId, Topic, link::ConnectionKey};

pub(super) type Pair = (SourceId, Topic);

/// Tracks of a bounded number of pairs.
///
/// What was heard lately is in `recent`. When that is half of the limit, it becomes `older`, and
/// what was `older` is forgotten: so those go that were not heard for longest, at no cost for the
/// others.
#[derive(Debug)]
pub(super) struct Tracks {
    recent: HashMap<Pair, Track>,
    older: HashMap<Pair, Track>,
    most_recent: usize,
}

/// What is known of one source and topic.
#[derive(Debug)]
pub(super) struct Track {
    /// The sequence after the highest that came.
    next: u64,
    /// The last sequence of each connection that has delivered any.
    pub(super) last: Vec<(ConnectionKey, u64)>,
    /// What has not come and still can, in order.
    pub(super) missing: Vec<Missing>,
    /// Whether it stands among those that are looked at again.
    pub(super) is_waiting: bool,
}

/// A stretch of sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) first: u64,
    pub(super) end: u64,
    /// When it is given up.
    pub(super) until: Instant,
}

impl Tracks {
    pub(super) fn new(most: usize) -> Self {
        Self {
            recent: HashMap::new(),
            older: HashMap::new(),
            most_recent: (most / 2).max(1),
        }
    }

    /// The track of a pair that is heard.
    pub(super) fn find(&mut self, pair: &Pair) -> Option<&mut Track> {
        if !self.recent.contains_key(pair) && self.recent.len() < self.most_recent {
            let (pair, track) = self.older.remove_entry(pair)?;
            self.recent.insert(pair, track);
        }
        self.peek(pair)
    }

    /// The track of a pair, which stays as old as it is.
    pub(super) fn peek(&mut self, pair: &Pair) -> Option<&mut Track> {
        match self.recent.get_mut(pair) {
            Some(track) => Some(track),
            None => self.older.get_mut(pair),
        }
    }

    /// Begins to track a pair with the first sequence that came, and gives what was missing of those
    /// that are forgotten for it.
    pub(super) fn begin(
        &mut self,
        pair: Pair,
        link: ConnectionKey,
        sequence: u64,
    ) -> Vec<(Pair, Missing)> {
        let mut forgotten = Vec::new();
        if self.recent.len() >= self.most_recent {
            let gone = mem::replace(&mut self.older, mem::take(&mut self.recent));
            for (pair, track) in gone {
                let missing = track.missing.into_iter();
                forgotten.extend(missing.map(|missing| (pair.clone(), missing)));
            }
            forgotten.sort_unstable_by_key(|(pair, missing)| (pair.clone(), missing.first));
        }
        let track = Track {
            next: sequence + 1,
            last: vec![(link, sequence)],
            missing: Vec::new(),
            is_waiting: false,
        };
        self.recent.insert(pair, track);
        forgotten
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.recent.len() + self.older.len()
    }

    pub(super) fn retain(&mut self, is_kept: impl Fn(&Topic) -> bool) {
        for tracks in [&mut self.recent, &mut self.older] {
            tracks.retain(|(_, topic), _| is_kept(topic));
        }
    }
}

impl Track {
    /// Takes a sequence that came over a connection; what it shows to be missing is given up at
    /// `until`.
    pub(super) fn take(&mut self, link: ConnectionKey, sequence: u64, until: Instant) -> Seen {
        match self.last.iter_mut().find(|(known, _)| *known == link) {
            Some((_, last)) => *last = sequence.max(*last),
            None => self.last.push((link, sequence)),
        }
        if sequence >= self.next {
            if sequence > self.next {
                self.missing.push(Missing {
                    first: self.next,
                    end: sequence,
                    until,
                });
            }
            self.next = sequence + 1;
            return Seen::New;
        }
        let is_in = |missing: &Missing| (missing.first..missing.end).contains(&sequence);
        let Some(index) = self.missing.iter().position(is_in) else {
            return Seen::Before;
        };
        let missing = self.missing.remove(index);
        let before = Missing {
            end: sequence,
            ..missing
        };
        let after = Missing {
            first: sequence + 1,
            ..missing
        };
        let parts = [before, after].into_iter();
        let parts = parts.filter(|part| part.first < part.end);
        self.missing.splice(index..index, parts);
        Seen::New
    }
}

//! Which publications of a source are new, were had before, or are missing.
//!
//! A value. Each source counts what it publishes on each topic, and each connection keeps the order.
//! So what is missing can still come from a broker that has delivered something of that source and
//! topic, but nothing after what is missing; from no other.

mod tracks;

use std::{
    collections::{BTreeSet, VecDeque},
    mem,
    time::{Duration, Instant},
};

use self::tracks::{Missing, Pair, Tracks};
use super::Gap;
use crate::{SourceId, Topic, link::ConnectionKey};

/// How long another broker is waited for, that could still deliver what is missing.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// The stretches that may be missing of one source and topic while they can still come. With one
/// more the oldest is given up.
const MAX_MISSING: usize = 16;

/// What is known of every source and topic.
#[derive(Debug)]
pub(super) struct Tracker {
    tracks: Tracks,
    links: BTreeSet<ConnectionKey>,
    /// Pairs of which something is missing that can still come, and when that is looked at.
    waiting: VecDeque<(Instant, Pair)>,
    gaps: VecDeque<Gap>,
}

/// What a publication is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    /// It was had before, or given up before.
    Before,
}

impl Tracker {
    /// Keeps track of at most this many pairs of a source and a topic.
    pub(super) fn new(most: usize) -> Self {
        Self {
            tracks: Tracks::new(most),
            links: BTreeSet::new(),
            waiting: VecDeque::new(),
            gaps: VecDeque::new(),
        }
    }

    pub(super) fn handle_opened(&mut self, link: ConnectionKey) {
        self.links.insert(link);
    }

    /// What is missing does not come from this connection any more.
    pub(super) fn handle_closed(&mut self, link: ConnectionKey, now: Instant) {
        self.links.remove(&link);
        let waiting = mem::take(&mut self.waiting);
        self.look_at(waiting, now);
    }

    /// Takes a publication that came over a connection.
    pub(super) fn handle_publication(
        &mut self,
        link: ConnectionKey,
        source: SourceId,
        topic: &Topic,
        sequence: u64,
        now: Instant,
    ) -> Seen {
        let pair = (source, topic.clone());
        let Some(track) = self.tracks.find(&pair) else {
            let evicted = self.tracks.begin((source, topic.to_held()), link, sequence);
            for (pair, missing) in evicted {
                self.give_up(&pair, missing.first, missing.end);
            }
            return Seen::New;
        };
        let seen = track.take(link, sequence, now + PATIENCE);
        if !track.missing.is_empty() {
            self.settle(&pair, now);
        }
        seen
    }

    /// Gives up what was waited for long enough.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let due = self.waiting.iter().take_while(|(at, _)| *at <= now).count();
        let waiting = self.waiting.drain(..due).collect();
        self.look_at(waiting, now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|(at, _)| *at)
    }

    /// What is missing for good; to be asked for after everything that is handled.
    pub(super) fn poll_gap(&mut self) -> Option<Gap> {
        self.gaps.pop_front()
    }

    /// Forgets topics, whose counts begin anew.
    pub(super) fn forget(&mut self, is_forgotten: impl Fn(&Topic) -> bool) {
        self.tracks.retain(|topic| !is_forgotten(topic));
        self.waiting.retain(|(_, (_, topic))| !is_forgotten(topic));
    }

    fn look_at(&mut self, waiting: VecDeque<(Instant, Pair)>, now: Instant) {
        for (_, pair) in waiting {
            if let Some(track) = self.tracks.peek(&pair) {
                track.is_waiting = false;
                self.settle(&pair, now);
            }
        }
    }

    /// Tells what is missing for good, and sees to it that the rest is looked at again.
    fn settle(&mut self, pair: &Pair, now: Instant) {
        let Some(track) = self.tracks.peek(pair) else {
            return;
        };
        track.last.retain(|(link, _)| self.links.contains(link));
        let last = track.last.iter().map(|(_, sequence)| *sequence);
        let passed = last.min().map_or(u64::MAX, |slowest| slowest + 1);
        let surplus = track.missing.len().saturating_sub(MAX_MISSING);
        let mut given_up = Vec::new();
        for (index, missing) in mem::take(&mut track.missing).into_iter().enumerate() {
            let is_over = index < surplus || missing.until <= now;
            let end = if is_over {
                missing.end
            } else {
                missing.end.min(passed)
            };
            if missing.first < end {
                given_up.push((missing.first, end));
            }
            let first = missing.first.max(end);
            if first < missing.end {
                track.missing.push(Missing { first, ..missing });
            }
        }
        if let Some(next) = track.missing.first()
            && !track.is_waiting
        {
            track.is_waiting = true;
            self.waiting.push_back((next.until, pair.clone()));
        }
        for (first, end) in given_up {
            self.give_up(pair, first, end);
        }
    }

    fn give_up(&mut self, (source, topic): &Pair, first: u64, end: u64) {
        self.gaps.push_back(Gap {
            source: *source,
            topic: topic.clone(),
            first,
            missed: end - first,
        });
    }
}

#[cfg(test)]
mod tests;

//! Where a watch stands, as a value: what was told, and from where to ask again.

use std::collections::VecDeque;

use serde::Deserialize;

use super::super::{
    entry::{Change, Told},
    error::{Refusal, StateError, WatchError},
};
use crate::RequestError;

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchItem {
    /// What follows, up to [`WatchItem::SnapshotEnd`], is all that there is. What was told before is
    /// to be forgotten: this comes first, and again when the snapshot was cut off or is what is
    /// left after a gap.
    SnapshotBegin,
    /// A key that there is, as if it were set by its last change.
    Value(Change),
    /// The snapshot is complete. What follows are the changes that it does not have.
    SnapshotEnd,
    /// A change, told once.
    Change(Change),
    /// Changes that cannot be told, since the history does not reach back to them: those after the
    /// first sequence up to the second. A watch that began with a snapshot begins again with one.
    Gap {
        /// The last change that was told.
        after: u64,
        /// What follows comes after this. It is less than `after` where an older copy of the store is served.
        until: u64,
    },
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    Now,
    From(u64),
    Snapshot,
}

/// One part of the answer to a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    sequence: u64,
    #[serde(default)]
    snapshot: bool,
    #[serde(default)]
    events: Vec<Told>,
}

/// What follows from the end of an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// To ask again, from [`Course::begin`].
    Again,
    /// Nothing.
    Ended(WatchError),
}

/// Where a watch stands.
#[derive(Debug)]
pub(super) struct Course {
    /// How it is asked for next.
    begin: Begin,
    /// Whether it began by a snapshot.
    has_snapshot: bool,
    /// Whether a snapshot is being told.
    in_snapshot: bool,
    /// Whether anything has come.
    has_begun: bool,
    /// Every change up to here is in `items` or was taken from it.
    position: u64,
    /// Every change up to here was taken.
    told: Option<u64>,
    items: VecDeque<WatchItem>,
}

impl Course {
    pub(super) fn new(begin: Begin) -> Self {
        let position = match begin {
            Begin::From(position) => position,
            Begin::Now | Begin::Snapshot => 0,
        };
        Self {
            begin,
            has_snapshot: begin == Begin::Snapshot,
            in_snapshot: false,
            has_begun: false,
            position,
            told: None,
            items: VecDeque::new(),
        }
    }

    /// How to ask.
    pub(super) fn begin(&self) -> Begin {
        self.begin
    }

    /// Whether every change from now on will be told.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The sequence up to which every change was taken.
    pub(super) fn told(&self) -> Option<u64> {
        self.told
    }

    /// Takes the next item.
    pub(super) fn poll_item(&mut self) -> Option<WatchItem> {
        let item = self.items.pop_front();
        if self.items.is_empty() && matches!(self.begin, Begin::From(_)) {
            self.told = Some(self.position);
        }
        item
    }

    /// Says that a new answer is about to come.
    pub(super) fn handle_asked(&mut self) {
        self.in_snapshot = false;
    }

    /// Takes a part of the answer.
    pub(super) fn handle_part(&mut self, part: Part) -> Result<(), RequestError> {
        self.has_begun = true;
        match self.begin {
            Begin::Snapshot => self.take_snapshot(part),
            Begin::Now => {
                self.position = part.sequence;
                self.take_changes(part, 0)
            }
            Begin::From(_) => self.take_changes(part, self.position),
        }
    }

    fn take_snapshot(&mut self, mut part: Part) -> Result<(), RequestError> {
        if !self.in_snapshot {
            self.in_snapshot = true;
            self.items.push_back(WatchItem::SnapshotBegin);
        }
        let is_value = |told: &mut Told| told.event == "value";
        for mut told in part.events.extract_if(.., is_value) {
            "set".clone_into(&mut told.event);
            let value = told.into_change()?;
            self.items.extend(value.map(WatchItem::Value));
        }
        if part.snapshot {
            return Ok(());
        }
        self.items.push_back(WatchItem::SnapshotEnd);
        self.take_changes(part, 0)
    }

    /// Takes the changes after one.
    fn take_changes(&mut self, part: Part, after: u64) -> Result<(), RequestError> {
        for told in part.events {
            let change = told.into_change()?;
            let is_news = |change: &Change| change.version > after;
            let change = change.filter(is_news).map(WatchItem::Change);
            self.items.extend(change);
        }
        self.position = part.sequence;
        self.begin = Begin::From(part.sequence);
        Ok(())
    }

    /// Takes the end of an answer by a refusal, as which the service tells every end.
    pub(super) fn handle_refusal(&mut self, refusal: Refusal) -> Next {
        match refusal.code.as_str() {
            "gap" => {
                self.items.push_back(WatchItem::Gap {
                    after: self.position,
                    until: refusal.detail.sequence,
                });
                self.position = refusal.detail.sequence;
                self.begin = if self.has_snapshot {
                    Begin::Snapshot
                } else {
                    Begin::From(self.position)
                };
                Next::Again
            }
            "busy" | "draining" | "unavailable" | "wrong-shard" => Next::Again,
            "no-scope" => Next::Ended(WatchError::NoScope),
            _ => Next::Ended(StateError::Refused(refusal).into()),
        }
    }

    /// Takes the end of an answer by a failure on the way.
    pub(super) fn handle_failure(&mut self, error: RequestError) -> Next {
        match error {
            RequestError::NotConnected { .. }
            | RequestError::ConnectionLost
            | RequestError::Timeout
            | RequestError::NoWorker { .. }
            | RequestError::Busy { .. }
            | RequestError::Cancelled { .. }
            | RequestError::WorkerLost { .. }
            | RequestError::WorkerError { .. }
            | RequestError::Draining { .. } => Next::Again,
            RequestError::InvalidService(_)
            | RequestError::InvalidProperty { .. }
            | RequestError::TooLarge { .. }
            | RequestError::Denied { .. }
            | RequestError::BadRequest { .. }
            | RequestError::Unsupported { .. }
            | RequestError::Other { .. }
            | RequestError::InvalidReply(_)
            | RequestError::Closed => Next::Ended(StateError::Request(error).into()),
        }
    }
}

#[cfg(test)]
mod tests;

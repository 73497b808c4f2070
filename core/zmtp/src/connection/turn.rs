//! What one turn of reading brought.

use super::{Notice, TURN_BYTES, TURN_MESSAGES, TURN_RUN_MESSAGES};
use crate::{Event, Message, Peer, Run, Subscription};

/// The events of one turn, gathered so that each kind is one notice.
#[derive(Debug, Default)]
pub(super) struct Turn {
    opened: Option<Peer>,
    messages: Vec<Message>,
    expected: usize,
    runs: Vec<Run>,
    run_messages: usize,
    changes: Vec<Subscription>,
    /// The last one: it stands for those before it.
    marked: Option<u64>,
    ignored: u32,
    events: usize,
    message_bytes: usize,
    read_bytes: usize,
}

impl Turn {
    /// A turn that has allocated nothing, and makes room for `expected` messages at the first.
    pub(super) fn new(expected: usize) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        self.events += 1;
        match event {
            Event::Ready(peer) => self.opened = Some(peer),
            Event::Message(message) => {
                self.message_bytes += message.encoded().len();
                if self.messages.is_empty() {
                    self.messages.reserve(self.expected);
                }
                self.messages.push(message);
            }
            Event::Run(run) => {
                self.message_bytes += run.encoded().len();
                self.run_messages += run.message_count();
                self.runs.push(run);
            }
            Event::Subscription(change) => self.changes.push(change),
            Event::Marked(mark) => self.marked = Some(mark),
            Event::Ignored => self.ignored += 1,
        }
    }

    pub(super) fn handle_read(&mut self, bytes: usize) {
        self.read_bytes += bytes;
    }

    pub(super) fn message_count(&self) -> usize {
        self.messages.len()
    }

    /// Whether others are to be let in.
    pub(super) fn is_full(&self) -> bool {
        self.events >= TURN_MESSAGES
            || self.run_messages >= TURN_RUN_MESSAGES
            || self.message_bytes >= TURN_BYTES
            || self.read_bytes >= TURN_BYTES
    }

    /// One notice of each kind that there is something to tell of.
    pub(super) fn into_notices<K: Copy>(self, key: K) -> impl Iterator<Item = Notice<K>> {
        let opened = self.opened.map(|peer| Notice::Opened { key, peer });
        let messages = (!self.messages.is_empty()).then_some(Notice::Messages {
            key,
            messages: self.messages,
        });
        let runs = (!self.runs.is_empty()).then_some(Notice::Runs {
            key,
            runs: self.runs,
        });
        let changes = (!self.changes.is_empty()).then_some(Notice::Subscriptions {
            key,
            changes: self.changes,
        });
        let ignored = (self.ignored > 0).then_some(Notice::Ignored {
            key,
            commands: self.ignored,
        });
        let marked = self.marked.map(|mark| Notice::Marked { key, mark });
        [opened, messages, runs, changes, marked, ignored]
            .into_iter()
            .flatten()
    }
}

//! How connections end: in good order, by force, and because an end is silent.

use std::time::Duration;

use plantd_zmtp::STALL_TIMEOUT;

use super::{Connection, ConnectionId, End, Item, PING, Pipe, Reading};
use crate::stage::{Event, Process, Stage};

/// How long what is queued may take to be written after the end of a connection.
const LINGER: Duration = Duration::from_secs(2);

impl Stage {
    /// Ends a connection in good order: what was sent is still written, for a while.
    pub(crate) fn close(&mut self, id: ConnectionId, end: End) {
        let is_open = |connection: &Connection| connection.is_open(end);
        if !self.connections.get(id).is_some_and(is_open) {
            return;
        }
        self.send(id, end.other(), Item::Closed);
        self.shut(id, end);
        self.agenda
            .put(self.now + LINGER, Event::LingerDue(id, end.other()));
    }

    /// Ends a connection for both without regard to what is under way.
    pub(crate) fn cut(&mut self, id: ConnectionId) {
        for end in End::BOTH {
            self.agenda.put(self.now, Event::Reset(id, end));
        }
    }

    /// An end is gone with its machine: the other hears nothing, ever, and cannot tell.
    pub(crate) fn vanish(&mut self, id: ConnectionId, end: End) {
        self.stall(id, End::Party);
        self.stall(id, End::Broker);
        self.shut(id, end);
    }

    /// An end is gone with its process: the other is told by its kernel.
    pub(crate) fn die(&mut self, id: ConnectionId, end: End) {
        self.shut(id, end);
        self.agenda.put(self.now, Event::Reset(id, end.other()));
    }

    /// Lets an end see that the connection is no more; whether it was open.
    pub(crate) fn reset(&mut self, id: ConnectionId, end: End) -> bool {
        let keeps_unread = self.dice.chance(50);
        self.tell(|| format!("{id:?} is reset for the {end:?}"));
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        if !connection.is_open(end) {
            return false;
        }
        let pipe = &mut connection.pipes[end as usize];
        pipe.flight.clear();
        pipe.is_stalled = false;
        if !keeps_unread || connection.reading[end as usize] == Reading::Paused {
            pipe.arrived.clear();
        }
        connection.reading[end as usize] = Reading::Eager;
        connection.pipes[end as usize]
            .arrived
            .push_back(Item::Closed);
        true
    }

    /// The other end of a stopped process will hear no PONG.
    pub(crate) fn expect_ping(&mut self, id: ConnectionId, stopped: Process) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if connection.traits.pings {
            let end = match stopped {
                Process::Party(_) => End::Broker,
                Process::Broker(_) => End::Party,
            };
            let jitter = self.dice.milliseconds(0..=1500);
            self.agenda
                .put(self.now + PING + jitter, Event::PingDue(id, end));
        }
    }

    /// What becomes of an end that hears no PONG.
    pub(crate) fn ping_due(&mut self, id: ConnectionId, end: End) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let is_silent = connection.pipes[end as usize].is_stalled
            || self.is_stopped(connection.traits, end.other());
        // The rule for outboxes decides where there is something to write.
        let writes = !connection.pipes[end.other() as usize].unsent.is_empty();
        if is_silent && !writes {
            self.hang_up(id, end);
        }
    }

    /// What becomes of a connection whose outbox towards an end has not moved.
    pub(crate) fn stall_due(&mut self, id: ConnectionId, to: End) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let pipe = &mut connection.pipes[to as usize];
        pipe.is_watched = false;
        if pipe.unsent.is_empty() {
            return;
        }
        let due = pipe.last_written + STALL_TIMEOUT;
        if due > now {
            pipe.is_watched = true;
            self.agenda.put(due, Event::StallDue(id, to));
        } else {
            self.hang_up(id, to.other());
        }
    }

    /// Closes an end because the other one is silent or does not read. That one learns of it from
    /// its kernel; where nothing reaches it, by its own PING or never.
    fn hang_up(&mut self, id: ConnectionId, end: End) {
        let now = self.now;
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let other = end.other();
        self.agenda.put(now, Event::Reset(id, end));
        if !connection.pipes[other as usize].is_stalled {
            self.agenda.put(now, Event::Reset(id, other));
        } else if connection.traits.pings {
            self.agenda.put(now + PING, Event::Reset(id, other));
        }
    }

    /// What becomes of the other end when the time to write out is over.
    pub(crate) fn linger_due(&mut self, id: ConnectionId, end: End) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let pipe = &mut connection.pipes[end as usize];
        if !pipe.unsent.is_empty() && !pipe.is_stalled {
            pipe.unsent.clear();
            pipe.unsent_bytes = 0;
            self.agenda.put(self.now, Event::Reset(id, end));
        }
    }

    /// What becomes of a party whose handshake is not done.
    pub(crate) fn handshake_due(&mut self, id: ConnectionId) {
        let is_waiting = |connection: &Connection| {
            let on_its_way = |pipe: &Pipe| {
                let flight = pipe.flight.iter().map(|(_, item)| item);
                let mut items = pipe.unsent.iter().chain(flight).chain(&pipe.arrived);
                items.any(|item| matches!(item, Item::Opened))
            };
            connection.pipes.iter().any(on_its_way)
        };
        if self.connections.get(id).is_some_and(is_waiting) {
            self.cut(id);
        }
    }

    /// Closes an end; who is there reads and writes no more.
    pub(super) fn shut(&mut self, id: ConnectionId, end: End) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.is_open[end as usize] = false;
        let pipe = &mut connection.pipes[end as usize];
        let is_stalled = pipe.is_stalled;
        *pipe = Pipe::new(self.now);
        pipe.is_stalled = is_stalled;
        if connection.is_open == [false, false] {
            self.connections.remove(id);
        }
    }
}

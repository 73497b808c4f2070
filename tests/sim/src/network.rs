//! Connections: two pipes each, in order, with latency, backlogs, and ends that fail.

mod ends;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use plantd_zmtp::{Message, STALL_TIMEOUT};

use crate::stage::{Event, Stage};

slotmap::new_key_type! {
    /// A connection between a party and a broker.
    pub(crate) struct ConnectionId;
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// After how much silence ZMTP's PING finds a half-open connection.
const PING: Duration = Duration::from_millis(4500);

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Party,
    Broker,
}

impl End {
    pub(crate) const BOTH: [Self; 2] = [Self::Party, Self::Broker];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Party => Self::Broker,
            Self::Broker => Self::Party,
        }
    }
}

/// What goes through a pipe.
#[derive(Debug)]
pub(crate) enum Item {
    /// The handshake's last word.
    Opened,
    Message(Message),
    Closed,
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.encoded().len(),
            Self::Opened | Self::Closed => 0,
        }
    }
}

/// What an end does with what arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Eager,
    /// One message, then a rest.
    Slow(Duration),
    Paused,
}

/// What goes towards one end.
#[derive(Debug)]
struct Pipe {
    /// In the sender's outbox.
    unsent: VecDeque<Item>,
    unsent_bytes: usize,
    /// On its way, with the instant of its arrival.
    flight: VecDeque<(Instant, Item)>,
    arrived: VecDeque<Item>,
    /// Of what is on its way or has arrived.
    window_used: usize,
    last_arrival: Instant,
    last_written: Instant,
    is_watched: bool,
    is_stalled: bool,
}

/// What a connection is for those at its ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    pub(crate) party: usize,
    pub(crate) broker: usize,
    /// Whether the party keeps the protocol.
    pub(crate) honest: bool,
    /// Whether the party's socket takes one reply for one request.
    pub(crate) joins_partials: bool,
    /// Whether both ends send PINGs.
    pub(crate) pings: bool,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) traits: Traits,
    is_open: [bool; 2],
    /// Towards the party, towards the broker.
    pipes: [Pipe; 2],
    reading: [Reading; 2],
    /// An end that reads slowly rests until then.
    rests_until: [Option<Instant>; 2],
    extra_latency: Duration,
    /// When something last reached the broker's machine, read or not.
    pub(crate) heard_at: Instant,
}

impl Pipe {
    fn new(now: Instant) -> Self {
        Self {
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            flight: VecDeque::new(),
            arrived: VecDeque::new(),
            window_used: 0,
            last_arrival: now,
            last_written: now,
            is_watched: false,
            is_stalled: false,
        }
    }
}

impl Connection {
    pub(crate) fn is_open(&self, end: End) -> bool {
        self.is_open[end as usize]
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.pipes.iter().any(|pipe| pipe.is_stalled)
    }

    fn may_read(&self, end: End, now: Instant) -> bool {
        let pipe = &self.pipes[end as usize];
        match self.reading[end as usize] {
            Reading::Eager => true,
            Reading::Slow(_) => self.rests_until[end as usize].is_none_or(|until| until <= now),
            Reading::Paused => matches!(pipe.arrived.front(), Some(Item::Opened)),
        }
    }
}

impl Stage {
    /// Begins a connection. The party hears [`Item::Opened`] or [`Item::Closed`].
    pub(crate) fn connect(&mut self, traits: Traits) -> ConnectionId {
        let now = self.now;
        let mut connection = Connection {
            traits,
            is_open: [true, true],
            pipes: [Pipe::new(now), Pipe::new(now)],
            reading: [Reading::Eager, Reading::Eager],
            rests_until: [None, None],
            extra_latency: Duration::ZERO,
            heard_at: now,
        };
        let is_welcome = self.listening[traits.broker];
        connection.is_open[End::Broker as usize] = is_welcome;
        let id = self.connections.insert(connection);
        self.tell(|| format!("{id:?} is made: {traits:?}, listening: {is_welcome}"));
        if is_welcome {
            self.send(id, End::Broker, Item::Opened);
            self.agenda.put(now + HANDSHAKE, Event::HandshakeDue(id));
        } else {
            self.send(id, End::Party, Item::Closed);
        }
        id
    }

    /// Puts something into the pipe towards an end.
    pub(crate) fn send(&mut self, id: ConnectionId, to: End, item: Item) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if !connection.is_open(to) {
            // Who writes to an end that is gone gets a reset, unless the way there is dead, too.
            if connection.is_open(to.other()) && !connection.pipes[to as usize].is_stalled {
                self.agenda.put(now, Event::Reset(id, to.other()));
            }
            return;
        }
        let pipe = &mut connection.pipes[to as usize];
        if pipe.unsent.is_empty() {
            pipe.last_written = now;
        }
        pipe.unsent_bytes += item.bytes();
        pipe.unsent.push_back(item);
        self.flush(id, to);
    }

    /// Bytes in the outbox towards an end.
    pub(crate) fn unsent_bytes(&self, id: ConnectionId, to: End) -> usize {
        let connection = self.connections.get(id);
        connection.map_or(0, |connection| connection.pipes[to as usize].unsent_bytes)
    }

    /// Writes as much as the window takes.
    fn flush(&mut self, id: ConnectionId, to: End) {
        let now = self.now;
        let (first, last) = self.plan.latency_ms;
        let latency = self.dice.milliseconds(first..=last);
        let window_bytes = self.plan.window_bytes;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let latency = latency + connection.extra_latency;
        let broker = connection.traits.broker;
        let pipe = &mut connection.pipes[to as usize];
        let mut wrote = false;
        while let Some(item) = pipe.unsent.pop_front() {
            let bytes = item.bytes();
            if pipe.window_used > 0 && pipe.window_used + bytes > window_bytes {
                pipe.unsent.push_front(item);
                break;
            }
            wrote = true;
            pipe.unsent_bytes -= bytes;
            pipe.window_used += bytes;
            pipe.last_written = now;
            pipe.last_arrival = (now + latency).max(pipe.last_arrival);
            pipe.flight.push_back((pipe.last_arrival, item));
            self.agenda.put(pipe.last_arrival, Event::Arrive(id, to));
        }
        if wrote && to == End::Party {
            self.agenda.put(now, Event::Turn(broker));
        }
        if !pipe.unsent.is_empty() && !pipe.is_watched {
            pipe.is_watched = true;
            self.agenda
                .put(now + STALL_TIMEOUT, Event::StallDue(id, to));
        }
    }

    /// Lets what is due arrive; whether there is something to read.
    pub(crate) fn arrive(&mut self, id: ConnectionId, to: End) -> bool {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        let pipe = &mut connection.pipes[to as usize];
        if pipe.is_stalled {
            return false;
        }
        while let Some((at, _)) = pipe.flight.front()
            && *at <= now
            && let Some((_, item)) = pipe.flight.pop_front()
        {
            if to == End::Broker {
                connection.heard_at = now;
            }
            pipe.arrived.push_back(item);
        }
        connection.is_open(to) && !connection.pipes[to as usize].arrived.is_empty()
    }

    /// Takes the next thing that an end reads, if it reads.
    pub(crate) fn read(&mut self, id: ConnectionId, end: End) -> Option<Item> {
        let now = self.now;
        let connection = self.connections.get_mut(id)?;
        if !connection.is_open(end) || !connection.may_read(end, now) {
            return None;
        }
        let item = connection.pipes[end as usize].arrived.pop_front()?;
        connection.pipes[end as usize].window_used -= item.bytes();
        match item {
            Item::Closed => self.shut(id, end),
            Item::Opened | Item::Message(_) => {
                if let Reading::Slow(rest) = connection.reading[end as usize] {
                    connection.rests_until[end as usize] = Some(now + rest);
                    self.agenda.put(now + rest, Event::Read(id, end));
                }
                self.flush(id, end);
            }
        }
        Some(item)
    }

    /// Changes how an end reads.
    pub(crate) fn set_reading(&mut self, id: ConnectionId, end: End, reading: Reading) {
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.reading[end as usize] = reading;
            connection.rests_until[end as usize] = None;
            self.agenda.put(now, Event::Read(id, end));
        }
    }

    /// Lets nothing pass towards an end.
    pub(crate) fn stall(&mut self, id: ConnectionId, to: End) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.pipes[to as usize].is_stalled = true;
        if connection.traits.pings {
            let jitter = self.dice.milliseconds(0..=1500);
            self.agenda.put(now + PING + jitter, Event::PingDue(id, to));
        }
    }

    /// Lets things pass again.
    pub(crate) fn unstall(&mut self, id: ConnectionId, to: End) {
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.pipes[to as usize].is_stalled = false;
            self.agenda.put(now, Event::Arrive(id, to));
        }
    }

    pub(crate) fn delay(&mut self, id: ConnectionId, extra_latency: Duration) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.extra_latency = extra_latency;
        }
    }

    /// Lets an end read as it would without a fault.
    pub(crate) fn set_reading_eager_again(&mut self, id: ConnectionId, end: End) {
        let reading = self
            .connections
            .get(id)
            .map(|known| known.reading[end as usize]);
        if reading.is_some_and(|reading| end == End::Party || reading != Reading::Paused) {
            self.set_reading(id, end, Reading::Eager);
        }
    }
}

//! Two sessions with each other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use plantd_zmtp::{Event, Incoming, Message, Session, Side, SocketType};

use super::config;
use crate::clock;
use crate::input::steps;

/// Something that happens; `bool` says to whom.
#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Sends(bool, Vec<&'a [u8]>),
    Receives(bool, u8),
    Reads(bool, bool),
    Passes(u16),
}

/// One side.
struct End {
    session: Session,
    /// What its peer has written and it has not received.
    pipe: VecDeque<u8>,
    incoming: Incoming,
    is_reading: bool,
    is_ready: bool,
    /// What its peer has sent and it has not decoded.
    due: VecDeque<Message>,
}

impl End {
    fn new(side: Side, socket_type: SocketType, now: Instant) -> Self {
        Self {
            session: Session::new(Arc::new(config(side, socket_type)), now),
            pipe: VecDeque::new(),
            incoming: Incoming::new(),
            is_reading: true,
            is_ready: false,
            due: VecDeque::new(),
        }
    }

    fn receives(&mut self, bytes: usize, now: Instant) {
        let bytes: Vec<u8> = self.pipe.drain(..bytes.min(self.pipe.len())).collect();
        if bytes.is_empty() {
            return;
        }
        self.incoming.extend_from_slice(&bytes);
        self.session.handle_received(now);
        while let Some(event) = self
            .session
            .decode(&mut self.incoming)
            .expect("peers agree")
        {
            match event {
                Event::Ready(_) => self.is_ready = true,
                Event::Message(message) => assert_eq!(Some(message), self.due.pop_front()),
                Event::Run(_) | Event::Subscription(_) | Event::Marked(_) | Event::Ignored => {
                    panic!("nobody said {event:?}")
                }
            }
        }
    }
}

struct Pair {
    ends: [End; 2],
    now: Instant,
}

impl Pair {
    /// Lets both say what they have to say.
    fn transmit(&mut self) {
        for (from, to) in [(0, 1), (1, 0)] {
            let said = self.ends[from].session.poll_transmit();
            self.ends[to].pipe.extend(said.unwrap_or_default());
        }
    }

    /// Lets everything arrive at whoever reads.
    fn deliver(&mut self) {
        loop {
            self.transmit();
            let reading = self.ends.iter_mut();
            let mut waiting = reading.filter(|end| end.is_reading && !end.pipe.is_empty());
            let Some(end) = waiting.next() else {
                return;
            };
            end.receives(usize::MAX, self.now);
        }
    }

    /// Lets time pass, in which nothing stays on its way for long.
    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        self.deliver();
        loop {
            let due = self
                .ends
                .iter()
                .filter_map(|end| end.session.poll_timeout())
                .min();
            let Some(at) = due.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            for end in &mut self.ends {
                let done = end.session.handle_timeout(self.now, true);
                done.expect("nobody is silent");
            }
            self.deliver();
            let due = self
                .ends
                .iter()
                .filter_map(|end| end.session.poll_timeout())
                .min();
            assert!(due.is_none_or(|due| due > self.now), "a timer is stuck");
        }
        self.now = end;
    }
}

/// What one side sends the other gets, in order, and nobody is taken for lost who is there.
pub fn conversation(bytes: &[u8]) {
    let now = clock::start();
    let mut pair = Pair {
        ends: [
            End::new(Side::Binding, SocketType::Router, now),
            End::new(Side::Connecting, SocketType::Dealer, now),
        ],
        now,
    };
    pair.deliver();
    for step in steps(bytes).take(200) {
        match step {
            Step::Sends(by_second, frames) => {
                let frames = frames
                    .iter()
                    .take(6)
                    .map(|frame| &frame[..frame.len().min(100)]);
                let message = Message::from_frames(frames);
                pair.transmit();
                if !message.is_empty() {
                    let to = &mut pair.ends[usize::from(!by_second)];
                    to.pipe.extend(message.encoded());
                    to.due.push_back(message);
                }
            }
            Step::Receives(by_second, bytes) => {
                pair.transmit();
                let now = pair.now;
                let end = &mut pair.ends[usize::from(by_second)];
                if end.is_reading {
                    end.receives(bytes.into(), now);
                }
            }
            Step::Reads(by_second, reads) => {
                let end = &mut pair.ends[usize::from(by_second)];
                if end.is_reading != reads {
                    end.is_reading = reads;
                    end.session.handle_reading(reads, pair.now);
                }
            }
            Step::Passes(milliseconds) => {
                pair.passes(Duration::from_millis(u64::from(milliseconds)));
            }
        }
    }
    for end in &mut pair.ends {
        if !end.is_reading {
            end.is_reading = true;
            end.session.handle_reading(true, pair.now);
        }
    }
    pair.deliver();
    for end in &pair.ends {
        assert!(end.is_ready && end.due.is_empty(), "all has arrived");
    }
}

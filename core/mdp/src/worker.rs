//! The worker of the library, as a value: one registration at one broker.
//!
//! It decides when to connect, registers, keeps the link alive, and knows which requests are
//! held under which token. Tokens die with their connection.
//!
//! What is not here: the handlers of requests, encoding, and other brokers, each of which has a
//! machine of its own.

mod messages;
mod replies;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use plantd_zmtp::Message;

use crate::{
    Header, Properties, ReconnectDelays, ServiceName, Token,
    command::FromWorker,
    link::{Backoff, Silence},
    planted::{Bug, Planted},
};
use replies::Attempt;

/// The worker's end of Majordomo, MDP/0.3, at one broker.
///
/// - `handle_…` takes what happened, and `send_…` what a handler answers;
/// - [`Worker::poll_output`] gives the effects in their order, until `None`;
/// - [`Worker::poll_timeout`] says when [`Worker::handle_timeout`] is due.
#[derive(Debug)]
pub struct Worker {
    config: Config,
    backoff: Backoff,
    state: State,
    drain: Drain,
    /// Walked in the order of tokens only: what is told must not depend on the hash.
    attempts: foldhash::HashMap<Token, Attempt>,
    outputs: VecDeque<Output>,
    counts: Counts,
    planted: Planted,
}

/// What a [`Worker`] serves and offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What it answers for.
    pub service: ServiceName,
    /// Shown in the broker's lists; empty for none.
    pub name: String,
    /// Shown in the broker's lists; empty for none.
    pub version: String,
    /// What it asks the broker for.
    pub offer: Terms,
    /// The delays between attempts to connect.
    pub reconnect: ReconnectDelays,
}

/// What a worker offers, and what the broker agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Unanswered requests at once; 1 to 4,096.
    pub credit: u32,
    /// Beside them, answers in parts that are under way; 1 to 65,536.
    pub streams: u32,
    /// How often each side hears from the other; 100 ms to 60 s.
    pub heartbeat: Duration,
    /// After how many intervals of silence a side is lost; 2 to 20.
    pub liveness: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            credit: 1,
            streams: 1024,
            heartbeat: Duration::from_secs(1),
            liveness: 3,
        }
    }
}

/// An effect of a [`Worker`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect; answered by [`Worker::handle_opened`] or [`Worker::handle_closed`].
    Connect,
    /// Close the connection when everything is written, and report nothing more of it.
    Close,
    /// Send a command.
    Send(FromWorker),
    /// The broker took the registration.
    Registered(Terms),
    /// The registration or the attempt at one was lost; [`Output::Connect`] follows in time.
    Lost(Loss),
    /// A request to answer.
    Request {
        /// Names the request until it is answered or [`Output::Cancel`] comes.
        token: Token,
        /// The broker's id and the properties.
        header: Header,
        /// What is asked.
        body: Message,
    },
    /// Nobody waits for this answer. It is still to be ended by an answer or an error, except
    /// after the connection was lost.
    Cancel {
        /// Which request.
        token: Token,
    },
    /// A part of this answer can be sent, after [`PartSent::Later`].
    Room {
        /// Which request.
        token: Token,
    },
    /// The worker has left; nothing follows.
    Drained,
}

/// Why a registration was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// The connection ended, or could not be made.
    Closed,
    /// The broker was silent for too long.
    Silent,
    /// The broker sent DISCONNECT.
    Dismissed {
        /// The broker's words; may be empty.
        message: String,
    },
}

/// What became of a part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartSent {
    /// It is sent.
    Sent,
    /// The client takes no more for now: to be tried again after [`Output::Room`].
    Later(Message),
    /// Nobody waits for it.
    Gone,
}

/// What was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers whose request had ended, or whose connection was lost.
    pub late_replies: u64,
    /// Messages that are no command of MDP/0.3, or make no sense where they came.
    pub invalid_messages: u64,
}

#[derive(Debug)]
enum State {
    /// Waits until the next attempt.
    Down { until: Instant },
    /// [`Output::Connect`] has not been answered.
    Connecting,
    /// READY was sent.
    Joining { silence: Silence },
    /// WELCOME came.
    Registered {
        terms: Terms,
        silence: Silence,
        last_sent: Instant,
    },
    /// Left for good.
    Stopped,
}

/// How far leaving has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drain {
    No,
    /// To be begun as soon as the broker took the registration.
    Wanted,
    /// Credit 0 was sent. What the broker sent before it read that has come when it was heard from
    /// again, at the latest at `until`.
    CreditGone {
        until: Instant,
    },
    /// Nothing new can come.
    Quiet,
}

impl Worker {
    /// Creates a worker and asks for a connection. `seed` decides the jitter.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            backoff: Backoff::new(config.reconnect, seed),
            config,
            state: State::Connecting,
            drain: Drain::No,
            attempts: foldhash::HashMap::default(),
            outputs: VecDeque::from([Output::Connect]),
            counts: Counts::default(),
            planted: Planted::default(),
        }
    }

    /// Plants a bug, for whoever tests the tests.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: Bug) {
        self.planted = Planted::with(bug);
    }

    /// Takes that the connection asked for by [`Output::Connect`] is there.
    pub fn handle_opened(&mut self, now: Instant) {
        if !matches!(self.state, State::Connecting) {
            return;
        }
        let offer = self.config.offer;
        self.state = State::Joining {
            silence: Silence::new(offer.heartbeat, offer.liveness, now),
        };
        let mut properties = offer.to_properties();
        for (name, value) in [
            ("name", &self.config.name),
            ("version", &self.config.version),
        ] {
            if !value.is_empty() {
                properties = properties.with(name, value);
            }
        }
        let ready = FromWorker::Ready {
            service: self.config.service.clone(),
            header: Header { id: 0, properties },
        };
        self.send(ready, now);
    }

    /// Takes that the connection was lost or could not be made.
    pub fn handle_closed(&mut self, now: Instant) {
        match self.state {
            State::Connecting | State::Joining { .. } | State::Registered { .. } => {
                self.lose(Loss::Closed, now);
            }
            State::Down { .. } | State::Stopped => {}
        }
    }

    /// Takes what is due. Calls that come early do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let State::Down { until } = self.state
            && until <= now
        {
            self.state = State::Connecting;
            self.outputs.push_back(Output::Connect);
        }
        if let State::Joining { silence } | State::Registered { silence, .. } = &mut self.state
            && silence.due() <= now
            && silence.miss(now)
        {
            self.outputs.push_back(Output::Close);
            self.lose(Loss::Silent, now);
        }
        if let State::Registered {
            terms, last_sent, ..
        } = self.state
            && last_sent + terms.heartbeat <= now
        {
            let header = Header::default();
            self.send(FromWorker::Heartbeat { header }, now);
        }
        if let Drain::CreditGone { until } = self.drain
            && until <= now
        {
            self.drain = Drain::Quiet;
            self.leave_if_done(now);
        }
    }

    /// Says when [`Worker::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = match &self.state {
            State::Down { until } => Some(*until),
            State::Joining { silence } => Some(silence.due()),
            State::Registered {
                terms,
                silence,
                last_sent,
            } => Some(silence.due().min(*last_sent + terms.heartbeat)),
            State::Connecting | State::Stopped => None,
        };
        match self.drain {
            Drain::CreditGone { until } => due.map(|due| due.min(until)),
            Drain::No | Drain::Wanted | Drain::Quiet => due,
        }
    }

    /// Takes the next effect.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Says what was dropped so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Says whether a request is held, so that it is still to be ended.
    pub fn is_held(&self, token: Token) -> bool {
        self.attempts.contains_key(&token)
    }

    /// Says how many requests are held.
    pub fn held_count(&self) -> usize {
        self.attempts.len()
    }

    /// Begins to leave: nothing new is taken, what is held is finished, then
    /// [`Output::Drained`] comes.
    pub fn drain(&mut self, now: Instant) {
        if self.drain != Drain::No {
            return;
        }
        self.drain = Drain::Wanted;
        match &self.state {
            State::Registered { .. } => self.give_up_credit(now),
            State::Joining { .. } => {}
            State::Connecting => {
                self.outputs.push_back(Output::Close);
                self.stop();
            }
            State::Down { .. } => self.stop(),
            State::Stopped => {}
        }
    }

    /// Leaves at once: what is held is given back with an error that lets the broker try another
    /// worker.
    pub fn abandon(&mut self, now: Instant) {
        for token in self.held() {
            self.outputs.push_back(Output::Cancel { token });
            let message = "the worker stopped before it had finished";
            self.send_error(token, "stopped", message, true, now);
        }
        match self.state {
            State::Joining { .. } | State::Registered { .. } => self.leave(now),
            State::Connecting => {
                self.outputs.push_back(Output::Close);
                self.stop();
            }
            State::Down { .. } => self.stop(),
            State::Stopped => {}
        }
    }

    /// Checks that the parts agree with each other; for tests, after each step.
    ///
    /// # Panics
    /// If they do not.
    pub fn check_invariants(&self) {
        match &self.state {
            State::Registered { terms, .. } => {
                let most = terms.credit as usize + terms.streams as usize;
                assert!(self.attempts.len() <= most, "more is held than was agreed");
            }
            State::Down { .. } | State::Connecting | State::Joining { .. } | State::Stopped => {
                assert!(
                    self.attempts.is_empty(),
                    "requests are held without a registration"
                );
            }
        }
        let ends = matches!(self.state, State::Stopped | State::Connecting);
        assert!(
            ends || self.poll_timeout().is_some(),
            "nothing would ever happen"
        );
    }

    fn give_up_credit(&mut self, now: Instant) {
        let State::Registered { terms, .. } = self.state else {
            return;
        };
        self.drain = Drain::CreditGone {
            until: now + terms.heartbeat,
        };
        let properties = Properties::default().with("credit", 0);
        let header = Header { id: 0, properties };
        self.send(FromWorker::Heartbeat { header }, now);
    }

    fn leave_if_done(&mut self, now: Instant) {
        let is_early = self.planted.has(Bug::WorkerLeavesEarly);
        if self.drain == Drain::Quiet && (self.attempts.is_empty() || is_early) {
            self.leave(now);
        }
    }

    fn leave(&mut self, now: Instant) {
        self.send(FromWorker::Disconnect, now);
        self.outputs.push_back(Output::Close);
        self.stop();
    }

    fn stop(&mut self) {
        self.state = State::Stopped;
        self.outputs.push_back(Output::Drained);
    }

    /// Ends the registration; what was held under it has no one to go to.
    fn lose(&mut self, loss: Loss, now: Instant) {
        for token in self.held() {
            self.outputs.push_back(Output::Cancel { token });
        }
        self.attempts.clear();
        self.outputs.push_back(Output::Lost(loss));
        if self.drain == Drain::No {
            let until = now + self.backoff.next_delay();
            self.state = State::Down { until };
        } else {
            self.stop();
        }
    }

    /// The tokens of what is held, in their order.
    fn held(&self) -> Vec<Token> {
        let mut tokens: Vec<Token> = self.attempts.keys().copied().collect();
        tokens.sort_unstable();
        tokens
    }

    fn send(&mut self, command: FromWorker, now: Instant) {
        if let State::Registered { last_sent, .. } = &mut self.state {
            *last_sent = now;
        }
        self.outputs.push_back(Output::Send(command));
    }
}

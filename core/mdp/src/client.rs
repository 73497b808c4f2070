//! The client of the library, as a value: requests over links to several brokers.
//!
//! It decides when links are made and given up, which link a request goes over, when it is sent
//! again over another, and what ends it. Each request ends in exactly one [`Output::Final`] or
//! [`Output::Failed`], unless it is cancelled.
//!
//! What is not here: resolving names, encoding, and the waiting of callers for their turn.

mod invariants;
mod links;
mod requests;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use plantd_zmtp::Message;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    Properties, ReconnectDelays, ServiceName, command::FromClient, planted::Planted, timers::Timers,
};
use links::Link;
use requests::Pending;

/// The client's end of Majordomo, MDP/0.3, over several links.
///
/// - `handle_…` takes what happened; [`Client::add_link`] and [`Client::remove_link`] tell it which
///   brokers there are;
/// - [`Client::poll_output`] gives the effects in their order, until `None`;
/// - [`Client::poll_timeout`] says when [`Client::handle_timeout`] is due.
#[derive(Debug)]
pub struct Client {
    config: Config,
    rng: StdRng,
    links: BTreeMap<LinkId, Link>,
    requests: BTreeMap<RequestId, Pending>,
    /// Requests that are at no link.
    waiting: BTreeSet<RequestId>,
    request_bytes: usize,
    timers: Timers<Timer>,
    outputs: VecDeque<Output>,
    counts: Counts,
    next_link: u32,
    next_probe: u64,
    /// Grows with each request that is sent, to tell which link was used last.
    turn: u64,
    planted: Planted,
}

/// The times and limits of a [`Client`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The delays between attempts to connect.
    pub reconnect: ReconnectDelays,
    /// How long a request without a deadline waits for a link; by default 5 s.
    pub connect_timeout: Duration,
    /// How much longer than its deadline a request that was sent is waited for, so that the
    /// broker's error wins; by default 1 s.
    pub deadline_grace: Duration,
    /// How often a link without a ping of its own is asked for a sign of life while it owes
    /// answers; by default 1 s.
    pub heartbeat: Duration,
    /// After how many such intervals of silence the link is given up; by default 3.
    pub liveness: u32,
    /// How often a request is sent at most, where it does not say; by default 3.
    pub attempts: u32,
    /// Requests at once; by default 4,096.
    pub max_requests: usize,
    /// Bytes of the bodies of all requests; by default 8 MiB. One larger body goes alone.
    pub max_request_bytes: usize,
    /// Bytes of one request's parts that wait for their reader, 64 more for each; by default
    /// 16 MiB.
    pub max_unread_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reconnect: ReconnectDelays::default(),
            connect_timeout: Duration::from_secs(5),
            deadline_grace: Duration::from_secs(1),
            heartbeat: Duration::from_secs(1),
            liveness: 3,
            attempts: 3,
            max_requests: 4096,
            max_request_bytes: 8 * 1024 * 1024,
            max_unread_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Names a link to one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u32);

/// Names a request, to its caller and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// Ids from here on are the machine's own, for its probes.
    const FIRST_PROBE: u64 = 1 << 63;

    /// Takes a number for an id: not 0, less than 2⁶³, and never used before with this client.
    ///
    /// Of requests that wait for a link, the one with the smallest id goes first.
    pub fn new(number: u64) -> Option<Self> {
        (1..Self::FIRST_PROBE)
            .contains(&number)
            .then_some(Self(number))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who shall answer.
    pub service: ServiceName,
    /// What is said of the request. `deadline-ms`, `retry` and `window` are set from the fields
    /// below.
    pub properties: Properties,
    /// What is asked; no frames are sent as one empty frame, except to `mmi.…`.
    pub body: Message,
    /// When the answer must have come.
    pub deadline: Option<Instant>,
    /// How often it may be tried.
    pub retry: Retry,
    /// How many parts may be sent ahead of the reader; without it the answer is taken as it comes.
    pub window: Option<u32>,
}

/// How often a request may be tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Retry {
    /// As often as the broker and [`Config::attempts`] say.
    #[default]
    Usual,
    /// Once: after a lost worker or link it fails.
    Never,
    /// Given to a worker by one broker, and sent to a broker, so often at most.
    AtMost(u32),
}

/// Says why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// [`Config::max_requests`] or [`Config::max_request_bytes`] is reached.
    #[error("too many requests are unanswered")]
    Full,
    /// The id is that of another request.
    #[error("the id is in use")]
    DuplicateId,
}

/// An effect of a [`Client`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect; answered by [`Client::handle_opened`] or [`Client::handle_closed`].
    Connect {
        /// Which link.
        link: LinkId,
    },
    /// Close the connection, or stop connecting, and report nothing more of it.
    Close {
        /// Which link.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// Send a command.
    Send {
        /// Over which link.
        link: LinkId,
        /// What.
        command: FromClient,
    },
    /// A part of an answer.
    Partial {
        /// To which request.
        request: RequestId,
        /// What is said of the part.
        properties: Properties,
        /// The part.
        body: Message,
    },
    /// The answer or its last part; the request is over.
    Final {
        /// To which request.
        request: RequestId,
        /// What is said of the answer.
        properties: Properties,
        /// The answer.
        body: Message,
    },
    /// There is no answer; the request is over.
    Failed {
        /// Which request.
        request: RequestId,
        /// Why.
        failure: Failure,
    },
}

/// Why the machine closes a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The broker owed answers and did not say a word.
    Silent,
    /// The link was removed.
    Removed,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No link was up in time; the request was never sent.
    NotConnected,
    /// The link was lost after the request was sent, and it may not be sent again or could not be
    /// in time; or the next broker says that it was not done there, which the first may have done.
    ConnectionLost,
    /// The deadline passed, and the broker's error did not come either.
    Timeout,
    /// The parts that wait for their reader are over [`Config::max_unread_bytes`].
    Unread,
    /// The broker sent an ERROR.
    Refused(Refusal),
}

/// What an ERROR of a broker says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The code; see [`ErrorCode`](crate::ErrorCode).
    pub code: String,
    /// The text for people; may be empty.
    pub message: String,
    /// The worker's own code where the code is `worker-error`; else empty.
    pub worker_code: String,
}

/// What was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers to requests that had ended, or that were not sent over that link.
    pub late_replies: u64,
    /// Messages that are no command of MDP/0.3.
    pub invalid_replies: u64,
}

/// What an entry of the timers is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Connect(LinkId),
    Silence(LinkId),
    Request(RequestId),
}

impl Client {
    /// Creates a client without links. `seed` decides the jitter.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            rng: StdRng::seed_from_u64(seed),
            links: BTreeMap::new(),
            requests: BTreeMap::new(),
            waiting: BTreeSet::new(),
            request_bytes: 0,
            timers: Timers::new(),
            outputs: VecDeque::new(),
            counts: Counts::default(),
            next_link: 0,
            next_probe: RequestId::FIRST_PROBE,
            turn: 0,
            planted: Planted::default(),
        }
    }

    /// Plants a bug, for whoever tests the tests.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: crate::planted::Bug) {
        self.planted = Planted::with(bug);
    }

    /// Takes what is due. Calls that come early do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, timer)) = self.timers.pop(now) {
            match timer {
                Timer::Connect(link) => self.connect_if_due(link, due),
                Timer::Silence(link) => self.miss_if_due(link, due, now),
                Timer::Request(request) => self.expire_if_due(request, due),
            }
        }
    }

    /// Says when [`Client::handle_timeout`] is due; it may find that nothing is.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Takes the next effect.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Says what was dropped so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Says how many requests have not ended.
    pub fn request_count(&self) -> usize {
        self.requests.len()
    }

    fn seed(&mut self) -> u64 {
        self.rng.random()
    }

    fn forget_dead_timers(&mut self) {
        let live = self.requests.len() + 2 * self.links.len();
        let (links, requests) = (&self.links, &self.requests);
        self.timers.compact(live, |due, timer| match timer {
            Timer::Connect(link) => links.get(&link).is_some_and(|link| link.connects_at(due)),
            Timer::Silence(link) => links.get(&link).is_some_and(|link| link.is_looked_at(due)),
            Timer::Request(id) => requests
                .get(&id)
                .is_some_and(|request| request.ends_at(due)),
        });
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "the broker owes answers and is silent",
            Self::Removed => "the broker was removed",
        })
    }
}

//! Connections to every broker of a bus: dialled, lost, and dialled again.
//!
//! Sources and sinks do the same here; what passes over the connections is theirs.

use std::{collections::BTreeSet, time::Instant};

use plantd_mdp::{Backoff, ReconnectDelays};
use plantd_zmtp::{Endpoint, Message, Subscription};
use tokio::{sync::watch, time::sleep_until};
use tracing::{debug, info};

use crate::{
    Status, Transport,
    brokers::{BrokerList, Directory},
    jitter_seed,
    link::{ConnectionKey, LinkEvent, Links, Role},
    status::BrokerStatus,
};

/// The connections of one source or sink to its brokers.
#[derive(Debug)]
pub(crate) struct Uplinks {
    links: Links,
    directory: Directory,
    delays: ReconnectDelays,
    /// In the order in which they became known.
    brokers: Vec<Broker>,
    status: watch::Sender<Status>,
}

#[derive(Debug)]
struct Broker {
    endpoint: Endpoint,
    state: State,
    backoff: Backoff,
    last_error: Option<String>,
    /// Its address is no longer that of any name; it is forgotten when it is lost.
    is_gone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits until the next attempt.
    Down {
        until: Instant,
    },
    Dialling(ConnectionKey),
    Up(ConnectionKey),
}

/// Why [`Uplinks::wait`] returned, to be handed to [`Uplinks::take`].
#[derive(Debug)]
pub(crate) enum Happened {
    Link(LinkEvent),
    Directory,
    /// It is time to dial.
    Due,
}

/// What a source or a sink is told.
#[derive(Debug)]
pub(crate) enum Uplink {
    /// Messages pass.
    Opened(ConnectionKey),
    Messages(ConnectionKey, Vec<Message>),
    Subscriptions(ConnectionKey, Vec<Subscription>),
    Marked(ConnectionKey, u64),
    /// A connection that was opened is gone.
    Lost(ConnectionKey),
}

impl Uplinks {
    /// Gives the connections of this role, none of which is made before [`Happened::Directory`] was
    /// taken for the first time.
    pub(crate) fn new(
        brokers: BrokerList,
        transport: Transport,
        role: Role,
        delays: ReconnectDelays,
    ) -> (Self, watch::Receiver<Status>) {
        let (status, receiver) = watch::channel(Status::default());
        let uplinks = Self {
            links: Links::new(transport, role),
            directory: Directory::new(brokers),
            delays,
            brokers: Vec::new(),
            status,
        };
        (uplinks, receiver)
    }

    /// What messages are sent over.
    pub(crate) fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    /// Waits until something has happened. Dropping the future loses nothing.
    pub(crate) async fn wait(&mut self) -> Happened {
        let due = self.brokers.iter().filter_map(|broker| match broker.state {
            State::Down { until } => Some(until),
            State::Dialling(_) | State::Up(_) => None,
        });
        let due = due.min();
        let due = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.links.next() => Happened::Link(event),
            () = self.directory.changed() => Happened::Directory,
            () = due => Happened::Due,
        }
    }

    /// Takes what has happened.
    pub(crate) fn take(&mut self, happened: Happened, now: Instant) -> Option<Uplink> {
        match happened {
            Happened::Link(event) => self.take_event(event, now),
            Happened::Directory => {
                self.take_directory(now);
                None
            }
            Happened::Due => {
                self.dial_due(now);
                None
            }
        }
    }

    /// Closes all connections, and waits until what was sent is written, or given up.
    pub(crate) async fn finish(mut self) {
        for broker in &self.brokers {
            if let Some(key) = broker.connection() {
                self.links.close(key);
            }
        }
        self.links.finish().await;
    }

    fn take_event(&mut self, event: LinkEvent, now: Instant) -> Option<Uplink> {
        match event {
            LinkEvent::Opened { key, .. } => {
                let broker = self.broker_of(key)?;
                broker.state = State::Up(key);
                broker.last_error = None;
                info!(endpoint = %broker.endpoint, "connected to a bus");
                self.show_status();
                Some(Uplink::Opened(key))
            }
            LinkEvent::Messages { key, messages } => {
                self.broker_of(key)?.backoff.reset();
                Some(Uplink::Messages(key, messages))
            }
            LinkEvent::Subscriptions { key, changes } => {
                self.broker_of(key)?.backoff.reset();
                Some(Uplink::Subscriptions(key, changes))
            }
            LinkEvent::Marked { key, mark } => {
                self.broker_of(key)?.backoff.reset();
                Some(Uplink::Marked(key, mark))
            }
            // The owner looks at every connection after every event.
            LinkEvent::HasRoom { .. } => None,
            LinkEvent::Closed { key, reason } => {
                let was_up = self.broker_of(key)?.lose(reason, now);
                self.directory.look_again();
                self.forget_gone();
                self.show_status();
                was_up.then_some(Uplink::Lost(key))
            }
        }
    }

    /// Dials brokers that are new, and forgets those that are gone and not connected.
    fn take_directory(&mut self, now: Instant) {
        let endpoints: BTreeSet<_> = self.directory.endpoints().into_iter().collect();
        for broker in &mut self.brokers {
            broker.is_gone = !endpoints.contains(&broker.endpoint);
        }
        for endpoint in endpoints {
            if !self.brokers.iter().any(|it| it.endpoint == endpoint) {
                self.brokers.push(Broker {
                    endpoint,
                    state: State::Down { until: now },
                    backoff: Backoff::new(self.delays, jitter_seed()),
                    last_error: None,
                    is_gone: false,
                });
            }
        }
        for (endpoint, reason) in self.directory.failures() {
            info!(%endpoint, reason, "the name of a broker has no address");
        }
        self.forget_gone();
        self.dial_due(now);
        self.show_status();
    }

    fn dial_due(&mut self, now: Instant) {
        for broker in &mut self.brokers {
            if matches!(broker.state, State::Down { until } if until <= now) {
                debug!(endpoint = %broker.endpoint, "connecting to a bus");
                broker.state = State::Dialling(self.links.dial(broker.endpoint.clone()));
            }
        }
    }

    fn forget_gone(&mut self) {
        let is_forgotten =
            |broker: &mut Broker| broker.is_gone && !matches!(broker.state, State::Up(_));
        for forgotten in self.brokers.extract_if(.., is_forgotten) {
            if let Some(key) = forgotten.connection() {
                self.links.close(key);
            }
        }
    }

    fn broker_of(&mut self, key: ConnectionKey) -> Option<&mut Broker> {
        let mut brokers = self.brokers.iter_mut();
        brokers.find(|broker| broker.connection() == Some(key))
    }

    fn show_status(&self) {
        let dialled = self.brokers.iter().map(|broker| BrokerStatus {
            endpoint: broker.endpoint.to_string(),
            is_up: matches!(broker.state, State::Up(_)),
            last_error: broker.last_error.clone(),
        });
        let nameless = self.directory.failures().map(BrokerStatus::unresolved);
        let status = Status {
            brokers: dialled.chain(nameless).collect(),
        };
        self.status.send_if_modified(|shown| {
            let is_news = *shown != status;
            *shown = status;
            is_news
        });
    }
}

impl Broker {
    fn connection(&self) -> Option<ConnectionKey> {
        match self.state {
            State::Down { .. } => None,
            State::Dialling(key) | State::Up(key) => Some(key),
        }
    }

    /// Notes that the connection is gone, said aloud once; whether it had been opened.
    fn lose(&mut self, reason: String, now: Instant) -> bool {
        let endpoint = &self.endpoint;
        let was_up = matches!(self.state, State::Up(_));
        if was_up {
            info!(%endpoint, reason, "lost a bus; connecting again");
        } else if self.last_error.is_none() {
            info!(%endpoint, reason, "cannot connect to a bus; trying on");
        } else {
            debug!(%endpoint, reason, "cannot connect to a bus");
        }
        let until = now + self.backoff.next_delay();
        self.state = State::Down { until };
        self.last_error = Some(reason);
        was_up
    }
}

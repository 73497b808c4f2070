//! What subscribes to a bus, and how it is configured.

mod owner;
mod tracker;

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::Stream;
use plantd_mdp::ReconnectDelays;
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    owner::{Command, Owner},
    tracker::Tracker,
};
use crate::{
    ConfigError, InvalidTopic, Publication, SourceId, Status, Topic, Transport,
    brokers::BrokerList, link::Role, topic_set::TopicSet, uplinks::Uplinks,
};

/// What was read ahead of the user, each as much as one read of a connection gave.
const READ_AHEAD: usize = 2;
/// The default of [`SinkBuilder::tracked`].
const TRACKED: usize = 65_536;

/// Subscribes to a bus, at one or more brokers.
///
/// It joins all of its brokers, reconnects and subscribes again by itself, and gives each publication
/// of a [`Source`](crate::Source) once. What a source published and the sink did not get is an event,
/// too: a [`Gap`]. Publications of others carry nothing to count by: there a loss is not seen, and
/// with several brokers each copy is given.
///
/// A sink that is not read from reads nothing itself, beyond some 6 MiB: nothing grows here, the broker
/// drops what does not fit its outbox, and the sink learns of the gap when it reads on. Meanwhile it
/// does not see either that a broker is gone.
///
/// # Order and gaps
/// Publications of one source and topic come in their order from each broker. A gap is told before
/// the publication that shows it, so that the last loss of a topic shows with its next publication.
/// With several brokers something that one of them dropped can come from another: it is then given
/// late, and the gap is told when none of the brokers can still deliver it. That is: when each broker
/// that has delivered something of that source and topic has delivered something later, or is gone,
/// and in any case after a second.
///
/// The count begins with the first publication that comes, and begins anew when a topic was
/// unsubscribed from and is subscribed to again. A lost connection begins nothing anew: what was
/// missed in between is a gap.
#[derive(Debug)]
pub struct Sink {
    commands: mpsc::UnboundedSender<Command>,
    batches: mpsc::Receiver<Vec<SinkEvent>>,
    events: VecDeque<SinkEvent>,
    status: watch::Receiver<Status>,
}

/// What a sink gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkEvent {
    /// Something was published.
    Message(Publication),
    /// Something was published and did not come.
    Gap(Gap),
}

/// What a source published on a topic and the sink did not get: dropped on the way, or published while
/// the sink was not connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Who published it.
    pub source: SourceId,
    /// On which topic.
    pub topic: Topic,
    /// The sequence of the first that is missing.
    pub first: u64,
    /// How many are missing, at least 1.
    pub missed: u64,
}

/// Says that a sink's runtime has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sink is closed")]
pub struct SinkClosed;

/// Says why a topic was not subscribed to, or not unsubscribed from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The topic is too long.
    #[error(transparent)]
    InvalidTopic(#[from] InvalidTopic),
    /// The runtime has ended.
    #[error(transparent)]
    Closed(#[from] SinkClosed),
}

impl Sink {
    /// Creates a sink for one broker's bus, without subscriptions, and begins to connect in the
    /// background.
    ///
    /// # Errors
    /// [`ConfigError`] when the endpoint cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time enabled.
    pub fn connect(backend: impl AsRef<str>) -> Result<Self, ConfigError> {
        Self::builder().broker(backend).build()
    }

    /// Begins to configure a sink.
    pub fn builder() -> SinkBuilder {
        SinkBuilder::default()
    }

    /// Subscribes to all topics that begin with this one; to every topic with the empty one.
    ///
    /// Subscriptions count: two for one topic need two [`unsubscribe`](Self::unsubscribe).
    ///
    /// # Errors
    /// [`SubscribeError`] when the topic is too long or the sink's runtime has ended.
    pub fn subscribe(&self, topic: impl AsRef<[u8]>) -> Result<(), SubscribeError> {
        let topic = Topic::new(topic)?;
        Ok(self.send(Command::Subscribe(topic))?)
    }

    /// Takes one subscription of this topic back; nothing happens if there is none. What was read
    /// ahead is still given.
    ///
    /// # Errors
    /// [`SubscribeError`] when the topic is too long or the sink's runtime has ended.
    pub fn unsubscribe(&self, topic: impl AsRef<[u8]>) -> Result<(), SubscribeError> {
        let topic = Topic::new(topic)?;
        Ok(self.send(Command::Unsubscribe(topic))?)
    }

    /// Waits until every broker that is connected, and one at least, has read the subscriptions as
    /// they are when this is called. A publication that a broker gets later reaches this sink, unless its publisher leaves
    /// it out because the subscription has not come to it yet.
    ///
    /// Over the `zeromq` crate, and at a peer of ZMTP 3.0, the subscriptions were sent and no more is
    /// known.
    ///
    /// # Errors
    /// [`SinkClosed`] when the sink's runtime has ended.
    pub fn settled(&self) -> impl Future<Output = Result<(), SinkClosed>> + Send + use<> {
        let (done, is_done) = oneshot::channel();
        let sent = self.send(Command::Settle(done));
        async move {
            sent?;
            is_done.await.map_err(|_| SinkClosed)
        }
    }

    /// Waits for the next event. Dropping the future loses nothing. `None` only when the sink's runtime
    /// has ended.
    pub async fn next(&mut self) -> Option<SinkEvent> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Says whether at least one broker is connected.
    pub fn is_connected(&self) -> bool {
        self.status.borrow().is_up()
    }

    /// Returns where each broker stands, to be read or waited on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            match ready!(self.batches.poll_recv(cx)) {
                Some(batch) => self.events = batch.into(),
                None => return Poll::Ready(None),
            }
        }
    }

    fn send(&self, command: Command) -> Result<(), SinkClosed> {
        self.commands.send(command).map_err(|_| SinkClosed)
    }
}

impl Stream for Sink {
    type Item = SinkEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        self.poll_event(cx)
    }
}

/// Configures a [`Sink`].
#[derive(Debug, Clone)]
pub struct SinkBuilder {
    brokers: Vec<String>,
    transport: Transport,
    topics: Result<Vec<Topic>, InvalidTopic>,
    tracked: usize,
    reconnect: ReconnectDelays,
}

impl Default for SinkBuilder {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            transport: Transport::default(),
            topics: Ok(Vec::new()),
            tracked: TRACKED,
            reconnect: ReconnectDelays::default(),
        }
    }
}

impl SinkBuilder {
    /// Adds the backend of a broker's bus, as [`ClientBuilder::broker`](crate::ClientBuilder::broker)
    /// does. All of them are joined.
    #[must_use]
    pub fn broker(mut self, backend: impl AsRef<str>) -> Self {
        self.brokers.push(backend.as_ref().to_owned());
        self
    }

    /// Adds several; see [`SinkBuilder::broker`].
    #[must_use]
    pub fn brokers<I>(mut self, backends: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let backends = backends
            .into_iter()
            .map(|endpoint| endpoint.as_ref().to_owned());
        self.brokers.extend(backends);
        self
    }

    /// Subscribes from the beginning; see [`Sink::subscribe`].
    #[must_use]
    pub fn subscribe(mut self, topic: impl AsRef<[u8]>) -> Self {
        self.topics = self.topics.and_then(|mut topics| {
            topics.push(Topic::new(topic)?);
            Ok(topics)
        });
        self
    }

    /// Chooses what carries the messages; [`Transport::Plantd`] by default.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Limits how many pairs of a source and a topic are counted; 65,536 by default, which take about
    /// 10 MB with topics of ordinary length. Of more than half of that many, those that were not
    /// heard for longest can be forgotten: their count then begins anew, and a loss across that is
    /// not seen.
    #[must_use]
    pub fn tracked(mut self, pairs: usize) -> Self {
        self.tracked = pairs;
        self
    }

    /// Sets the delays between attempts to reconnect: the first, doubled up to the longest, each
    /// shortened by chance by up to a half; 100 ms and 5 s by default.
    #[must_use]
    pub fn reconnect_delays(mut self, first: Duration, longest: Duration) -> Self {
        self.reconnect.first = first;
        self.reconnect.longest = longest;
        self
    }

    /// Creates the sink and begins to connect in the background. It closes when it is dropped.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no broker, or an endpoint or a topic is not usable.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time enabled.
    pub fn build(self) -> Result<Sink, ConfigError> {
        let brokers = BrokerList::parse(&self.brokers)?;
        let mut topics = TopicSet::default();
        for topic in self.topics.map_err(ConfigError::Topic)? {
            topics.add(topic.to_bytes());
        }
        let (uplinks, status) =
            Uplinks::new(brokers, self.transport, Role::Subscriber, self.reconnect);
        let (commands, receiver) = mpsc::unbounded_channel();
        let (reader, batches) = mpsc::channel(READ_AHEAD);
        let tracker = Tracker::new(self.tracked);
        tokio::spawn(Owner::new(uplinks, topics, tracker, reader).run(receiver));
        Ok(Sink {
            commands,
            batches,
            events: VecDeque::new(),
            status,
        })
    }
}

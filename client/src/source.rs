//! What publishes on a bus, and how it is configured.

mod burst;
mod draft;
mod error;
mod heading;
mod kept;
mod owner;
mod sequences;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use plantd_mdp::ReconnectDelays;
use plantd_zmtp::Message;
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    draft::Draft,
    kept::{Kept, Wanted},
    owner::{Command, Owner},
};
use crate::{
    Body, ConfigError, Status, Transport, brokers::BrokerList, link::Role, uplinks::Uplinks,
};

pub use burst::Burst;
pub use error::{PublishError, SourceClosed, Unconfirmed};
pub use heading::Heading;

/// The default of [`SourceBuilder::buffer`].
const BUFFER_BYTES: usize = 16 * 1024 * 1024;

/// Publishes on a bus, through one or more brokers.
///
/// Cheap to clone; all clones share the connections and the counts. Publishing never waits: what no
/// broker has read is kept, up to [`SourceBuilder::buffer`], and beyond it publishing is refused. So
/// what is published while no broker is connected is sent to the next one that is.
///
/// Everything published carries who published it, when, and as which of its topic, so that a
/// [`Sink`](crate::Sink) sees what it missed. Topics that nobody subscribes to are counted and not
/// sent; from a second after a broker has answered on, since its subscriptions come a little after it
/// is connected.
///
/// What was sent and not confirmed when a connection was lost is sent again over the next one. A
/// sink drops what it has had; a plain subscriber can get such publications twice.
///
/// A source counts 65,536 topics. With one more it begins anew under another
/// [`SourceId`](crate::SourceId), and a loss across that change is not seen.
#[derive(Debug, Clone)]
pub struct Source {
    commands: mpsc::UnboundedSender<Command>,
    kept_bytes: Arc<AtomicUsize>,
    limit_bytes: usize,
    /// What may be wanted of what is published; the rest is only counted. A topic that is subscribed to
    /// shows here before the task tells anybody that it is.
    wanted: watch::Receiver<Arc<Wanted>>,
    status: watch::Receiver<Status>,
}

impl Source {
    /// Creates a source for one broker's bus and begins to connect in the background.
    ///
    /// # Errors
    /// [`ConfigError`] when the endpoint cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time enabled.
    pub fn connect(frontend: impl AsRef<str>) -> Result<Self, ConfigError> {
        Self::builder().broker(frontend).build()
    }

    /// Begins to configure a source.
    pub fn builder() -> SourceBuilder {
        SourceBuilder::default()
    }

    /// Publishes a body on a topic. Never waits.
    ///
    /// # Errors
    /// [`PublishError`]; of them [`PublishError::Full`] passes when a broker is there again, and is not
    /// given where nobody subscribes to the topic.
    pub fn publish(
        &self,
        topic: impl AsRef<[u8]>,
        body: impl Into<Body>,
    ) -> Result<(), PublishError> {
        self.publication(topic, body).send()
    }

    /// Begins a publication with properties.
    pub fn publication(
        &self,
        topic: impl AsRef<[u8]>,
        body: impl Into<Body>,
    ) -> PublicationBuilder<'_> {
        PublicationBuilder {
            source: self,
            heading: Heading::new(topic),
            body: body.into(),
        }
    }

    /// Publishes what a function gives to the [`Burst`], in its order and with one time, for less than one
    /// by one: it is handed over and sent together, and a body need not be made where nobody subscribes
    /// to it. Never waits.
    ///
    /// ```no_run
    /// # fn example(source: &plantd_client::Source) -> Result<(), Box<dyn std::error::Error>> {
    /// use plantd_client::Heading;
    ///
    /// let heading = Heading::new("org.example.reading")?.content_type("text/plain")?;
    /// source.publish_all(|burst| {
    ///     for reading in [20.5, 20.7] {
    ///         burst.publish(&heading, reading.to_string())?;
    ///     }
    ///     Ok::<_, plantd_client::PublishError>(())
    /// })??;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Returns what the function does. Each publication is refused or taken by itself, as the burst says;
    /// those that were taken are published whatever is returned, and not if it panics.
    ///
    /// # Errors
    /// [`SourceClosed`] when a clone was closed, or the runtime has ended: nothing is published then.
    pub fn publish_all<T>(
        &self,
        publish: impl FnOnce(&mut Burst<'_>) -> T,
    ) -> Result<T, SourceClosed> {
        let mut burst = Burst::new(self, SystemTime::now());
        let returned = publish(&mut burst);
        burst.send()?;
        Ok(returned)
    }

    /// Waits until everything that was published before was read by every broker that is connected,
    /// and by one at least.
    ///
    /// Over [`Transport::Plantd`] a broker is asked what it has read, by a PING of ZMTP 3.1. A peer of
    /// ZMTP 3.0 cannot be asked: there it was written to the socket. Over the `zeromq` crate it was
    /// handed to the crate, which says no more. Whether sinks got it is not known: they know what
    /// they miss.
    ///
    /// There is no limit in time; see [`tokio::time::timeout`]. Dropping the future changes nothing.
    ///
    /// # Errors
    /// [`SourceClosed`] when a clone was closed, or the runtime has ended.
    pub async fn flush(&self) -> Result<(), SourceClosed> {
        let (done, is_done) = oneshot::channel();
        let sent = self.commands.send(Command::Flush(done));
        sent.map_err(|_| SourceClosed)?;
        is_done.await.map_err(|_| SourceClosed)
    }

    /// Says whether every broker that is connected, and one at least, has told that somebody subscribes to
    /// this topic: what is published on it from now on is sent to all of them.
    ///
    /// Over the `zeromq` crate it is not known, and said to be so while a broker is connected.
    ///
    /// # Errors
    /// [`SourceClosed`] when a clone was closed, or the runtime has ended.
    pub async fn is_subscribed(&self, topic: impl AsRef<[u8]>) -> Result<bool, SourceClosed> {
        let (answer, answered) = oneshot::channel();
        let topic = Bytes::copy_from_slice(topic.as_ref());
        let sent = self.commands.send(Command::IsSubscribed(topic, answer));
        sent.map_err(|_| SourceClosed)?;
        answered.await.map_err(|_| SourceClosed)
    }

    /// Closes the source and its clones: waits up to 2 s until what was published is read, as
    /// [`Source::flush`] does, then closes the connections.
    ///
    /// Dropping the last clone does the same in the background, as long as the runtime lives.
    ///
    /// # Errors
    /// [`Unconfirmed`] when something is not known to have been read.
    pub async fn close(self) -> Result<(), Unconfirmed> {
        let (done, is_done) = oneshot::channel();
        if self.commands.send(Command::Close(done)).is_err() {
            return Ok(());
        }
        is_done.await.unwrap_or(Ok(()))
    }

    /// The bytes that are kept until a broker has read them.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes.load(Ordering::Acquire)
    }

    /// Says whether at least one broker is connected.
    pub fn is_connected(&self) -> bool {
        self.status.borrow().is_up()
    }

    /// Returns where each broker stands, to be read or waited on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Takes room for this much; one larger publication may be kept alone.
    fn take_room(&self, bytes: usize) -> Result<(), PublishError> {
        let has_room = |kept: usize| kept == 0 || kept.saturating_add(bytes) <= self.limit_bytes;
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let taken = self.kept_bytes.fetch_update(set, fetch, |kept| {
            has_room(kept).then(|| kept.saturating_add(bytes))
        });
        match taken {
            Ok(_) => Ok(()),
            Err(kept_bytes) => Err(PublishError::Full {
                kept_bytes,
                limit_bytes: self.limit_bytes,
            }),
        }
    }

    fn give_back(&self, bytes: usize) {
        self.kept_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// A publication that has not been sent.
#[derive(Debug)]
#[must_use = "nothing is published before `send`"]
pub struct PublicationBuilder<'a> {
    source: &'a Source,
    heading: Result<Heading, PublishError>,
    body: Body,
}

impl PublicationBuilder<'_> {
    /// Says what the body is, such as `application/json`.
    pub fn content_type(self, value: impl AsRef<str>) -> Self {
        self.property("content-type", value)
    }

    /// Adds a property; one of the same name is replaced.
    ///
    /// Names are of `[a-z0-9.-]`. At most 24 properties, and 3,584 bytes of them, can be sent. What
    /// cannot shows in [`PublicationBuilder::send`].
    pub fn property(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.heading = self
            .heading
            .and_then(|heading| heading.property(name, value));
        self
    }

    /// Publishes it. Never waits.
    ///
    /// # Errors
    /// [`PublishError`]; of them [`PublishError::Full`] passes when a broker is there again.
    pub fn send(self) -> Result<(), PublishError> {
        let (source, heading) = (self.source, self.heading?);
        let checked = self.body.check_size();
        checked.map_err(|message| PublishError::TooLarge { message })?;
        let body = Message::from(self.body);
        let is_wanted = source.wanted.borrow().matches(heading.topic().as_bytes());
        let mut bytes = 0;
        if is_wanted {
            bytes = Draft::bytes_of(&heading, &body);
            source.take_room(bytes)?;
        }
        let mut draft = Draft::new(heading, is_wanted, BytesMut::new());
        match is_wanted {
            true => draft.push(SystemTime::now(), body, bytes),
            false => draft.skip(),
        }
        let sent = source.commands.send(Command::Publish(draft));
        sent.map_err(|_| PublishError::Closed)
    }
}

/// Configures a [`Source`].
#[derive(Debug, Clone)]
pub struct SourceBuilder {
    brokers: Vec<String>,
    transport: Transport,
    buffer_bytes: usize,
    reconnect: ReconnectDelays,
}

impl Default for SourceBuilder {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            transport: Transport::default(),
            buffer_bytes: BUFFER_BYTES,
            reconnect: ReconnectDelays::default(),
        }
    }
}

impl SourceBuilder {
    /// Adds the frontend of a broker's bus, as [`ClientBuilder::broker`](crate::ClientBuilder::broker)
    /// does. Everything is published to every broker that is connected.
    #[must_use]
    pub fn broker(mut self, frontend: impl AsRef<str>) -> Self {
        self.brokers.push(frontend.as_ref().to_owned());
        self
    }

    /// Adds several; see [`SourceBuilder::broker`].
    #[must_use]
    pub fn brokers<I>(mut self, frontends: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let frontends = frontends
            .into_iter()
            .map(|endpoint| endpoint.as_ref().to_owned());
        self.brokers.extend(frontends);
        self
    }

    /// Chooses what carries the messages; [`Transport::Plantd`] by default.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Limits the bytes that are kept until a broker has read them; 16 MiB by default. Each
    /// publication counts with 128 bytes beside its own.
    ///
    /// With several brokers, one that lags half of this behind another misses what the other has
    /// read: so a slow broker does not hold up a source that has a fast one.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
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

    /// Creates the source and begins to connect in the background.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no broker, or an endpoint is not usable.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time enabled.
    pub fn build(self) -> Result<Source, ConfigError> {
        let brokers = BrokerList::parse(&self.brokers)?;
        let (uplinks, status) =
            Uplinks::new(brokers, self.transport, Role::Publisher, self.reconnect);
        let (commands, receiver) = mpsc::unbounded_channel();
        let kept_bytes = Arc::new(AtomicUsize::new(0));
        let kept = Kept::new(self.buffer_bytes, self.transport.tells_subscriptions());
        let (told, wanted) = watch::channel(Arc::default());
        let owner = Owner::new(uplinks, kept, kept_bytes.clone(), told);
        tokio::spawn(owner.run(receiver));
        Ok(Source {
            commands,
            kept_bytes,
            limit_bytes: self.buffer_bytes,
            wanted,
            status,
        })
    }
}

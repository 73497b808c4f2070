//! How a worker is configured.

use std::time::Duration;

use plantd_mdp::{ServiceName, worker as machine};
use plantd_zmtp::Listener;
use tokio::sync::watch;

use super::{ListenerLimits, ListenerStatus, Worker};
use crate::{ConfigError, Status, Transport, brokers::BrokerList};

/// The shortest and the longest heartbeat interval that a broker agrees to.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(100);
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(60);
/// What is left of a header for name and version.
const MAX_NAME_BYTES: usize = 1024;

/// Configures a [`Worker`].
#[derive(Debug)]
pub struct WorkerBuilder {
    service: String,
    brokers: Vec<String>,
    transport: Transport,
    concurrency: usize,
    streams: u32,
    name: String,
    version: String,
    heartbeat: Duration,
    liveness: u32,
    drain_timeout: Duration,
    reconnect: plantd_mdp::ReconnectDelays,
    listeners: Vec<Listener>,
    listener_limits: ListenerLimits,
}

impl WorkerBuilder {
    pub(super) fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            brokers: Vec::new(),
            transport: Transport::default(),
            concurrency: 1,
            streams: 1024,
            name: String::new(),
            version: String::new(),
            heartbeat: Duration::from_secs(1),
            liveness: 3,
            drain_timeout: Duration::from_secs(10),
            reconnect: plantd_mdp::ReconnectDelays::default(),
            listeners: Vec::new(),
            listener_limits: ListenerLimits::default(),
        }
    }

    /// Adds a broker, as [`ClientBuilder::broker`](crate::ClientBuilder::broker) does.
    #[must_use]
    pub fn broker(mut self, endpoint: impl AsRef<str>) -> Self {
        self.brokers.push(endpoint.as_ref().to_owned());
        self
    }

    /// Adds several brokers.
    #[must_use]
    pub fn brokers<I>(mut self, endpoints: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let endpoints = endpoints
            .into_iter()
            .map(|endpoint| endpoint.as_ref().to_owned());
        self.brokers.extend(endpoints);
        self
    }

    /// Takes clients at a listener of its own, beside its brokers, of which there may then be none:
    /// one hop less than through a broker.
    ///
    /// To its clients it is a broker with this one service: all dialects of Majordomo, deadlines,
    /// cancelling, windows, typed errors, management and limits are a broker's. What asks for another
    /// service fails as `no-worker` at once, and who registers as a worker is sent DISCONNECT.
    /// [`concurrency`](Self::concurrency) is shared with the brokers' requests; what is beyond it waits
    /// here. Whoever can connect may ask.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use plantd_client::{Listener, Request, Worker};
    ///
    /// let listener = Listener::bind(&"tcp://127.0.0.1:9798".parse()?).await?;
    /// let worker = Worker::builder("org.example.Upper").listen(listener).build()?;
    /// let upper = |request: Request| async move { Ok(request.body().text()?.to_uppercase()) };
    /// worker.serve(upper, std::future::pending()).await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn listen(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Limits what the clients at its own listeners may take together.
    #[must_use]
    pub fn listener_limits(mut self, limits: ListenerLimits) -> Self {
        self.listener_limits = limits;
        self
    }

    /// Chooses what carries the messages of brokers; [`Transport::Plantd`] by default.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Limits how many handlers run at once, over all brokers: 1 (the default) to 4,096.
    ///
    /// Each broker is told so (`credit`) and holds what is beyond it. A handler that has begun to
    /// answer in parts to a client with a window does not count.
    #[must_use]
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers;
        self
    }

    /// Limits how many answers in parts may be under way at each broker: 1 to 65,536, by default
    /// 1,024.
    #[must_use]
    pub fn streams(mut self, most: u32) -> Self {
        self.streams = most;
        self
    }

    /// Names this worker in the broker's lists and logs.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Tells the broker the version of this worker, for its lists.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Sets the heartbeat interval, and how many of them a silent side is given: 1 s and 3 by
    /// default. The broker clamps them to 100 ms to 60 s and 2 to 20.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration, liveness: u32) -> Self {
        self.heartbeat = interval;
        self.liveness = liveness;
        self
    }

    /// Limits how long a shutdown waits for handlers; 10 s by default.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
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

    /// Creates the worker. Nothing is connected before [`Worker::serve`].
    ///
    /// # Errors
    /// [`ConfigError`] when there is neither a broker nor a listener, or a name, an endpoint or a number is not usable.
    pub fn build(self) -> Result<Worker, ConfigError> {
        let service = ServiceName::for_worker(&self.service);
        let service = service.map_err(|source| ConfigError::Service {
            service: self.service.clone(),
            source,
        })?;
        let out_of_range = |option, expected| ConfigError::OutOfRange { option, expected };
        let credit = u32::try_from(self.concurrency).unwrap_or(u32::MAX);
        if !(1..=4096).contains(&credit) {
            return Err(out_of_range("concurrency", "give 1 to 4096"));
        }
        if !(1..=65_536).contains(&self.streams) {
            return Err(out_of_range("streams", "give 1 to 65536"));
        }
        if self.name.len() + self.version.len() > MAX_NAME_BYTES {
            return Err(out_of_range("name and version", "give at most 1024 bytes"));
        }
        let terms = machine::Terms {
            credit,
            streams: self.streams,
            heartbeat: self.heartbeat.clamp(SHORTEST_HEARTBEAT, LONGEST_HEARTBEAT),
            liveness: self.liveness.clamp(2, 20),
        };
        let brokers = match self.brokers.is_empty() && !self.listeners.is_empty() {
            true => BrokerList::none(),
            false => BrokerList::parse(&self.brokers)?,
        };
        let endpoints = self.listeners.iter().map(|it| it.endpoint().clone());
        let listener_status = ListenerStatus::new(endpoints.collect());
        Ok(Worker {
            brokers,
            transport: self.transport,
            concurrency: self.concurrency,
            drain_timeout: self.drain_timeout,
            config: machine::Config {
                service,
                name: self.name,
                version: self.version,
                offer: terms,
                reconnect: self.reconnect,
            },
            status: watch::Sender::new(Status::default()),
            listeners: self.listeners,
            listener_limits: self.listener_limits,
            listener_status: watch::Sender::new(listener_status),
        })
    }
}

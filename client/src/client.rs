//! The handle that asks services, and how it is configured.

mod asker;
mod mmi;
mod owner;
mod request;
mod stream;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use plantd_mdp::client as machine;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::{Body, ConfigError, RequestError, Status, Transport, brokers::BrokerList};

pub use mmi::MmiReply;
pub use request::RequestBuilder;
pub use stream::{Part, ReplyStream};

/// What one unit of [`Shared::body_budget`] stands for.
const BUDGET_UNIT_BYTES: usize = 1024;

/// Asks services through one or more brokers.
///
/// Cheap to clone; all clones share the connections, which close when the last one and its last
/// request are dropped. Any number of requests may be in flight from any number of tasks; beyond
/// [`ClientBuilder::max_unanswered`] and [`ClientBuilder::max_unanswered_bytes`] they wait for
/// others to end, within their own timeout.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What the clones of a client share.
#[derive(Debug)]
struct Shared {
    commands: mpsc::UnboundedSender<owner::Command>,
    next_id: AtomicU64,
    default_timeout: Option<Duration>,
    max_body_units: u32,
    request_budget: Arc<Semaphore>,
    body_budget: Arc<Semaphore>,
    status: watch::Receiver<Status>,
}

impl Client {
    /// Creates a client of one broker and begins to connect in the background.
    ///
    /// `broker` is `tcp://host:port` or `ipc://path`; see [`ClientBuilder::broker`]. A broker that
    /// is not there is no error here: requests wait for it, and [`Client::connected`] tells.
    ///
    /// # Errors
    /// [`ConfigError`] when the endpoint cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time enabled.
    pub fn connect(broker: impl AsRef<str>) -> Result<Self, ConfigError> {
        Self::builder().broker(broker).connect()
    }

    /// Begins to configure a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Begins a request to a service; it is sent when the builder is awaited.
    ///
    /// # Errors
    /// A name that is none shows when the request is awaited.
    pub fn request(&self, service: impl AsRef<str>, body: impl Into<Body>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), service.as_ref(), body.into())
    }

    /// Asks a broker about itself (RFC 8): `services` asks `mmi.services`.
    ///
    /// Of several brokers any one answers.
    ///
    /// # Errors
    /// As any request, and [`RequestError::InvalidReply`] when the answer has no status.
    pub async fn mmi(
        &self,
        subject: &str,
        argument: Option<&str>,
    ) -> Result<MmiReply, RequestError> {
        mmi::ask(self, subject, argument).await
    }

    /// Says whether at least one broker is connected.
    pub fn is_connected(&self) -> bool {
        self.shared.status.borrow().is_up()
    }

    /// Waits until at least one broker is connected, for as long as it takes.
    ///
    /// # Errors
    /// [`RequestError::Closed`] when the client's runtime has ended.
    pub async fn connected(&self) -> Result<(), RequestError> {
        let mut status = self.shared.status.clone();
        match status.wait_for(Status::is_up).await {
            Ok(_) => Ok(()),
            Err(_) => Err(RequestError::Closed),
        }
    }

    /// Returns where each broker stands, to be read or waited on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.status.clone()
    }
}

/// Configures a [`Client`].
#[derive(Debug, Clone, Default)]
pub struct ClientBuilder {
    brokers: Vec<String>,
    transport: Transport,
    default_timeout: Option<Duration>,
    limits: machine::Config,
}

impl ClientBuilder {
    /// Adds a broker: `tcp://host:port` or `ipc://path`.
    ///
    /// A name with several addresses stands for that many equal brokers. The name is looked up
    /// again every 30 seconds and when a broker is lost. Of a name with IPv4 and IPv6 addresses one
    /// family is used, that with more addresses; a name with one of each is one broker.
    #[must_use]
    pub fn broker(mut self, endpoint: impl AsRef<str>) -> Self {
        self.brokers.push(endpoint.as_ref().to_owned());
        self
    }

    /// Adds several brokers; see [`ClientBuilder::broker`].
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

    /// Chooses what carries the messages; [`Transport::Plantd`] by default.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Limits the time of requests that set no timeout of their own; none by default.
    #[must_use]
    pub fn default_timeout(mut self, timeout: Duration) -> Self {
        self.default_timeout = Some(timeout);
        self
    }

    /// Limits how long a request without a timeout waits for a connection; 5 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.limits.connect_timeout = timeout;
        self
    }

    /// Limits the requests that are unanswered at once; 4,096 by default, which is also what a
    /// broker takes from one client by default.
    #[must_use]
    pub fn max_unanswered(mut self, requests: usize) -> Self {
        self.limits.max_requests = requests;
        self
    }

    /// Limits the bytes of the bodies of unanswered requests; 8 MiB by default, half of what a
    /// broker takes from one client. One larger request goes alone.
    #[must_use]
    pub fn max_unanswered_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_request_bytes = bytes;
        self
    }

    /// Limits the bytes of parts that wait for their reader, for each request; 16 MiB by default.
    /// Beyond it the request ends with [`RequestError::TooLarge`].
    #[must_use]
    pub fn max_unread_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_unread_bytes = bytes;
        self
    }

    /// Sets the delays between attempts to reconnect: the first, doubled up to the longest, each
    /// shortened by chance by up to a half; 100 ms and 5 s by default.
    #[must_use]
    pub fn reconnect_delays(mut self, first: Duration, longest: Duration) -> Self {
        self.limits.reconnect.first = first;
        self.limits.reconnect.longest = longest;
        self
    }

    /// Creates the client and begins to connect in the background.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no broker, or an endpoint or a number is not usable.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time enabled.
    pub fn connect(self) -> Result<Client, ConfigError> {
        let brokers = BrokerList::parse(&self.brokers)?;
        let max_requests = in_range(
            "max_unanswered",
            self.limits.max_requests,
            Semaphore::MAX_PERMITS,
        )?;
        let max_body_units = in_range(
            "max_unanswered_bytes",
            self.limits.max_request_bytes.div_ceil(BUDGET_UNIT_BYTES),
            Semaphore::MAX_PERMITS.min(u32::MAX as usize),
        )?;
        let mut limits = self.limits;
        limits.max_request_bytes = max_body_units * BUDGET_UNIT_BYTES;
        let (commands, receiver) = mpsc::unbounded_channel();
        let status = owner::spawn(brokers, self.transport, limits, receiver);
        let shared = Shared {
            commands,
            next_id: AtomicU64::new(1),
            default_timeout: self.default_timeout,
            max_body_units: max_body_units as u32,
            request_budget: Arc::new(Semaphore::new(max_requests)),
            body_budget: Arc::new(Semaphore::new(max_body_units)),
            status,
        };
        Ok(Client {
            shared: Arc::new(shared),
        })
    }
}

fn in_range(option: &'static str, value: usize, most: usize) -> Result<usize, ConfigError> {
    if (1..=most).contains(&value) {
        Ok(value)
    } else {
        Err(ConfigError::OutOfRange {
            option,
            expected: "give at least 1, and less than 2^60",
        })
    }
}

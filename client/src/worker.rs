//! What answers for a service, and how it is configured.

mod answering;
mod error;
mod held;
mod listener;
mod listening;
mod pledge;
mod registration;
mod request;
mod server;

use std::{future::Future, panic, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use plantd_mdp::{ServiceName, worker as machine};
use plantd_zmtp::Listener;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tracing::Instrument as _;

use crate::{ConfigError, Reply, Status, Transport, brokers::BrokerList};

pub use answering::Answering;
use answering::Waiting;
pub use error::WorkerError;
pub use listener::{ListenerLimits, ListenerStatus};
pub use pledge::Pledge;
pub use request::{NobodyWaits, Partials, Request};
use server::Server;

/// The shortest and the longest heartbeat interval that a broker agrees to.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(100);
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(60);
/// What is left of a header for name and version.
const MAX_NAME_BYTES: usize = 1024;

/// What a worker does with a request.
enum Answer {
    /// In a task of its own.
    Tasks(Arc<dyn Fn(Request) -> Waiting + Send + Sync>),
    /// On the task that owns the connections.
    InPlace(Box<dyn Fn(Request) -> Answering + Send + Sync>),
}

/// How a handler ends.
type Outcome = Result<Reply, WorkerError>;

/// Answers for a service at brokers, at endpoints of its own, or both.
///
/// It registers at each broker, and again after a connection was lost. Where it listens itself, clients
/// of any dialect of Majordomo ask it as they would ask a broker, and nobody else can register there;
/// see [`WorkerBuilder::listen`]. Made by [`Worker::builder`], run by [`Worker::serve`].
#[derive(Debug)]
pub struct Worker {
    brokers: BrokerList,
    transport: Transport,
    concurrency: usize,
    drain_timeout: Duration,
    config: machine::Config,
    status: watch::Sender<Status>,
    listeners: Vec<Listener>,
    listener_limits: ListenerLimits,
    listener_status: watch::Sender<ListenerStatus>,
}

/// Says how a worker's service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Everything that it held was answered.
    Drained,
    /// The drain timeout passed first; what it held was given back with an error that lets the
    /// broker try another worker.
    TimedOut {
        /// How many requests were not finished.
        unfinished: usize,
    },
}

impl Worker {
    /// Begins to configure a worker of a service.
    pub fn builder(service: impl AsRef<str>) -> WorkerBuilder {
        WorkerBuilder::new(service.as_ref())
    }

    /// Returns where the worker is registered, to be read or waited on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Returns how the worker's own listeners are, to be read or waited on.
    pub fn listener_status(&self) -> watch::Receiver<ListenerStatus> {
        self.listener_status.subscribe()
    }

    /// Serves until `shutdown` is done, then finishes what it holds and leaves.
    ///
    /// `handler` is called for each request, in a task of its own (but see
    /// [`serve_in_place`](Self::serve_in_place)), at most
    /// [`concurrency`](WorkerBuilder::concurrency) at once. What it returns is the answer or the end
    /// of it; parts before it go through [`Request::partials`]. An error goes to the client as
    /// [`RequestError::WorkerError`](crate::RequestError::WorkerError). A handler that panics
    /// answers with the code `panic`, and the worker goes on.
    ///
    /// **Cancellation**: when nobody waits for the answer any more (the client gave the request up,
    /// its deadline passed, or the connection was lost and the broker gives it to another worker)
    /// the handler's future is dropped at its next `await`. What must be finished once it is begun
    /// belongs in a task that the handler spawns and awaits.
    ///
    /// On shutdown the worker takes no new requests, waits for its handlers up to
    /// [`drain_timeout`](WorkerBuilder::drain_timeout), and says goodbye to its brokers. Its own clients
    /// are answered what they had asked, what they ask then fails as `draining`, and their connections
    /// end when that is written. Dropping the returned future instead drops the handlers and closes the
    /// connections at once.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time enabled.
    pub async fn serve<H, F, R>(self, handler: H, shutdown: impl Future<Output = ()>) -> Served
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R, WorkerError>> + Send + 'static,
        R: Into<Reply>,
    {
        let answer = move |request| -> Waiting {
            let answer = handler(request);
            Box::pin(answer.map(|outcome| outcome.map(Into::into)))
        };
        self.run(Answer::Tasks(Arc::new(answer)), shutdown).await
    }

    /// Serves as [`serve`](Self::serve) does, with handlers that run on the worker's own task, beside each other
    /// and never at the same moment: an answer that needs no waiting costs no task and no future, and one that
    /// somebody else gives costs neither.
    ///
    /// `handler` returns an answer, a future that has it, or a [pledge](Request::pledge) of whoever will answer; of
    /// the last two at most [`concurrency`](WorkerBuilder::concurrency) are open at once. It must neither block nor
    /// compute for long, and no more may such a future: meanwhile the worker does nothing else, heartbeats included. What
    /// takes longer belongs in a task that they spawn. A request that is kept for longer than the handler runs is
    /// [copied out](Request::into_held) of the buffer that it came in.
    ///
    /// **Cancellation**: a future is dropped; a pledge may be kept all the same, which nobody hears of.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{sync::mpsc, thread};
    ///
    /// use plantd_client::{Answering, Pledge, Request, Worker, WorkerError};
    ///
    /// let (sender, owed) = mpsc::channel::<(Request, Pledge)>();
    /// thread::spawn(move || {
    ///     for (request, pledge) in owed {
    ///         pledge.answer(Ok(request.into_body()));
    ///     }
    /// });
    /// let handler = move |request: Request| {
    ///     if request.body().len_bytes() == 0 {
    ///         return Answering::now(Err::<&str, _>(WorkerError::new("bad-request", "it is empty")));
    ///     }
    ///     let (pledge, answering) = request.pledge();
    ///     // A pledge that comes back is dropped, which is an error for the client.
    ///     let _ = sender.send((request.into_held(), pledge));
    ///     answering
    /// };
    /// let worker = Worker::builder("org.example.Echo").broker("tcp://127.0.0.1:9797").build()?;
    /// worker.serve_in_place(handler, std::future::pending()).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time enabled.
    pub async fn serve_in_place<H>(self, handler: H, shutdown: impl Future<Output = ()>) -> Served
    where
        H: Fn(Request) -> Answering + Send + Sync + 'static,
    {
        self.run(Answer::InPlace(Box::new(handler)), shutdown).await
    }

    async fn run(self, answer: Answer, shutdown: impl Future<Output = ()>) -> Served {
        let server = Server::new(self, answer);
        // A task of its own, which shares threads with its connections and its handlers: whoever
        // awaits may be a thread beside the runtime's, to be woken by each message.
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            if stopped.await.is_err() {
                std::future::pending().await
            }
        };
        let mut serving = JoinSet::new();
        serving.spawn(server.run(stopped).in_current_span());
        let ended = async {
            match serving.join_next().await {
                Some(Ok(served)) => served,
                Some(Err(error)) => panic::resume_unwind(error.into_panic()),
                None => std::future::pending().await,
            }
        };
        let mut ended = pin!(ended);
        tokio::select! {
            served = ended.as_mut() => served,
            () = shutdown => {
                // A loop that has ended needs no word.
                let _ = stop.send(());
                ended.await
            }
        }
    }
}

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
    fn new(service: &str) -> Self {
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

//! What answers for a service.

mod answering;
mod builder;
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
use plantd_mdp::worker as machine;
use plantd_zmtp::Listener;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tracing::Instrument as _;

use crate::{Reply, Status, Transport, brokers::BrokerList};

pub use answering::Answering;
use answering::Waiting;
pub use builder::WorkerBuilder;
pub use error::WorkerError;
pub use listener::{ListenerLimits, ListenerStatus};
pub use pledge::Pledge;
pub use request::{NobodyWaits, Partials, Request};
use server::Server;

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

//! A worker of the library that serves in the background.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use plantd_client::{
    Answering, Body, Reply, Request, Served, Status, Transport, Worker, WorkerBuilder, WorkerError,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// A worker that serves until it is told to stop; dropped, it is gone without a word.
pub(crate) struct Serving {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Served>,
    status: watch::Receiver<Status>,
}

/// Done when the worker is told to stop.
type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A worker that reconnects soon.
pub(crate) fn worker(transport: Transport, service: &str, brokers: &[&str]) -> WorkerBuilder {
    let soon = Duration::from_millis(50);
    let worker = Worker::builder(service)
        .brokers(brokers)
        .transport(transport);
    worker.reconnect_delays(soon, 4 * soon)
}

/// Answers a body with the same body.
pub(crate) async fn echo(request: Request) -> Result<Body, WorkerError> {
    Ok(request.into_body())
}

impl Serving {
    /// Serves, and waits until it is registered at every broker.
    pub(crate) async fn start<H, F, R>(worker: WorkerBuilder, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R, WorkerError>> + Send + 'static,
        R: Into<Reply> + Send + 'static,
    {
        let serve = |worker: Worker, stopped| worker.serve(handler, stopped);
        Self::start_by(worker, serve).await
    }

    /// The same with a handler that runs in place.
    pub(crate) async fn start_in_place<H>(worker: WorkerBuilder, handler: H) -> Self
    where
        H: Fn(Request) -> Answering + Send + Sync + 'static,
    {
        let serve = |worker: Worker, stopped| worker.serve_in_place(handler, stopped);
        Self::start_by(worker, serve).await
    }

    async fn start_by<S>(
        worker: WorkerBuilder,
        serve: impl FnOnce(Worker, Stopped) -> S + Send + 'static,
    ) -> Self
    where
        S: Future<Output = Served> + Send + 'static,
    {
        let worker = worker.build().unwrap();
        let status = worker.status();
        let (stop, stopped) = oneshot::channel();
        let stopped: Stopped = Box::pin(async {
            // Who drops the other end wants no drain; the task is aborted then.
            let _ = stopped.await;
        });
        let task = tokio::spawn(serve(worker, stopped));
        let mut serving = Self {
            stop: Some(stop),
            task,
            status,
        };
        serving.registered().await;
        serving
    }

    /// Waits until it is registered at every broker.
    pub(crate) async fn registered(&mut self) {
        let everywhere = |status: &Status| {
            !status.brokers.is_empty() && status.brokers.iter().all(|broker| broker.is_up)
        };
        self.status.wait_for(everywhere).await.unwrap();
    }

    /// Waits until it is registered nowhere.
    pub(crate) async fn lost(&mut self) {
        self.status
            .wait_for(|status| !status.is_up())
            .await
            .unwrap();
    }

    /// Drains.
    pub(crate) async fn stop(mut self) -> Served {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.task).await.unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells when it is dropped, as a handler is that nobody waits for.
pub(crate) struct Dropped(pub(crate) mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        // A test that is over wants to know no more.
        let _ = self.0.send(());
    }
}

//! How requests come and answers go: the worker of the service, at brokers and at endpoints of its own.

use std::thread;

use anyhow::{Context as _, bail};
use plantd_client::{Answering, Endpoint, Reply, Request, Served, Status, Worker, WorkerError};
use plantd_daemon::Daemon;
use plantd_daemon::config::{OneOrMore, Settings as _};
use tokio::runtime;
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span};

use crate::config::{Config, Role};
use crate::listener;

/// Answers requests, each in a task of its own, until the daemon is asked to stop.
pub(crate) async fn serve<F>(
    config: &Config,
    daemon: &Daemon,
    answer: impl Fn(Request) -> F + Send + Sync + 'static,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<Reply, WorkerError>> + Send + 'static,
{
    let worker = begin(config, daemon).await?;
    let stop = daemon.shutdown.clone();
    let stop = async move { stop.requested().await };
    end(worker.serve(answer, stop).await)
}

/// Answers requests on the task that has the connections.
async fn serve_in_place(
    config: &Config,
    daemon: &Daemon,
    answer: impl Fn(Request) -> Answering + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let worker = begin(config, daemon).await?;
    let stop = daemon.shutdown.clone();
    let stop = async move { stop.requested().await };
    end(worker.serve_in_place(answer, stop).await)
}

/// The worker, and what is shown of it.
async fn begin(config: &Config, daemon: &Daemon) -> anyhow::Result<Worker> {
    let service_name = config.served_service();
    let brokers = config.broker_endpoint.iter().flat_map(OneOrMore::iter);
    let mut worker = Worker::builder(&service_name)
        .brokers(brokers.map(Endpoint::to_string))
        .listener_limits(config.to_listener_limits())
        .concurrency(config.concurrency)
        .streams(u32::try_from(config.limits.watches).unwrap_or(u32::MAX))
        .name(Config::NAME)
        .version(plantd_daemon::VERSION)
        // Early enough for what is given back to be written before the process ends.
        .drain_timeout(config.shared.shutdown_timeout.duration().mul_f64(0.8));
    for endpoint in config.endpoint.iter().flat_map(OneOrMore::iter) {
        worker = worker.listen(listener::bind(endpoint).await?);
    }
    let worker = worker.build().context("configure the worker")?;
    if config.broker_endpoint.is_some() {
        let check = daemon.health.check("broker_connection");
        let following = check.follow(worker.status(), Status::health);
        tokio::spawn(following.in_current_span());
    }
    if config.endpoint.is_some() {
        listener::show(worker.listener_status(), daemon);
    }
    daemon.health.started();
    let database = (config.role == Role::Store).then(|| config.db.display().to_string());
    tracing::info!(
        context = "worker.started",
        service_name,
        database,
        "serving"
    );
    Ok(worker)
}

fn end(served: Served) -> anyhow::Result<()> {
    match served {
        Served::Drained => {
            tracing::info!(
                context = "worker.stopped",
                "every request that was taken is answered"
            );
            Ok(())
        }
        Served::TimedOut { unfinished } => {
            bail!("{unfinished} requests were not finished and are given to another worker")
        }
    }
}

/// Answers requests on a thread of their own: what is answered from memory, or waits for the writer, never
/// changes the thread. What is to be done beside it there goes on until it ends. Dropped, it closes the connections
/// at once.
pub(crate) async fn serve_on_a_thread(
    config: &Config,
    daemon: &Daemon,
    answer: impl Fn(Request) -> Answering + Send + Sync + 'static,
    beside: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let (config, daemon, span) = (config.clone(), daemon.clone(), Span::current());
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime of the connections")?;
    // Dropped with this future.
    let (_held, dropped) = oneshot::channel::<()>();
    let (end, ended) = oneshot::channel();
    thread::Builder::new()
        .name("connections".to_owned())
        .spawn(move || {
            let served = runtime.block_on(async {
                tokio::spawn(beside.instrument(span.clone()));
                tokio::select! {
                    served = serve_in_place(&config, &daemon, answer).instrument(span) => served,
                    _ = dropped => Ok(()),
                }
            });
            // With it go the connections.
            drop(runtime);
            // Who no longer waits for the end does not need to know of it.
            let _ = end.send(served);
        })
        .context("start the thread of the connections")?;
    ended.await.context("the thread of the connections ended")?
}

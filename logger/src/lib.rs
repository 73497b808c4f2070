//! Stores what the metric bus carries in PostgreSQL or TimescaleDB.
//!
//! Messages go one way: `intake` reads them off the bus and makes batches of metrics, `spool`
//! keeps the batches on disk, `writer` stores them in the database, each once. So there is nothing
//! to switch over when the database goes away and comes back.

mod batch;
mod config;
mod database;
mod day;
mod intake;
mod metric;
mod metrics;
mod spool;
mod writer;

use anyhow::Context as _;
use plantd_client::{Sink, Status};
use plantd_daemon::Daemon;
use plantd_daemon::logs::Throttle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::Instrument as _;

use batch::OpenBatch;
use intake::Intake;
use metrics::Published;
use spool::{Ended, Run, Spool};
use writer::Writer;

pub use config::{Config, Database, Prefix};
pub use metric::Reason;
pub use plantd_client::{Endpoint, Transport};

/// Stores until the daemon is asked to stop. What is not in the database by then is in the spool.
///
/// # Errors
/// When the spool cannot be used, or the database has tables that this logger must leave alone.
pub async fn run(config: Config, daemon: Daemon) -> anyhow::Result<()> {
    let published = Published::register(&daemon.metrics);
    let retention = config.retention.map(Into::into);
    let spool = open_spool(&config).await?;
    let check = daemon.health.check("spool");
    let (spool, spool_ended) =
        spool::start(spool, check, published.clone()).context("start the thread of the spool")?;
    let pool = database::pool(&config.database);
    let check = daemon.health.check("database_connection");
    tokio::spawn(writer::watch_database(pool.clone(), check).in_current_span());
    let writer = Writer {
        pool,
        spool: spool.clone(),
        retention,
        published: published.clone(),
        check: daemon.health.check("storing"),
        layout: None,
        is_failing: false,
    };
    let sink = sink(&config)?;
    let check = daemon.health.check("bus_connection");
    tokio::spawn(check.follow(sink.status(), bus_health).in_current_span());
    let intake = Intake {
        retention,
        batch_metrics: config.batch_metrics,
        batch_interval: config.batch_interval.into(),
        spool: spool.clone(),
        published,
        open: OpenBatch::default(),
        throttle: Throttle::per_second(),
    };
    daemon.health.started();
    tracing::info!(
        context = "logger.started",
        database = %config.database,
        spool = %config.spool_directory.display(),
        "storing metrics"
    );

    let mut writer = Box::pin(writer.run());
    tokio::select! {
        ended = &mut writer => return ended.context("database"),
        () = intake.run(sink, daemon.shutdown.requested()) => {}
    }
    spool.finish().await;
    drop(spool);
    // Early enough for what is left to be synced before the process ends.
    let drain = config.shared.shutdown_timeout.duration().mul_f64(0.8);
    if let Ok(ended) = timeout(drain, writer).await {
        ended.context("database")?;
    }
    ended(spool_ended).await
}

async fn open_spool(config: &Config) -> anyhow::Result<Spool> {
    let (directory, limit) = (config.spool_directory.clone(), config.spool_limit.bytes());
    // What was left there is read and checked, which can take a while.
    let opening = move || Spool::open(&directory, limit, Run(rand::random()));
    let span = tracing::Span::current();
    let spool = spawn_blocking(move || span.in_scope(opening)).await??;
    let waiting = spool.waiting();
    if waiting.metrics > 0 {
        tracing::info!(
            context = "spool.found",
            metrics = waiting.metrics,
            bytes = waiting.bytes,
            "metrics of an earlier run wait in the spool"
        );
    }
    Ok(spool)
}

fn sink(config: &Config) -> anyhow::Result<Sink> {
    let buses = config.bus_endpoint.iter().map(Endpoint::to_string);
    let sink = Sink::builder().brokers(buses).transport(config.transport);
    let topics = config.topics.iter();
    let sink = topics.fold(sink, |sink, topic| sink.subscribe(topic.to_string()));
    sink.build().context("configure the subscription")
}

/// Waits for the spool to be closed, and tells what is left in it.
async fn ended(spool: Ended) -> anyhow::Result<()> {
    let joined = spawn_blocking(|| spool.join()).await?;
    let closed = joined.map_err(|_| anyhow::anyhow!("the thread of the spool panicked"))?;
    let waiting = closed.context("close the spool")?;
    tracing::info!(
        context = "logger.stopped",
        spooled = waiting.metrics,
        "what was heard is stored, or in the spool for the next start"
    );
    Ok(())
}

/// What is known of the buses.
fn bus_health(status: &Status) -> Result<Option<String>, String> {
    if status.brokers.is_empty() {
        return Err("no bus is known yet".to_owned());
    }
    status.health()
}

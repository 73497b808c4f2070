//! The state service as a daemon: values by scope and key, on SQLite.
//!
//! [`run`] takes the lock of the database, opens the store, registers as a worker of
//! `org.plantd.State` and answers. `docs/protocol.md` says what may be asked; the file `store.rs`
//! says how it is kept.
//!
//! A request is parsed once (`request`), becomes a write for the one thread that writes, or a read
//! on a connection beside it, and is answered in JSON that is written by hand, since values go out as
//! the text that they came in as. Whether it came by a broker or to an endpoint of the daemon's own is
//! the worker's to know.

mod backups;
mod config;
mod listener;
mod metrics;
mod names;
mod publish;
mod refusal;
mod reply;
mod request;
mod router;
mod service;
mod serving;
mod shards;
mod store;
mod value;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use plantd_client::Status;
use plantd_daemon::Daemon;
use plantd_daemon::health::Check;
use plantd_daemon::shutdown::Shutdown;
use tokio::task::JoinSet;
use tokio::time::interval;
use tracing::Instrument as _;

pub use backups::{BackupError, Made, Step, restore};
pub use config::{BackupKeys, CheckLevel, Config, HistoryKeys, LimitKeys, Role};
pub use plantd_client::Endpoint;
pub use refusal::{Code, Refusal};
pub use shards::ShareKeys;
pub use store::{Fault, OpenError};

use backups::Backups;
use metrics::Published;
use publish::Publisher;
use service::{LOOK, Place, Service};
use serving::serve_on_a_thread;
use store::{Lock, Shared, Store};

/// Scopes that are named where there may be many.
const SHOWN: usize = 20;

/// Serves until the daemon is asked to stop and every request that was taken is answered.
///
/// # Errors
/// When the store cannot be opened or trusted, the disk does not keep what is written, or requests
/// could not be finished in the time of `shutdown_timeout`.
pub async fn run(config: Config, daemon: Daemon) -> anyhow::Result<()> {
    match config.role {
        Role::Store => run_store(config, daemon).await,
        Role::Router => router::run(config, daemon).await,
    }
}

/// Serves a store. Waits for the lock of the database first, as long as another daemon has it.
async fn run_store(config: Config, daemon: Daemon) -> anyhow::Result<()> {
    let folder = config::folder_of(&config.db);
    fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    let check = daemon.health.check("store");
    let Some(lock) = take_lock(&config, &daemon, &check).await? else {
        return Ok(());
    };
    if let Some(manifest) = &config.restore_from {
        begin_with(manifest.clone(), config.db.clone()).await?;
    }
    let metrics = Published::register(&daemon.metrics);
    let pulse = daemon.health.pulse("writer", clock());
    let (publisher, announcements) = match &config.bus_endpoint {
        Some(bus) => {
            let own = config.to_own()?;
            let started = Publisher::start(bus.iter(), own, metrics.clone());
            let (publisher, sender) = started.context("publish on the state bus")?;
            let check = daemon.health.check("bus_connection");
            let status = publisher.source().status();
            tokio::spawn(check.follow(status, bus_health).in_current_span());
            (Some(publisher), Some(sender))
        }
        None => (None, None),
    };
    let shared = Shared::new(metrics.clone(), check.clone(), pulse);
    let shared = Arc::new(shared);
    let options = config.to_options();
    let opening =
        tokio::task::spawn_blocking(move || Store::open(lock, &options, shared, announcements));
    let mut store = opening
        .await
        .context("open the store")?
        .with_context(|| format!("open the store {}", config.db.display()))?;
    let (ended, answers) = (store.ended(), store.answers());
    let store = Arc::new(store);
    let _closing = Closing(store.clone());
    if config.check == CheckLevel::Full {
        let (store, stop) = (store.clone(), daemon.shutdown.clone());
        let checking = move || store.check(&mut |_, _| !stop.is_requested());
        let checked = tokio::task::spawn_blocking(checking);
        checked
            .await
            .context("check the store")?
            .context("check the store")?;
    }
    check.up();
    let mut beside = JoinSet::new();
    let checking = keep_checking(store.clone(), config.clone(), daemon.shutdown.clone());
    beside.spawn(checking.in_current_span());
    let place = take_place(&config, &store, &daemon).await?;
    let service = Service::new(
        store.clone(),
        metrics,
        config.to_limits(),
        Backups::new(config.to_backup_folder()),
        config.limits.watches,
        place,
        daemon.shutdown.clone(),
    );
    let service = match &publisher {
        Some(publisher) => service.publishing_with(publisher.source().clone()),
        None => service,
    };
    let backing_up = service
        .clone()
        .keep_backing_up(config.backup.interval.into(), config.backup.keep);
    beside.spawn(backing_up.in_current_span());
    let telling = {
        let service = service.clone();
        async move {
            if let Some(answers) = answers {
                service.tell_written(answers).await;
            }
        }
    };
    let answer = move |request| service.answer(request);
    let served = tokio::select! {
        served = serve_on_a_thread(&config, &daemon, answer, telling) => served,
        ended = ended => match ended {
            Ok(()) => Err(anyhow::anyhow!("the writer ended by itself")),
            Err(error) => Err(error.into()),
        },
    };
    beside.abort_all();
    // Brings the rest to the disk and closes.
    tokio::task::spawn_blocking(move || store.close())
        .await
        .context("close the store")?;
    if let Some(publisher) = publisher {
        publisher.close().await;
    }
    served
}

/// Ends the writer when who serves the store is dropped, however many still hold on to the store.
struct Closing(Arc<Store>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.shared().close();
    }
}

/// Puts a backup in the place of a database that is not there.
async fn begin_with(manifest: PathBuf, database: PathBuf) -> anyhow::Result<()> {
    let restoring = move || backups::restore_once(&manifest, &database, &mut |_, _, _| true);
    let restoring = tokio::task::spawn_blocking(restoring);
    let restored = restoring.await.context("restore a backup")?;
    match restored.context("restore a backup")? {
        Some(made) => tracing::info!(
            context = "state.restored",
            backup = made.name,
            scopes = made.scopes,
            keys = made.keys,
            "a backup is restored"
        ),
        None => tracing::info!(context = "state.restored", "it was restored before"),
    }
    Ok(())
}

/// Finds out which scopes are served, and tells of those that the store holds and that are not.
async fn take_place(config: &Config, store: &Arc<Store>, daemon: &Daemon) -> anyhow::Result<Place> {
    let own = config.to_own()?;
    let check = own.as_ref().map(|_| daemon.health.check("shard"));
    let mut place = Place::new(config.served_service(), own);
    let store = store.clone();
    let looking = tokio::task::spawn_blocking(move || {
        let outside = store.read(|reader| place.find_outside(reader));
        outside.map(|outside| (place, outside))
    });
    let (place, outside) = looking
        .await
        .context("look for scopes of other shards")?
        .context("look for scopes of other shards")?;
    if outside.is_empty() {
        check.inspect(Check::up);
        return Ok(place);
    }
    let count = outside.len();
    let names = outside[..count.min(SHOWN)].join(", ");
    tracing::warn!(
        context = "state.outside",
        count,
        scopes = names,
        "the store holds scopes of other shards; they are neither served nor deleted"
    );
    let reason = format!("{count} scopes of other shards are not served: {names}");
    check.inspect(|check| check.degraded(reason));
    Ok(place)
}

/// What is known of the bus. Changes that are not published are in the history, so that its loss makes
/// the service less well and no more.
fn bus_health(status: &Status) -> Result<Option<String>, String> {
    let lost = status.brokers.iter().find(|broker| !broker.is_up);
    Ok(lost.map(ToString::to_string))
}

/// Waits for the lock of the database; `None` when the daemon is asked to stop before.
async fn take_lock(
    config: &Config,
    daemon: &Daemon,
    check: &Check,
) -> anyhow::Result<Option<Lock>> {
    let mut look = interval(LOOK);
    let mut has_waited = false;
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = daemon.shutdown.requested() => return Ok(None),
        }
        match Lock::try_take(&config.db).context("lock the database")? {
            Ok(lock) => {
                if has_waited {
                    tracing::info!(context = "state.takeover", "the lock is free; taking over");
                }
                return Ok(Some(lock));
            }
            Err(holder) => {
                if !has_waited {
                    check.degraded(format!("standing by: process {holder} has the store"));
                    has_waited = true;
                    tracing::info!(
                        context = "state.standby",
                        holder,
                        "another daemon has the store; standing by"
                    );
                }
            }
        }
    }
}

/// Checks every row now, unless that was done, and at each interval. What is found is shown by the
/// store.
async fn keep_checking(store: Arc<Store>, config: Config, stop: Shutdown) {
    let span = Duration::from(config.check_interval);
    let mut is_checked = config.check == CheckLevel::Full;
    loop {
        if !is_checked {
            let (store, stop) = (store.clone(), stop.clone());
            let checking = move || store.check(&mut |_, _| !stop.is_requested());
            match tokio::task::spawn_blocking(checking).await {
                Ok(Ok(checked)) => {
                    tracing::debug!(context = "state.checked", ?checked, "every row is whole");
                }
                Ok(Err(error)) => tracing::debug!(context = "state.checked", %error, "checked"),
                Err(_) => return,
            }
        }
        is_checked = false;
        if span.is_zero() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(span) => {}
            () = stop.requested() => return,
        }
    }
}

/// The moment from which the writer is alive.
#[expect(clippy::disallowed_methods, reason = "where the writer's pulse begins")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

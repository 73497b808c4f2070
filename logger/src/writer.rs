//! From the spool into the database, one batch after another, and the upkeep of the table.

use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool};
use jiff::Timestamp;
use plantd_daemon::health::Check;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::batch::Batch;
use crate::database::ledger::{self, Outcome};
use crate::database::schema::{self, Layout};
use crate::database::{self, DatabaseError};
use crate::day::Day;
use crate::metrics::Published;
use crate::spool::{self, BatchId};

/// How long a batch may take to be stored.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);
/// The first and the longest pause after a failure.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// How often partitions are made ahead and old ones dropped.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(600);
/// How often the database is asked whether it is there.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Stores what is in the spool.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) pool: Pool,
    pub(crate) spool: spool::Handle,
    pub(crate) retention: Option<Duration>,
    pub(crate) published: Published,
    /// Up while batches can be stored.
    pub(crate) check: Check,
    /// How the table is laid out; unknown before the first success and after a failure.
    pub(crate) layout: Option<Layout>,
    /// Whether a failure was told and nothing has succeeded since.
    pub(crate) is_failing: bool,
}

impl Writer {
    /// Stores batches until nothing waits and nothing more comes.
    ///
    /// # Errors
    /// When the tables are of a kind that this logger must leave alone.
    pub(crate) async fn run(mut self) -> Result<(), DatabaseError> {
        let mut upkeep = interval(UPKEEP_INTERVAL);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = upkeep.tick() => self.attempt_upkeep().await?,
                taken = self.spool.take() => match taken {
                    Some((id, batch)) => self.store(id, &batch).await?,
                    None => return Ok(()),
                }
            }
        }
    }

    /// Tries until the batch is in the table.
    async fn store(&mut self, id: BatchId, batch: &Batch) -> Result<(), DatabaseError> {
        let [mut pause, longest] = PAUSES;
        loop {
            #[expect(clippy::disallowed_methods, reason = "the one clock of this loop")]
            let started = Instant::now();
            match self.try_to_store(id, batch).await {
                Ok(outcome) => {
                    self.recovered();
                    match outcome {
                        Outcome::Stored { refused } => {
                            let stored = u64::from(batch.count - refused);
                            self.published.stored(stored, started.elapsed());
                        }
                        Outcome::Known => self.published.repeated(),
                    }
                    self.spool.stored(id).await;
                    return Ok(());
                }
                Err(error) => self.failed(error)?,
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn try_to_store(&mut self, id: BatchId, batch: &Batch) -> Result<Outcome, DatabaseError> {
        let mut client = database::connect(&self.pool).await?;
        let done = timeout(STORE_TIMEOUT, self.store_over(&mut client, id, batch)).await;
        let done = done.unwrap_or(Err(DatabaseError::TimedOut(STORE_TIMEOUT)));
        if done.is_err() {
            // It may be in the middle of anything.
            drop(Object::take(client));
        }
        done
    }

    async fn store_over(
        &mut self,
        client: &mut Object,
        id: BatchId,
        batch: &Batch,
    ) -> Result<Outcome, DatabaseError> {
        self.prepare(client, &batch.days).await?;
        let refused = match ledger::store(client, id, batch).await {
            Err(error) if error.is_about_rows() => error,
            other => return other,
        };
        // Somebody may have dropped a partition that was there.
        self.layout = None;
        self.prepare(client, &batch.days).await?;
        let outcome = ledger::store_what_is_taken(client, id, batch).await?;
        if let Outcome::Stored {
            refused: rows @ 1..,
        } = outcome
        {
            self.published.dropped("refused_by_database", rows.into());
            tracing::warn!(
                context = "database.refused",
                rows,
                "the database refuses metrics, which are dropped: {refused}"
            );
        }
        Ok(outcome)
    }

    /// Makes the tables, and partitions for rows of these days, unless they are known to be there.
    async fn prepare(&mut self, client: &mut Object, days: &[Day]) -> Result<(), DatabaseError> {
        let mut layout = match self.layout.take() {
            Some(layout) => layout,
            None => schema::prepare(client, today()).await?,
        };
        if let Layout::Partitions(partitions) = &mut layout {
            partitions.ensure(client, days.iter().copied()).await?;
        }
        self.layout = Some(layout);
        Ok(())
    }

    async fn attempt_upkeep(&mut self) -> Result<(), DatabaseError> {
        let mut client = match database::connect(&self.pool).await {
            Ok(client) => client,
            Err(error) => return self.failed(error),
        };
        let done = timeout(STORE_TIMEOUT, self.upkeep(&mut client)).await;
        match done.unwrap_or(Err(DatabaseError::TimedOut(STORE_TIMEOUT))) {
            Ok(()) => {
                self.recovered();
                Ok(())
            }
            Err(error) => {
                drop(Object::take(client));
                self.failed(error)
            }
        }
    }

    async fn upkeep(&mut self, client: &mut Object) -> Result<(), DatabaseError> {
        self.prepare(client, &[]).await?;
        client.batch_execute(ledger::FORGET).await?;
        if let Some(Layout::Partitions(partitions)) = &mut self.layout {
            partitions.ensure_ahead(client, today()).await?;
        }
        if let Some(kept) = self.retention.map(|kept| Timestamp::now() - kept) {
            match self.drop_before(client, kept).await {
                Ok(0) => {}
                Ok(dropped) => tracing::info!(
                    context = "database.retention",
                    dropped,
                    "partitions that are older than the retention are dropped"
                ),
                // Such as behind a long query. What is new can be stored nevertheless.
                Err(error) => tracing::warn!(
                    context = "database.retention",
                    "what is older than the retention stays for now: {error}"
                ),
            }
        }
        Ok(())
    }

    async fn drop_before(
        &mut self,
        client: &mut Object,
        kept: Timestamp,
    ) -> Result<usize, DatabaseError> {
        match &mut self.layout {
            Some(Layout::Partitions(partitions)) => {
                partitions.drop_before(client, Day::of(kept)).await
            }
            Some(Layout::Hypertable) => {
                let drop = "SELECT drop_chunks('metrics', older_than => $1::text::timestamptz)";
                Ok(client.query(drop, &[&kept.to_string()]).await?.len())
            }
            None => Ok(0),
        }
    }

    /// Tells the first failure after a success, and passes on what no other attempt would mend.
    fn failed(&mut self, error: DatabaseError) -> Result<(), DatabaseError> {
        self.layout = None;
        self.check.down(error.to_string());
        if error.is_final() {
            return Err(error);
        }
        if !self.is_failing {
            tracing::warn!(
                context = "database.lost",
                "metrics wait in the spool: {error}"
            );
        }
        self.is_failing = true;
        Ok(())
    }

    fn recovered(&mut self) {
        self.check.up();
        if self.is_failing {
            tracing::info!(context = "database.found", "metrics are stored again");
        }
        self.is_failing = false;
    }
}

fn today() -> Day {
    Day::of(Timestamp::now())
}

/// Keeps a check at whether the database answers.
pub(crate) async fn watch_database(pool: Pool, check: Check) {
    let mut ticks = interval(PROBE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match database::probe(&pool).await {
            Ok(()) => check.up(),
            Err(error) => check.down(error.to_string()),
        }
    }
}

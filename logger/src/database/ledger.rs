//! Each batch into the table once, however often it is tried.
//!
//! `logger_runs` holds, for each run of a logger, the number of its last batch that is stored. A
//! batch and its number are committed in one transaction. When the connection breaks before the
//! commit is answered, nobody knows whether it happened; the next attempt does: the number is there,
//! or it is not. While a transaction of the broken connection is still open it holds the run's row,
//! and the next attempt waits for its end.

use std::pin::pin;

use bytes::Bytes;
use deadpool_postgres::{ClientWrapper, Transaction};
use futures_util::SinkExt as _;

use super::DatabaseError;
use crate::batch::{Batch, COPY, HEADER, TRAILER};
use crate::spool::BatchId;

const ENTER: &str = "INSERT INTO logger_runs AS known (run, batch) VALUES ($1::text::uuid, $2) \
                     ON CONFLICT (run) DO UPDATE SET batch = excluded.batch, stored = now() \
                     WHERE known.batch < excluded.batch";

/// Runs that stored nothing for a year have nothing left in any spool.
pub(crate) const FORGET: &str = "DELETE FROM logger_runs WHERE stored < now() - INTERVAL '1 year'";

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in the table, but for the rows that the database refused.
    Stored { refused: u32 },
    /// It was in the table before.
    Known,
}

/// Stores a batch, all rows or none.
pub(crate) async fn store(
    client: &mut ClientWrapper,
    id: BatchId,
    batch: &Batch,
) -> Result<Outcome, DatabaseError> {
    let transaction = client.transaction().await?;
    if !enter(&transaction, id).await? {
        return Ok(Outcome::Known);
    }
    copy(&transaction, batch).await?;
    transaction.commit().await?;
    Ok(Outcome::Stored { refused: 0 })
}

/// Stores a batch without the rows that the database refuses, which it finds by halving.
pub(crate) async fn store_what_is_taken(
    client: &mut ClientWrapper,
    id: BatchId,
    batch: &Batch,
) -> Result<Outcome, DatabaseError> {
    let transaction = client.transaction().await?;
    if !enter(&transaction, id).await? {
        return Ok(Outcome::Known);
    }
    let mut refused = 0;
    // The first part is the last of these.
    let mut parts = vec![batch.clone()];
    while let Some(part) = parts.pop() {
        transaction.batch_execute("SAVEPOINT part").await?;
        match copy(&transaction, &part).await {
            Ok(()) => transaction.batch_execute("RELEASE part").await?,
            Err(error) if error.is_about_rows() => {
                let back = "ROLLBACK TO part; RELEASE part";
                transaction.batch_execute(back).await?;
                match part.halves() {
                    Some([first, second]) => parts.extend([second, first]),
                    None => refused += 1,
                }
            }
            Err(error) => return Err(error),
        }
    }
    transaction.commit().await?;
    Ok(Outcome::Stored { refused })
}

/// Enters the number of a batch; false if it was entered before.
async fn enter(transaction: &Transaction<'_>, id: BatchId) -> Result<bool, DatabaseError> {
    let statement = transaction.prepare_cached(ENTER).await?;
    let (run, number) = (id.run.to_string(), id.number as i64);
    Ok(transaction.execute(&statement, &[&run, &number]).await? == 1)
}

async fn copy(transaction: &Transaction<'_>, batch: &Batch) -> Result<(), DatabaseError> {
    let statement = transaction.prepare_cached(COPY).await?;
    let mut rows = pin!(transaction.copy_in::<_, Bytes>(&statement).await?);
    rows.feed(Bytes::from_static(HEADER)).await?;
    rows.feed(batch.rows.clone()).await?;
    rows.feed(Bytes::from_static(TRAILER)).await?;
    rows.finish().await?;
    Ok(())
}

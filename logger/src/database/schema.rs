//! The tables of the logger, and how older ones become these.
//!
//! `logger_schema` holds the versions that were applied. A logger applies what is missing, in one
//! transaction; it leaves a database alone whose version is newer than it knows.
//!
//! 1. `metrics`: a TimescaleDB hypertable where the extension is there, else a table that is
//!    partitioned by day. A plain table of the same columns that is there already is kept: it
//!    becomes the hypertable, or the partition of everything before the day after its newest row.
//! 2. `logger_runs`: how far each run of a logger is stored.

use deadpool_postgres::{ClientWrapper, Transaction};

use super::DatabaseError;
use super::partitions::{Partitions, bounds};
use crate::day::Day;

/// The version that this logger makes of any older one.
const VERSION: i32 = 2;

/// What is locked while the tables change, so that two loggers do so one after the other: `plantd`.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(x'706c616e7464'::bigint)";

const COLUMNS: [(&str, &str); 5] = [
    ("timestamp", "timestamp with time zone"),
    ("service_name", "text"),
    ("metric_name", "text"),
    ("value", "double precision"),
    ("tags", "jsonb"),
];

const CREATE: &str = "CREATE TABLE metrics (\
                      timestamp TIMESTAMPTZ NOT NULL, \
                      service_name TEXT, \
                      metric_name TEXT, \
                      value DOUBLE PRECISION, \
                      tags JSONB)";

const INDEX: &str = "CREATE INDEX IF NOT EXISTS metrics_series \
                     ON metrics (service_name, metric_name, timestamp DESC)";

const LEDGER: &str = "CREATE TABLE logger_runs (\
                      run UUID PRIMARY KEY, \
                      batch BIGINT NOT NULL, \
                      stored TIMESTAMPTZ NOT NULL DEFAULT now())";

/// How `metrics` is divided by time.
#[derive(Debug)]
pub(crate) enum Layout {
    /// By TimescaleDB.
    Hypertable,
    /// By this logger.
    Partitions(Partitions),
}

/// What `metrics` is in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Missing,
    Plain,
    Partitioned,
    Hypertable,
}

/// Brings the tables up to date and says how they are laid out.
pub(crate) async fn prepare(
    client: &mut ClientWrapper,
    today: Day,
) -> Result<Layout, DatabaseError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK).await?;
    let found = version(&transaction).await?;
    if found > VERSION {
        let known = VERSION;
        return Err(DatabaseError::NewerSchema { found, known });
    }
    for version in found + 1..=VERSION {
        apply(&transaction, version, today).await?;
        let insert = "INSERT INTO logger_schema (version) VALUES ($1)";
        transaction.execute(insert, &[&version]).await?;
    }
    let layout = layout(&transaction).await?;
    transaction.commit().await?;
    if found < VERSION {
        tracing::info!(
            context = "database.schema",
            from = found,
            to = VERSION,
            is_hypertable = matches!(layout, Layout::Hypertable),
            "the schema is up to date"
        );
    }
    Ok(layout)
}

/// The version in the database; 0 if there is none.
async fn version(transaction: &Transaction<'_>) -> Result<i32, DatabaseError> {
    let exists = "SELECT to_regclass('logger_schema') IS NOT NULL";
    if !transaction.query_one(exists, &[]).await?.get::<_, bool>(0) {
        let create = "CREATE TABLE logger_schema (\
                      version INTEGER PRIMARY KEY, \
                      applied TIMESTAMPTZ NOT NULL DEFAULT now())";
        transaction.batch_execute(create).await?;
    }
    let newest = "SELECT coalesce(max(version), 0) FROM logger_schema";
    Ok(transaction.query_one(newest, &[]).await?.get(0))
}

async fn apply(
    transaction: &Transaction<'_>,
    version: i32,
    today: Day,
) -> Result<(), DatabaseError> {
    match version {
        1 => make_metrics(transaction, today).await,
        _ => Ok(transaction.batch_execute(LEDGER).await?),
    }
}

async fn make_metrics(transaction: &Transaction<'_>, today: Day) -> Result<(), DatabaseError> {
    let table = table(transaction).await?;
    if table != Table::Missing {
        check_columns(transaction).await?;
    }
    let has_timescale = has_timescale(transaction).await?;
    match (table, has_timescale) {
        (Table::Missing, true) => {
            transaction.batch_execute(CREATE).await?;
            make_hypertable(transaction).await?;
        }
        (Table::Plain, true) => make_hypertable(transaction).await?,
        (Table::Missing, false) => {
            make_partitioned(transaction).await?;
            let create = format!(
                "CREATE TABLE metrics_before_{} PARTITION OF metrics {}",
                today.compact(),
                bounds(None, today)
            );
            transaction.batch_execute(&create).await?;
        }
        (Table::Plain, false) => adopt(transaction, today).await?,
        (Table::Hypertable, _) => {}
        (Table::Partitioned, _) => {
            let difference = "it is partitioned, and not by this logger";
            return Err(DatabaseError::OtherTable(difference.to_owned()));
        }
    }
    Ok(transaction.batch_execute(INDEX).await?)
}

async fn make_partitioned(transaction: &Transaction<'_>) -> Result<(), DatabaseError> {
    let create = format!("{CREATE} PARTITION BY RANGE (timestamp)");
    Ok(transaction.batch_execute(&create).await?)
}

async fn make_hypertable(transaction: &Transaction<'_>) -> Result<(), DatabaseError> {
    let create = "SELECT create_hypertable('metrics', 'timestamp', \
                  chunk_time_interval => INTERVAL '1 day', \
                  create_default_indexes => false, migrate_data => true)";
    transaction.query(create, &[]).await?;
    Ok(())
}

/// Makes a plain table the partition of everything before the day after its newest row.
async fn adopt(transaction: &Transaction<'_>, today: Day) -> Result<(), DatabaseError> {
    let lock = "LOCK TABLE metrics IN ACCESS EXCLUSIVE MODE";
    transaction.batch_execute(lock).await?;
    let newest = "SELECT coalesce(floor(extract(epoch FROM max(timestamp)) / 86400)::int, $1) \
                  FROM metrics";
    let newest: i32 = transaction.query_one(newest, &[&today.0]).await?.get(0);
    let before = Day(newest).max(today).next();
    let name = format!("metrics_before_{}", before.compact());
    let adopted = format!(
        "ALTER TABLE metrics RENAME TO {name}; \
         DELETE FROM {name} WHERE timestamp IS NULL; \
         ALTER TABLE {name} ALTER timestamp SET NOT NULL"
    );
    transaction.batch_execute(&adopted).await?;
    make_partitioned(transaction).await?;
    let attach = format!(
        "ALTER TABLE metrics ATTACH PARTITION {name} {}",
        bounds(None, before)
    );
    transaction.batch_execute(&attach).await?;
    tracing::info!(
        context = "database.adopted",
        partition = name,
        "the table metrics that was there is a partition"
    );
    Ok(())
}

async fn table(transaction: &Transaction<'_>) -> Result<Table, DatabaseError> {
    let kind = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass('metrics')";
    let Some(row) = transaction.query_opt(kind, &[]).await? else {
        return Ok(Table::Missing);
    };
    Ok(match row.get::<_, &str>(0) {
        "p" => Table::Partitioned,
        "r" if is_hypertable(transaction).await? => Table::Hypertable,
        "r" => Table::Plain,
        _ => {
            let difference = "it is no table".to_owned();
            return Err(DatabaseError::OtherTable(difference));
        }
    })
}

async fn check_columns(transaction: &Transaction<'_>) -> Result<(), DatabaseError> {
    let columns = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute \
                   WHERE attrelid = to_regclass('metrics') AND attnum > 0 AND NOT attisdropped \
                   ORDER BY attnum";
    let rows = transaction.query(columns, &[]).await?;
    let mut found: Vec<(&str, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut expected = COLUMNS.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    if found == expected {
        return Ok(());
    }
    let named = |columns: &[(&str, &str)]| {
        let columns = columns.iter().map(|(name, kind)| format!("{name} {kind}"));
        columns.collect::<Vec<_>>().join(", ")
    };
    let difference = format!("it has {}, not {}", named(&found), named(&COLUMNS));
    Err(DatabaseError::OtherTable(difference))
}

/// Whether TimescaleDB is there, which it is made where that can be done.
async fn has_timescale(transaction: &Transaction<'_>) -> Result<bool, DatabaseError> {
    let known = "SELECT installed_version IS NOT NULL FROM pg_available_extensions \
                 WHERE name = 'timescaledb'";
    let Some(row) = transaction.query_opt(known, &[]).await? else {
        return Ok(false);
    };
    if row.get(0) {
        return Ok(true);
    }
    transaction.batch_execute("SAVEPOINT extension").await?;
    let create = "CREATE EXTENSION timescaledb";
    let created = transaction.batch_execute(create).await;
    if let Err(error) = &created {
        let reason = super::innermost(error);
        tracing::warn!(
            context = "database.timescale",
            "TimescaleDB is there and cannot be used; metrics is partitioned without it: {reason}"
        );
        let back = "ROLLBACK TO SAVEPOINT extension";
        transaction.batch_execute(back).await?;
    }
    Ok(created.is_ok())
}

async fn is_hypertable(transaction: &Transaction<'_>) -> Result<bool, DatabaseError> {
    let installed = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')";
    if !transaction
        .query_one(installed, &[])
        .await?
        .get::<_, bool>(0)
    {
        return Ok(false);
    }
    let is_one = "SELECT EXISTS (SELECT FROM timescaledb_information.hypertables \
                  WHERE to_regclass(format('%I.%I', hypertable_schema, hypertable_name)) \
                  = to_regclass('metrics'))";
    Ok(transaction.query_one(is_one, &[]).await?.get(0))
}

async fn layout(transaction: &Transaction<'_>) -> Result<Layout, DatabaseError> {
    match table(transaction).await? {
        Table::Hypertable => Ok(Layout::Hypertable),
        Table::Partitioned => Ok(Layout::Partitions(Partitions::read(transaction).await?)),
        Table::Plain | Table::Missing => {
            let difference = "it is missing or not partitioned, although its schema says so";
            Err(DatabaseError::OtherTable(difference.to_owned()))
        }
    }
}

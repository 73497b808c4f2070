//! The partitions of `metrics` where TimescaleDB is not there: one a day, made ahead and on demand.
//!
//! `metrics_20260115` holds a day in UTC; `metrics_before_20260101` all that is older than the first
//! of them. So each row has a place, and there are no more partitions than days since then.

use std::collections::BTreeSet;

use deadpool_postgres::{ClientWrapper, Transaction};

use super::DatabaseError;
use super::schema::LOCK;
use crate::day::Day;

/// How many days after today have a partition before they begin.
const AHEAD: i32 = 2;

/// The partitions that there are.
#[derive(Debug)]
pub(crate) struct Partitions {
    /// The first day with a partition of its own.
    first: Day,
    days: BTreeSet<Day>,
}

/// The clause for what is in a partition.
pub(super) fn bounds(from: Option<Day>, to: Day) -> String {
    let from = match from {
        Some(day) => format!("'{day} 00:00:00+00'"),
        None => "MINVALUE".to_owned(),
    };
    format!("FOR VALUES FROM ({from}) TO ('{to} 00:00:00+00')")
}

fn name(day: Day) -> String {
    format!("metrics_{}", day.compact())
}

impl Partitions {
    pub(super) async fn read(transaction: &Transaction<'_>) -> Result<Self, DatabaseError> {
        let names = "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
                     WHERE inhparent = to_regclass('metrics')";
        let rows = transaction.query(names, &[]).await?;
        let names = || rows.iter().map(|row| row.get::<_, &str>(0));
        let after = |name: &str, prefix| Day::from_compact(name.strip_prefix(prefix)?);
        let first = names().find_map(|name| after(name, "metrics_before_"));
        let first = first.ok_or_else(|| {
            let difference = "its partition metrics_before_… is missing".to_owned();
            DatabaseError::OtherTable(difference)
        })?;
        let days = names().filter_map(|name| after(name, "metrics_")).collect();
        Ok(Self { first, days })
    }

    /// Makes those that rows of these days need and that are missing.
    pub(crate) async fn ensure(
        &mut self,
        client: &mut ClientWrapper,
        days: impl IntoIterator<Item = Day>,
    ) -> Result<(), DatabaseError> {
        for day in days {
            if day >= self.first && !self.days.contains(&day) {
                make(client, day).await?;
                self.days.insert(day);
            }
        }
        Ok(())
    }

    /// Makes those of the days to come.
    pub(crate) async fn ensure_ahead(
        &mut self,
        client: &mut ClientWrapper,
        today: Day,
    ) -> Result<(), DatabaseError> {
        let ahead = (0..=AHEAD).map(|days| Day(today.0 + days));
        self.ensure(client, ahead).await
    }

    /// Drops those whose days are all before `kept`. Returns how many.
    pub(crate) async fn drop_before(
        &mut self,
        client: &mut ClientWrapper,
        kept: Day,
    ) -> Result<usize, DatabaseError> {
        let mut dropped = 0;
        while let Some(day) = self.days.first().copied().filter(|day| *day < kept) {
            let drop = format!("DROP TABLE IF EXISTS {}", name(day));
            unhurried(client, &drop).await?;
            self.days.remove(&day);
            dropped += 1;
        }
        if self.first <= kept {
            let oldest = format!("metrics_before_{}", self.first.compact());
            let size = "SELECT pg_relation_size(to_regclass($1::text))";
            let size: i64 = client.query_one(size, &[&oldest]).await?.get(0);
            if size > 0 {
                unhurried(client, &format!("TRUNCATE {oldest}")).await?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }
}

/// Makes a table and then a partition of it: so readers of `metrics` are not stopped.
async fn make(client: &mut ClientWrapper, day: Day) -> Result<(), DatabaseError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK).await?;
    let name = name(day);
    // Another logger may have been first.
    let exists = "SELECT to_regclass($1::text) IS NOT NULL";
    let exists = transaction.query_one(exists, &[&name]).await?;
    if !exists.get::<_, bool>(0) {
        let make = format!(
            "CREATE TABLE {name} (LIKE metrics INCLUDING DEFAULTS INCLUDING CONSTRAINTS); \
             ALTER TABLE metrics ATTACH PARTITION {name} {}",
            bounds(Some(day), day.next())
        );
        transaction.batch_execute(&make).await?;
        tracing::debug!(context = "database.partition", name, "a partition is made");
    }
    Ok(transaction.commit().await?)
}

/// Runs a statement that stops all readers of `metrics`: behind a long query it gives up, and is
/// tried again an upkeep later, instead of having everybody else wait behind it.
async fn unhurried(client: &mut ClientWrapper, statement: &str) -> Result<(), DatabaseError> {
    let transaction = client.transaction().await?;
    transaction
        .batch_execute("SET LOCAL lock_timeout = '1s'")
        .await?;
    transaction.batch_execute(statement).await?;
    Ok(transaction.commit().await?)
}

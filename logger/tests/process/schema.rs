//! Tables of other versions, other tables, and retention.

use jiff::{SignedDuration, Timestamp};
use plantd_test_process::Process;
use tempfile::TempDir;

use crate::bus::{Bus, metric_at};
use crate::logger::command;
use crate::postgres::Postgres;

const COUNT: &str = "SELECT count(*) FROM metrics";
const PARTITIONS: &str = "SELECT relid::text FROM pg_partition_tree('metrics') WHERE isleaf";
const COLUMNS: &str = "timestamp TIMESTAMPTZ NOT NULL, service_name TEXT, metric_name TEXT, \
                       value DOUBLE PRECISION, tags JSONB";

/// A day relative to today: `2026-01-15`.
fn day(offset: i64) -> String {
    let moment = Timestamp::now() + SignedDuration::from_hours(24 * offset);
    moment.to_string()[..10].to_owned()
}

fn compact(offset: i64) -> String {
    day(offset).replace('-', "")
}

/// The tables as version 1 had them, with a partition for each of these days.
fn version_1(days: std::ops::RangeInclusive<i64>) -> String {
    let first = *days.start();
    let mut statements = format!(
        "CREATE TABLE logger_schema (version INTEGER PRIMARY KEY, applied TIMESTAMPTZ NOT NULL DEFAULT now()); \
         INSERT INTO logger_schema VALUES (1); \
         CREATE TABLE metrics ({COLUMNS}) PARTITION BY RANGE (timestamp); \
         CREATE INDEX metrics_series ON metrics (service_name, metric_name, timestamp DESC); \
         CREATE TABLE metrics_before_{} PARTITION OF metrics FOR VALUES FROM (MINVALUE) TO ('{}Z');",
        compact(first),
        day(first)
    );
    for offset in days {
        statements += &format!(
            "CREATE TABLE metrics_{} PARTITION OF metrics FOR VALUES FROM ('{}Z') TO ('{}Z');",
            compact(offset),
            day(offset),
            day(offset + 1)
        );
    }
    statements
}

/// A row at noon of each of these days.
fn rows(days: std::ops::RangeInclusive<i64>) -> String {
    let rows = days.map(|offset| {
        format!(
            "INSERT INTO metrics VALUES ('{} 12:00Z', 's', 'n', {offset}, '{{}}');",
            day(offset)
        )
    });
    rows.collect()
}

/// The reason of a logger that ends by itself.
fn refusal(bus: &Bus, postgres: &Postgres, spool: &TempDir) -> String {
    let mut logger = Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
    assert_eq!(logger.exit_code(), Some(1));
    let failed = logger.line_of("daemon.failed");
    failed["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_becomes_the_newest_and_keeps_its_rows() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    postgres.execute(&version_1(-3..=0)).await;
    postgres.execute(&rows(-5..=-1)).await;
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
    let told = logger.line_of("database.schema");
    assert_eq!(
        (&told["fields"]["from"], &told["fields"]["to"]),
        (&1.into(), &2.into())
    );
    bus.subscription();
    bus.publish_metrics("m", 0..10);
    postgres.says(COUNT, 15).await;
    let versions = "SELECT version::text FROM logger_schema ORDER BY version";
    assert_eq!(postgres.column(versions).await, ["1", "2"]);
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_left_alone() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    postgres
        .execute("CREATE TABLE logger_schema (version INTEGER, applied TIMESTAMPTZ); INSERT INTO logger_schema VALUES (3)")
        .await;
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    assert_eq!(
        refusal(&bus, &postgres, &spool),
        "database: the schema in the database is version 3, and this logger knows versions up to 2: \
         run a logger that is as new as the schema"
    );
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(postgres.column(tables).await, ["logger_schema"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_table_that_was_there_becomes_the_first_partition() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let create = format!("CREATE TABLE metrics ({COLUMNS}); CREATE INDEX ON metrics (timestamp);");
    postgres.execute(&create).await;
    postgres.execute(&rows(-400..=-1)).await;
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
    let adopted = format!("metrics_before_{}", compact(1));
    assert_eq!(
        logger.line_of("database.adopted")["fields"]["partition"],
        *adopted
    );
    bus.subscription();
    bus.publish_metrics("m", 0..10);
    postgres.says(COUNT, 410).await;
    assert!(postgres.column(PARTITIONS).await.contains(&adopted));
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_table_of_that_name_is_left_alone() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    for (create, difference) in [
        (
            "CREATE TABLE metrics (id INTEGER)".to_owned(),
            "it has id integer, not timestamp timestamp with time zone, ",
        ),
        (
            format!("CREATE TABLE metrics ({COLUMNS}) PARTITION BY LIST (service_name)"),
            "it is partitioned, and not by this logger",
        ),
        (
            "CREATE VIEW metrics AS SELECT 1".to_owned(),
            "it is no table",
        ),
    ] {
        postgres.execute(&create).await;
        let reason = refusal(&bus, &postgres, &spool);
        assert!(reason.contains(difference), "{reason}");
        let kind = create.split_whitespace().nth(1).unwrap();
        postgres.execute(&format!("DROP {kind} metrics")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_retention_is_dropped() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    postgres.execute(&version_1(-10..=0)).await;
    postgres.execute(&rows(-15..=-1)).await;
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(
        command(bus.endpoint(), &postgres.url(), spool.path()).args(["--retention", "3d"]),
    );
    logger.line_of("database.retention");
    // The day that the limit is in is kept whole.
    postgres.says(COUNT, 3).await;
    let mut partitions = postgres.column(PARTITIONS).await;
    partitions.sort();
    let mut expected: Vec<String> = (-3..=2)
        .map(|offset| format!("metrics_{}", compact(offset)))
        .collect();
    expected.push(format!("metrics_before_{}", compact(-10)));
    assert_eq!(partitions, expected);
    bus.subscription();
    let four_days_ago = Timestamp::now() - SignedDuration::from_hours(4 * 24);
    bus.publish("org.plantd.metric.old", metric_at(four_days_ago, "old", 1));
    logger.metric_says(r#"plantd_logger_refused_total{reason="too_old"}"#, 1.0);
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_somebody_dropped_is_made_again() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
    bus.subscription();
    bus.publish_metrics("m", 0..10);
    postgres.says(COUNT, 10).await;
    postgres
        .execute(&format!("DROP TABLE metrics_{}", compact(0)))
        .await;
    bus.publish_metrics("m", 0..20);
    postgres.says(COUNT, 20).await;
    let dropped = r#"plantd_logger_dropped_total{reason="refused_by_database"}"#;
    assert_eq!(logger.metric(dropped), 0.0);
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_loggers_of_one_database_make_its_tables_once() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let bus = Bus::start();
    let spools = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let mut loggers = spools
        .each_ref()
        .map(|spool| Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path())));
    bus.subscription();
    for logger in &loggers {
        logger.health_says("bus_connection", "UP");
        logger.health_says("storing", "UP");
    }
    let runs = "SELECT count(*) FROM logger_runs";
    // XPUB tells the first subscription of a topic only: the second is there when its rows are.
    let client = postgres.client().await;
    while client.query_one(runs, &[]).await.unwrap().get::<_, i64>(0) < 2 {
        bus.publish_metrics("m", 0..1);
    }
    for logger in &mut loggers {
        assert_eq!(logger.terminate(), Some(0));
    }
}

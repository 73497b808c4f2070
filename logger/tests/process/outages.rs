//! What happens to metrics while the database or the logger is away.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use plantd_test_process::Process;
use tempfile::TempDir;

use crate::bus::Bus;
use crate::logger::command;
use crate::postgres::Postgres;

const COUNT: &str = "SELECT count(*) FROM metrics";
/// How many of a series are there more than once.
const DOUBLES: &str = "SELECT count(*) - count(DISTINCT (metric_name, value)) FROM metrics";
const IN_ORDER: &str = "SELECT coalesce(array_agg(value ORDER BY ctid) = array_agg(value ORDER BY value), true) \
     FROM metrics";
const WAITING: &str = "plantd_logger_spool_metrics";

fn segments(spool: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(spool).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|found| found == "spool"))
        .collect();
    segments.sort();
    segments
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_at_the_start_gets_everything_later() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    postgres.crash();
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
    bus.subscription();
    let health = logger.health_contains("connect to the database: ");
    assert!(health.starts_with("HTTP/1.1 503 "), "{health}");
    assert!(logger.get("/livez").starts_with("HTTP/1.1 200 "));
    assert!(logger.get("/readyz").starts_with("HTTP/1.1 200 "));
    bus.publish_metrics("m", 0..500);
    logger.metric_says(WAITING, 500.0);

    postgres.up();

    postgres.says(COUNT, 500).await;
    assert!(postgres.row(IN_ORDER).await.get::<_, bool>(0));
    logger.line_of("database.lost");
    logger.line_of("database.found");
    logger.health_says("storing", "UP");
    let health = logger.health_says("database_connection", "UP");
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    logger.metric_says(WAITING, 0.0);
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_under_load_has_each_metric_once() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(
        command(bus.endpoint(), &postgres.url(), spool.path())
            // Many small batches, so that crashes meet every moment of one.
            .args(["--batch-metrics", "20", "--batch-interval", "10ms"]),
    );
    bus.subscription();
    logger.health_says("storing", "UP");
    let publisher = thread::spawn(move || {
        for round in 0..15 {
            bus.publish_metrics("m", round * 1_000..(round + 1) * 1_000);
        }
        bus
    });
    for crashed_at in [1_000, 4_000, 8_000] {
        let client = postgres.client().await;
        while client.query_one(COUNT, &[]).await.unwrap().get::<_, i64>(0) < crashed_at {}
        postgres.crash();
        assert!(logger.get("/livez").starts_with("HTTP/1.1 200 "));
        postgres.up();
    }
    let _bus = publisher.join().unwrap();
    postgres.says(COUNT, 15_000).await;
    assert_eq!(postgres.row(DOUBLES).await.get::<_, i64>(0), 0);
    logger.metric_says(WAITING, 0.0);
    assert_eq!(logger.terminate(), Some(0));
    assert_eq!(segments(spool.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_spooled_survives_a_kill() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    postgres.crash();
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    for run in 0..3 {
        let mut logger =
            Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
        bus.subscription();
        bus.publish_metrics("m", run * 100..(run + 1) * 100);
        logger.metric_says(WAITING, (run as f64 + 1.0) * 100.0);
        logger.kill();
    }
    // The last batch was being written.
    let torn = segments(spool.path()).pop().unwrap();
    let length = fs::metadata(&torn).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(&torn)
        .unwrap()
        .set_len(length - 3)
        .unwrap();
    postgres.up();

    let mut logger = Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
    let told = logger.line_of("spool.torn");
    assert_eq!(told["level"], "warn");
    let found = logger.line_of("spool.found");
    let left = found["fields"]["metrics"].as_i64().unwrap();
    assert!((200..300).contains(&left), "{found}");
    postgres.says(COUNT, left).await;
    assert_eq!(postgres.row(DOUBLES).await.get::<_, i64>(0), 0);
    assert!(postgres.row(IN_ORDER).await.get::<_, bool>(0));
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logger_that_is_killed_while_it_stores_doubles_nothing() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    for run in 0..4_u64 {
        let mut logger = Process::start(
            command(bus.endpoint(), &postgres.url(), spool.path()).args([
                "--batch-metrics",
                "10",
                "--batch-interval",
                "10ms",
            ]),
        );
        bus.subscription();
        let before = logger.metric("plantd_logger_stored_total");
        bus.publish_metrics("m", run * 5_000..(run + 1) * 5_000);
        while logger.metric("plantd_logger_stored_total") < before + 500.0 {}
        logger.kill();
    }
    let mut logger = Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
    logger.metric_says(WAITING, 0.0);
    assert_eq!(postgres.row(DOUBLES).await.get::<_, i64>(0), 0);
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_beyond_the_spool_is_dropped_and_counted() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    postgres.crash();
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(
        command(bus.endpoint(), &postgres.url(), spool.path()).args(["--spool-limit", "1MiB"]),
    );
    bus.subscription();
    bus.publish_metrics("m", 0..20_000);
    logger.metric_says("plantd_logger_received_total", 20_000.0);
    let dropped = || logger.metric(r#"plantd_logger_dropped_total{reason="spool_full"}"#);
    while dropped() + logger.metric(WAITING) != 20_000.0 {}
    logger.health_contains("full: metrics are dropped");
    let dropped = dropped();
    assert!(dropped > 0.0);
    let used: u64 = segments(spool.path())
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(used <= 1 << 20, "{used}");
    logger.line_of("spool.dropped");

    postgres.up();

    postgres.says(COUNT, 20_000 - dropped as i64).await;
    bus.publish_metrics("n", 0..1);
    logger.health_says("spool", "UP");
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_a_database_leaves_the_rest_in_the_spool() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    postgres.crash();
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(
        command(bus.endpoint(), &postgres.url(), spool.path()).args(["--shutdown-timeout", "1s"]),
    );
    bus.subscription();
    bus.publish_metrics("m", 0..10);
    logger.metric_says("plantd_logger_received_total", 10.0);
    assert_eq!(logger.terminate(), Some(0));
    assert_eq!(logger.line_of("logger.stopped")["fields"]["spooled"], 10);
    assert_eq!(segments(spool.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_is_of_one_logger() {
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let absent = "host=127.0.0.1 port=1 user=plantd";
    let first = Process::start(&mut command(bus.endpoint(), absent, spool.path()));
    first.line_of("logger.started");
    let mut second = Process::start(&mut command(bus.endpoint(), absent, spool.path()));
    assert_eq!(second.exit_code(), Some(1));
    let told = second.line_of("daemon.failed");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("in use by another logger"),
        "{told}"
    );
}

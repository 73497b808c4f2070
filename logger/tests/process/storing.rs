//! What comes from the bus and what is in the table afterwards.

use jiff::{SignedDuration, Timestamp};
use plantd_test_process::Process;
use tempfile::TempDir;

use crate::bus::{Bus, metric, metric_at};
use crate::logger::command;
use crate::postgres::Postgres;

const COUNT: &str = "SELECT count(*) FROM metrics";

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_is_a_row_of_the_table() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
    assert_eq!(bus.subscription(), "org.plantd.metric.");

    let now = Timestamp::now();
    let payload = format!(
        r#"{{"timestamp":"{now}","service":"pump","name":"flow","value":-1.5e-3,"units":"m3/s","tags":{{"host":"a","line":[1,2]}}}}"#
    );
    bus.publish("org.plantd.metric.pump.flow", payload);
    postgres.says(COUNT, 1).await;

    let query = "SELECT (extract(epoch FROM timestamp) * 1000000)::bigint, service_name, \
                 metric_name, value, tags::text FROM metrics";
    let row = postgres.row(query).await;
    assert_eq!(row.get::<_, i64>(0), now.as_microsecond());
    assert_eq!(row.get::<_, &str>(1), "pump");
    assert_eq!(row.get::<_, &str>(2), "flow");
    assert_eq!(row.get::<_, f64>(3), -1.5e-3);
    let tags = r#"{"host": "a", "line": [1, 2], "units": "m3/s"}"#;
    assert_eq!(row.get::<_, &str>(4), tags);
    let columns = "SELECT column_name || ' ' || data_type FROM information_schema.columns \
                   WHERE table_name = 'metrics' ORDER BY ordinal_position";
    let expected = [
        "timestamp timestamp with time zone",
        "service_name text",
        "metric_name text",
        "value double precision",
        "tags jsonb",
    ];
    assert_eq!(postgres.column(columns).await, expected);
    assert_eq!(logger.metric("plantd_logger_stored_total"), 1.0);
    for check in ["bus_connection", "database_connection", "spool", "storing"] {
        logger.health_says(check, "UP");
    }
    assert_eq!(logger.terminate(), Some(0));
    assert_eq!(
        spool.path().read_dir().unwrap().count(),
        1,
        "only its lock is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_metric_is_counted_and_stops_nothing() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
    bus.subscription();
    let topic = "org.plantd.metric.test";
    let with = |from: &str, to: &str| metric("m", 1).replace(from, to);
    for (reason, payload) in [
        ("not_json", "hello".to_owned()),
        ("not_json", "\0\u{7f}".to_owned()),
        ("missing_field", "{}".to_owned()),
        ("wrong_type", with(r#""value":1"#, r#""value":"1""#)),
        ("not_finite", with(r#""value":1"#, r#""value":NaN"#)),
        (
            "bad_timestamp",
            with(r#""timestamp":""#, r#""timestamp":"x"#),
        ),
        ("bad_name", with(r#""name":"m""#, r#""name":"""#)),
        ("bad_tags", with(r#""host":"a""#, r#""host":"\u0000""#)),
        (
            "in_the_future",
            with(r#""timestamp":"2"#, r#""timestamp":"3"#),
        ),
    ] {
        let name = format!("plantd_logger_refused_total{{reason=\"{reason}\"}}");
        let before = logger.metric(&name);
        bus.publish(topic, metric("good", 1));
        bus.publish(topic, payload);
        logger.metric_says(&name, before + 1.0);
    }
    // Of other shapes than a topic and a payload.
    bus.send(&[topic.as_bytes()]);
    bus.send(&[topic.as_bytes(), b"", b"", b"", b""]);
    bus.publish(topic, metric("good", 1));
    postgres.says(COUNT, 10).await;
    let told = logger.line_of("metric.refused");
    assert_eq!(told["level"], "warn");
    assert_eq!(told["fields"]["reason"], "not_json");
    assert_eq!(told["message"], "no metric: expected a JSON object");
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_stored_when_it_is_full_and_at_the_end() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(
        command(bus.endpoint(), &postgres.url(), spool.path()).args([
            "--batch-metrics",
            "10",
            "--batch-interval",
            "60s",
        ]),
    );
    bus.subscription();
    bus.publish_metrics("m", 0..25);
    postgres.says(COUNT, 20).await;
    assert_eq!(logger.terminate(), Some(0));
    postgres.says(COUNT, 25).await;
    let transactions = "SELECT count(DISTINCT xmin::text) FROM metrics";
    assert_eq!(postgres.row(transactions).await.get::<_, i64>(0), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_database_refuses_are_dropped_alone() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
    bus.subscription();
    logger.health_says("storing", "UP");
    postgres
        .execute("ALTER TABLE metrics ADD CHECK (value <> 3 AND value <> 77)")
        .await;
    bus.publish_metrics("m", 0..100);
    postgres.says(COUNT, 98).await;
    let order =
        "SELECT array_agg(value ORDER BY ctid) = array_agg(value ORDER BY value) FROM metrics";
    assert!(postgres.row(order).await.get::<_, bool>(0));
    let dropped = r#"plantd_logger_dropped_total{reason="refused_by_database"}"#;
    logger.metric_says(dropped, 2.0);
    assert_eq!(logger.metric("plantd_logger_stored_total"), 98.0);
    let told = logger.line_of("database.refused");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("check constraint"),
        "{told}"
    );
    logger.health_says("storing", "UP");
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_day_has_a_partition_and_what_is_older_a_place() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(&mut command(bus.endpoint(), &postgres.url(), spool.path()));
    bus.subscription();
    logger.health_says("storing", "UP");
    let partitions = "SELECT relid::text FROM pg_partition_tree('metrics') WHERE isleaf ORDER BY 1";
    // Made ahead, before the first metric.
    let made = postgres.column(partitions).await;
    assert_eq!(made.len(), 4, "{made:?}");
    assert!(made[3].starts_with("metrics_before_"), "{made:?}");
    let now = Timestamp::now();
    let hours = SignedDuration::from_hours;
    for timestamp in [
        "1995-06-01T00:00:00Z".parse().unwrap(),
        now - hours(24),
        now,
        now + hours(23),
    ] {
        bus.publish("org.plantd.metric.m", metric_at(timestamp, "m", 1));
    }
    postgres.says(COUNT, 4).await;
    let older = format!("SELECT count(*) FROM {}", made[3]);
    postgres.says(&older, 2).await;
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_buses_and_topics_are_stored() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (one, other, spool) = (Bus::start(), Bus::start(), TempDir::new().unwrap());
    let buses = format!("[{}, {}]", one.endpoint(), other.endpoint());
    let mut logger = Process::start(
        command(&buses, &postgres.url(), spool.path()).args(["--topics", "[plant.a., plant.b.]"]),
    );
    for bus in [&one, &other] {
        let mut topics = [bus.subscription(), bus.subscription()];
        topics.sort();
        assert_eq!(topics, ["plant.a.", "plant.b."]);
    }
    one.publish("plant.a.x", metric("a", 1));
    other.publish("plant.b.x", metric("b", 1));
    other.publish("plant.c.x", metric("c", 1));
    postgres.says(COUNT, 2).await;
    let names = "SELECT metric_name FROM metrics ORDER BY 1";
    assert_eq!(postgres.column(names).await, ["a", "b"]);
    assert_eq!(logger.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn topic_and_payload_in_one_frame_are_read_too() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (bus, spool) = (Bus::start(), TempDir::new().unwrap());
    let mut logger = Process::start(
        command(bus.endpoint(), &postgres.url(), spool.path()).args(["--transport", "zeromq"]),
    );
    bus.subscription();
    let frame = format!("org.plantd.metric.test.m{}", metric("m", 1));
    bus.send(&[frame.as_bytes()]);
    postgres.says(COUNT, 1).await;
    assert_eq!(logger.terminate(), Some(0));
}

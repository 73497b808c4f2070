//! How many metrics a second the logger stores, beside `COPY` by psql: a row each, in one run.
//!
//! `cargo run --release -p plantd-logger --example measure -- DATABASE [METRICS [RATE]]`, where
//! DATABASE is what psql takes and the database may be written to. METRICS (1,000,000) are published
//! by libzmq, at RATE a second or as fast as they are read, on a bus of this process's own; the
//! logger runs as it does in production, in this process. psql copies the same rows as text, in
//! transactions of 10,000 and in one.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement prints, ends at the first surprise, and is about the clock"
)]

use std::env;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use plantd_daemon::Daemon;
use plantd_daemon::config::{Sources, load};
use plantd_daemon::shutdown::Shutdown;
use tokio_postgres::{Client, NoTls};

/// As many different series as a plant has, roughly.
const SERIES: u64 = 1_000;
const BATCH: u64 = 10_000;

#[tokio::main]
async fn main() {
    let mut arguments = env::args().skip(1);
    let database = arguments.next().expect("what psql takes for a database");
    let mut number = |default| {
        arguments
            .next()
            .map_or(default, |text| text.parse().unwrap())
    };
    let (metrics, rate) = (number(1_000_000), number(0));
    let (client, connection) = tokio_postgres::connect(&database, NoTls).await.unwrap();
    tokio::spawn(connection);

    println!(
        "{metrics} metrics of {SERIES} series, into a table partitioned by day with one index"
    );
    let logged = logged(&database, &client, metrics, rate).await;
    println!(
        "logger                              {}",
        per_second(metrics, logged)
    );
    for (label, batch) in [("of 10,000", BATCH), ("of all   ", metrics)] {
        client.batch_execute("TRUNCATE metrics").await.unwrap();
        let copied = copied(&database, metrics, batch);
        println!(
            "psql COPY, transactions {label}   {}",
            per_second(metrics, copied)
        );
    }
}

fn per_second(metrics: u64, took: Duration) -> String {
    let rate = metrics as f64 / took.as_secs_f64();
    format!("{rate:>9.0}/s   {:.2} s", took.as_secs_f64())
}

/// The time from the first that is published to the last that is in the table.
async fn logged(database: &str, client: &Client, metrics: u64, rate: u64) -> Duration {
    let socket = zmq::Context::new().socket(zmq::XPUB).unwrap();
    socket.set_sndhwm(0).unwrap();
    socket.bind("tcp://127.0.0.1:*").unwrap();
    let bus = socket.get_last_endpoint().unwrap().unwrap();
    let spool = tempfile::tempdir().unwrap();
    let mut sources = Sources::default();
    for (key, value) in [
        ("BUS_ENDPOINT", bus.as_str()),
        ("DATABASE", database),
        ("SPOOL_DIRECTORY", spool.path().to_str().unwrap()),
    ] {
        sources
            .environment
            .insert(format!("PLANTD_LOGGER_{key}"), value.to_owned());
    }
    let config = load::<plantd_logger::Config>(&sources).unwrap().config;
    let shutdown = Shutdown::new();
    let logger = tokio::spawn(plantd_logger::run(config, Daemon::new(shutdown.clone())));
    let publisher = thread::spawn(move || {
        socket.recv_bytes(0).unwrap();
        publish(&socket, metrics, rate)
    });
    let begun = tokio::task::spawn_blocking(|| publisher.join().unwrap())
        .await
        .unwrap();
    // A stop stores what was read, and not what is still on its way.
    while !is_stored(client, metrics).await {}
    let took = begun.elapsed();
    shutdown.request();
    logger.await.unwrap().unwrap();
    took
}

/// Whether the last metric is in the table, found by its index.
async fn is_stored(client: &Client, metrics: u64) -> bool {
    let (series, value) = ((metrics - 1) % SERIES, (metrics - 1) as f64 + 0.5);
    let query = format!(
        "SELECT EXISTS (SELECT FROM metrics WHERE service_name = 'host' \
         AND metric_name = 'series.{series}' AND value = {value} \
         AND timestamp > now() - INTERVAL '1 hour')"
    );
    tokio::time::sleep(Duration::from_millis(5)).await;
    // Before the first batch there is no table.
    let found = client.query_one(&query, &[]).await;
    found.is_ok_and(|row| row.get(0))
}

/// Publishes all, and returns when it began.
fn publish(socket: &zmq::Socket, metrics: u64, rate: u64) -> Instant {
    let begun = Instant::now();
    for number in 0..metrics {
        let series = number % SERIES;
        let payload = format!(
            r#"{{"timestamp":"{}","service":"host","name":"series.{series}","value":{number}.5,"units":"bytes","tags":{{"host":"press-3"}}}}"#,
            jiff::Timestamp::now()
        );
        let topic = format!("org.plantd.metric.host.series.{series}");
        socket
            .send_multipart([topic.as_bytes(), payload.as_bytes()], 0)
            .unwrap();
        if rate > 0 {
            let due = begun + Duration::from_secs_f64(number as f64 / rate as f64);
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
    }
    begun
}

/// The time that psql takes for the same rows.
fn copied(database: &str, metrics: u64, batch: u64) -> Duration {
    let mut script = String::new();
    let now = jiff::Timestamp::now();
    for number in 0..metrics {
        if number % batch == 0 {
            script += if number == 0 { "" } else { "\\.\n" };
            script += "COPY metrics FROM STDIN;\n";
        }
        let series = number % SERIES;
        let tags = r#"{"host":"press-3","units":"bytes"}"#;
        writeln!(script, "{now}\thost\tseries.{series}\t{number}.5\t{tags}").unwrap();
    }
    script += "\\.\n";
    let begun = Instant::now();
    let mut psql = Command::new("psql")
        .args(["--quiet", "--set=ON_ERROR_STOP=1", database])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    psql.stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    assert!(psql.wait().unwrap().success());
    begun.elapsed()
}

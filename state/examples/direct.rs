//! What the broker's hop costs: `cargo run --release -p plantd-state --example direct`.
//!
//! One state service that is registered at a broker and listens itself, on a temporary folder. Its
//! clients take turns: through the broker, then directly. The ratio is taken within each turn, and the
//! medians of the turns are shown. Broker, service and client have a runtime each, in one process.
#![expect(
    clippy::print_stdout,
    reason = "the figures are for whoever runs the example"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plantd_client::{Body, Client};
use plantd_daemon::Daemon;
use plantd_daemon::config::{Settings, Sources, load};
use plantd_daemon::shutdown::Shutdown;

const KEYS: u64 = 10_000;
const TURNS: usize = 9;
const TURN: Duration = Duration::from_millis(700);

/// What is measured in one turn of one way.
struct Case {
    name: &'static str,
    operation: &'static str,
    window: u64,
    /// Whether the median latency is shown, in microseconds, or the rate.
    shows_latency: bool,
}

const CASES: [Case; 4] = [
    case("get, one at a time: p50 µs", "state-get", 1, true),
    case("get, 500 in flight: /s", "state-get", 500, false),
    case("set, one at a time: p50 µs", "state-set", 1, true),
    case("set, 500 in flight: /s", "state-set", 500, false),
];

const fn case(
    name: &'static str,
    operation: &'static str,
    window: u64,
    shows_latency: bool,
) -> Case {
    Case {
        name,
        operation,
        window,
        shows_latency,
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(".")?;
    let broker: plantd_broker::Config = config("BROKER", &[("ENDPOINT", "tcp://127.0.0.1:0")])?;
    let daemon = Daemon::new(Shutdown::new());
    let running = plantd_broker::start(broker, &daemon).await?;
    let through = running.endpoints()[0].to_string();
    let direct = free_endpoint()?;
    let database = folder.path().join("state.db").display().to_string();
    let variables = [
        ("BROKER_ENDPOINT", through.as_str()),
        ("ENDPOINT", &direct),
        ("BUS_ENDPOINT", ""),
        ("DB", &database),
        ("BACKUP_INTERVAL", "0"),
    ];
    let state: plantd_state::Config = config("STATE", &variables)?;
    let stop = Shutdown::new();
    let state_daemon = Daemon::new(stop.clone());
    let serving = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(plantd_state::run(state, state_daemon))
    });
    let ways = [Client::connect(&through)?, Client::connect(&direct)?];
    for key in 0..KEYS {
        ways[1]
            .request("org.plantd.State", body("state-set", key))
            .await?;
    }
    println!("| | through the broker | direct | direct ÷ broker |\n| --- | --- | --- | --- |");
    for case in CASES {
        let mut measured = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            let broker = measure(&ways[0], &case).await?;
            let direct = measure(&ways[1], &case).await?;
            for (all, value) in measured.iter_mut().zip([broker, direct, direct / broker]) {
                all.push(value);
            }
        }
        let [broker, direct, ratio] = measured.map(median);
        println!("| {} | {broker:.0} | {direct:.0} | {ratio:.2} |", case.name);
    }
    stop.request();
    serving.join().expect("the service does not panic")
}

/// The rate, or the median latency.
#[expect(
    clippy::disallowed_methods,
    reason = "the one clock of the measurement"
)]
async fn measure(client: &Client, case: &Case) -> anyhow::Result<f64> {
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let until = began + TURN;
    let operation = case.operation;
    let askers = (0..case.window).map(|asker| {
        let (client, done) = (client.clone(), done.clone());
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut at = asker * 7_919;
            let mut now = Instant::now();
            while now < until {
                at += 1;
                client
                    .request("org.plantd.State", body(operation, at % KEYS))
                    .await?;
                done.fetch_add(1, Ordering::Relaxed);
                let asked = std::mem::replace(&mut now, Instant::now());
                latencies.push((now - asked).as_secs_f64() * 1e6);
            }
            anyhow::Ok(latencies)
        })
    });
    let mut latencies = Vec::new();
    for asker in askers.collect::<Vec<_>>() {
        latencies.extend(asker.await??);
    }
    if case.shows_latency {
        return Ok(median(latencies));
    }
    Ok(done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn body(operation: &str, key: u64) -> Body {
    let value = match operation {
        "state-set" => {
            r#","value":"0123456789012345678901234567890123456789012345678901234567890123","echo":false"#
        }
        _ => "",
    };
    let json = format!(r#"{{"scope":"org.example","key":"key/{key}"{value}}}"#);
    Body::from_frames([operation.as_bytes(), json.as_bytes()])
}

/// A port that is free now, since the service does not tell which one it took.
fn free_endpoint() -> anyhow::Result<String> {
    let free = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(format!("tcp://{}", free.local_addr()?))
}

fn config<T: Settings>(name: &str, variables: &[(&str, &str)]) -> anyhow::Result<T> {
    let mut sources = Sources::default();
    let variables = variables
        .iter()
        .map(|(key, value)| (format!("PLANTD_{name}_{key}"), (*value).to_owned()));
    sources.environment.extend(variables);
    Ok(load::<T>(&sources)?.config)
}

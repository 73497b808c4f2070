//! What a read from a client's cache costs, beside one that asks the service:
//! `cargo run --release -p plantd-state --example cached`.
//!
//! A broker with a state bus, the service on a temporary folder and clients in one process.
#![expect(
    clippy::print_stdout,
    reason = "the figures are for whoever runs the example"
)]

use std::time::{Duration, Instant};

use plantd_client::state::{Cache, Scope};
use plantd_client::{Client, State};
use plantd_daemon::Daemon;
use plantd_daemon::config::{Settings, Sources, load};
use plantd_daemon::shutdown::Shutdown;

const KEYS: usize = 1_000;
const HITS: usize = 2_000_000;
const ASKED: usize = 20_000;
const CHANGES: usize = 2_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(".")?;
    let bus = "[{name: state, frontend: 'tcp://127.0.0.1:0', backend: 'tcp://127.0.0.1:0'}]";
    let broker =
        config::<plantd_broker::Config>(&[("ENDPOINT", "tcp://127.0.0.1:0"), ("BUSES", bus)])?;
    let daemon = Daemon::new(Shutdown::new());
    let running = plantd_broker::start(broker, &daemon).await?;
    let endpoint = running.endpoints()[0].to_string();
    let bus = &running.buses()[0];
    let database = folder.path().join("state.db").display().to_string();
    let state = config::<plantd_state::Config>(&[
        ("BROKER_ENDPOINT", &endpoint),
        ("BUS_ENDPOINT", &bus.frontend[0].to_string()),
        ("DB", &database),
    ])?;
    let state_daemon = Daemon::new(Shutdown::new());
    let stop = state_daemon.shutdown.clone();
    let serving = tokio::spawn(plantd_state::run(state, state_daemon));

    let others = State::new(&Client::connect(&endpoint)?).scope("org.example");
    let cache = Cache::builder().broker(bus.backend[0].to_string());
    let cache = cache.age(Duration::from_secs(3_600)).build()?;
    let state = State::builder(&Client::connect(&endpoint)?).cache(cache);
    let state = state.build();
    let scope = state.scope("org.example");
    let keys: Vec<String> = (0..KEYS).map(|key| format!("key/{key}")).collect();
    for key in &keys {
        others.set(key, &"0123456789".repeat(6)).await?;
    }
    // Until each of them is answered from memory.
    while state
        .cache_stats()
        .is_none_or(|it| it.entries < KEYS as u64)
    {
        for key in &keys {
            scope.get_value(key).await?;
        }
    }
    for round in 1..=3 {
        let hit = time_of(&scope, &keys, HITS).await?;
        let decoded = time_of_decoded(&scope, &keys, HITS / 4).await?;
        let asked = time_of(&others, &keys, ASKED).await?;
        println!(
            "round {round}: a hit {} ns, decoded as a text {} ns; asked {asked:.1?}",
            hit.as_nanos(),
            decoded.as_nanos()
        );
    }
    println!(
        "after a change of others: {}",
        time_to_see(&scope, &others).await?
    );
    let stats = state.cache_stats().unwrap_or_default();
    println!("{stats:?}, hit rate {:.3}", stats.hit_rate().unwrap_or(0.0));
    stop.request();
    serving.await?
}

/// The mean of so many reads, one after the other.
async fn time_of(scope: &Scope, keys: &[String], reads: usize) -> anyhow::Result<Duration> {
    let began = clock();
    for key in keys.iter().cycle().take(reads) {
        anyhow::ensure!(scope.get_value(key).await?.is_some(), "it is there");
    }
    Ok(began.elapsed().div_f64(reads as f64))
}

async fn time_of_decoded(scope: &Scope, keys: &[String], reads: usize) -> anyhow::Result<Duration> {
    let began = clock();
    for key in keys.iter().cycle().take(reads) {
        anyhow::ensure!(scope.get::<String>(key).await?.is_some(), "it is there");
    }
    Ok(began.elapsed().div_f64(reads as f64))
}

/// How long after a write was answered the cache has it.
async fn time_to_see(scope: &Scope, others: &Scope) -> anyhow::Result<String> {
    let mut times = Vec::with_capacity(CHANGES);
    scope.get_value("changing").await?;
    for value in 0..CHANGES {
        others.set("changing", &value).await?;
        let began = clock();
        while scope
            .get::<usize>("changing")
            .await?
            .is_none_or(|it| it.value != value)
        {
            tokio::task::yield_now().await;
        }
        times.push(began.elapsed());
        // From memory again.
        scope.get_value("changing").await?;
    }
    times.sort();
    let at = |share: usize| times[CHANGES * share / 100];
    Ok(format!(
        "seen after {:.0?} (median), {:.0?} (99 %)",
        at(50),
        at(99)
    ))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one clock of the measurement"
)]
fn clock() -> Instant {
    Instant::now()
}

fn config<T: Settings>(variables: &[(&str, &str)]) -> anyhow::Result<T> {
    let name = T::NAME.to_uppercase();
    let mut sources = Sources::default();
    let variables = variables
        .iter()
        .map(|(key, value)| (format!("PLANTD_{name}_{key}"), (*value).to_owned()));
    sources.environment.extend(variables);
    Ok(load::<T>(&sources)?.config)
}

//! The example that reads through a cache, as a process: what it answers, and what its metrics say.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::env;

use plantd_client::{Client, State};
use plantd_daemon::Daemon;
use plantd_daemon::config::{Settings, Sources, load};
use plantd_daemon::shutdown::Shutdown;
use plantd_test_process::{Process, program};

const NAME: &str = "org.example.Settings";

fn config<T: Settings>(variables: &[(&str, &str)]) -> T {
    let name = T::NAME.to_uppercase();
    let mut sources = Sources::default();
    let variables = variables
        .iter()
        .map(|(key, value)| (format!("PLANTD_{name}_{key}"), (*value).to_owned()));
    sources.environment.extend(variables);
    load::<T>(&sources).unwrap().config
}

/// `examples/settings.rs`, which cargo builds with the tests.
fn module(broker: &str, bus: &str) -> Process {
    let tests = env::current_exe().unwrap();
    let example = tests.ancestors().nth(2).unwrap().join("examples/settings");
    assert!(
        example.is_file(),
        "{} is built by `cargo test` of the whole package",
        example.display()
    );
    let mut command = program(example, env!("CARGO_TARGET_TMPDIR"));
    command.args(["--broker-endpoint", broker, "--bus-endpoint", bus]);
    Process::start(command.args(["--health-port", "0"]))
}

/// A count of the cache.
fn count(module: &Process, name: &str) -> f64 {
    module.metric(&format!("plantd_settings_state_cache_{name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_answers_from_its_cache_and_its_metrics_say_how_often() {
    let folder = tempfile::tempdir().unwrap();
    let bus = "[{name: state, frontend: 'tcp://127.0.0.1:0', backend: 'tcp://127.0.0.1:0'}]";
    let broker =
        config::<plantd_broker::Config>(&[("ENDPOINT", "tcp://127.0.0.1:0"), ("BUSES", bus)]);
    let shutdown = Shutdown::new();
    let daemon = Daemon::new(shutdown.clone());
    let running = plantd_broker::start(broker, &daemon).await.unwrap();
    let endpoint = running.endpoints()[0].to_string();
    let bus = &running.buses()[0];
    let daemon = Daemon::new(shutdown.clone());
    let keeping = config::<plantd_state::Config>(&[
        ("BROKER_ENDPOINT", &endpoint),
        ("BUS_ENDPOINT", &bus.frontend[0].to_string()),
        ("DB", folder.path().join("state.db").to_str().unwrap()),
    ]);
    let keeping = tokio::spawn(plantd_state::run(keeping, daemon));
    let module = module(&endpoint, &bus.backend[0].to_string());
    let client = Client::connect(&endpoint).unwrap();
    let settings = State::new(&client).scope(NAME);
    for value in 0..3_u64 {
        settings.set("speed", &value).await.unwrap();
        let before = count(&module, "hits_total");
        // The change comes by the bus, and then it is answered from memory.
        loop {
            let reply = client.request(NAME, "speed").await.unwrap();
            let is_new = reply.body.text() == Ok(&value.to_string());
            if is_new && count(&module, "hits_total") > before {
                break;
            }
        }
    }
    for (name, expected) in [
        ("scopes", 1.0),
        ("entries", 1.0),
        ("interruptions_total", 0.0),
    ] {
        assert_eq!(count(&module, name), expected, "{name}");
    }
    assert!(count(&module, "bytes") > 0.0);
    assert!(count(&module, "misses_total") > 0.0 && count(&module, "bypassed_total") > 0.0);
    assert!(count(&module, "invalidated_total") >= 2.0);
    drop(module);
    shutdown.request();
    keeping.await.unwrap().unwrap();
    running.ended().await.unwrap();
}

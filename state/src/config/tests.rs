//! What the configuration takes and refuses.

use plantd_daemon::config::{Sources, inconsistencies, load};

use super::*;

fn with(variables: &[(&str, &str)]) -> Sources {
    let environment = variables
        .iter()
        .map(|(key, value)| (format!("PLANTD_STATE_{key}"), (*value).to_owned()));
    Sources {
        environment: environment.collect(),
        ..Sources::default()
    }
}

#[test]
fn every_key_is_described_and_every_default_reads_back() {
    assert_eq!(inconsistencies::<Config>(), Vec::<String>::new());
    assert_eq!(
        load::<Config>(&with(&[])).unwrap().config,
        Config::default()
    );
}

#[test]
fn the_bus_may_be_left_out_and_backups_are_beside_the_database() {
    let config = load::<Config>(&with(&[("BUS_ENDPOINT", ""), ("DB", "/var/lib/s.db")]));
    let config = config.unwrap().config;
    assert_eq!(config.bus_endpoint, None);
    assert_eq!(
        config.to_backup_folder(),
        Path::new("/var/lib/s.db-backups")
    );
}

#[test]
fn an_endpoint_that_others_can_reach_needs_allow_anonymous() {
    let open = [("ENDPOINT", "[tcp://127.0.0.1:9798, 'tcp://*:9798']")];
    let refusal = load::<Config>(&with(&open)).unwrap_err().to_string();
    assert!(refusal.contains("\n    allow_anonymous: true"), "{refusal}");
    let meant = [open[0], ("ALLOW_ANONYMOUS", "true")];
    let config = load::<Config>(&with(&meant)).unwrap().config;
    assert_eq!(config.endpoint.unwrap().iter().count(), 2);
    for endpoint in ["tcp://127.0.0.1:9798", "ipc:///run/plantd/state"] {
        load::<Config>(&with(&[("ENDPOINT", endpoint)])).unwrap();
    }
}

#[test]
fn there_is_a_broker_or_an_endpoint() {
    let neither = with(&[("BROKER_ENDPOINT", "")]);
    let errors = load::<Config>(&neither).unwrap_err().errors;
    assert_eq!(errors[0].key, "broker_endpoint");
    let own = [("BROKER_ENDPOINT", ""), ("ENDPOINT", "tcp://127.0.0.1:0")];
    let config = load::<Config>(&with(&own)).unwrap().config;
    assert_eq!(config.broker_endpoint, None);
    let router = [
        own[0],
        own[1],
        ("ROLE", "router"),
        ("SHARDS", "[{name: all, rest: true}]"),
    ];
    let errors = load::<Config>(&with(&router)).unwrap_err().errors;
    assert_eq!(errors[0].key, "broker_endpoint");
}

#[test]
fn limits_of_its_own_endpoint_reach_the_worker() {
    let limits = with(&[
        ("LIMITS_CONNECTIONS", "7"),
        ("LIMITS_CONNECTIONS_PER_ADDRESS", "3"),
        ("LIMITS_MEMORY", "64MiB"),
    ]);
    let config = load::<Config>(&limits).unwrap().config;
    let expected = ListenerLimits {
        connections: 7,
        connections_per_address: 3,
        memory_bytes: 64 << 20,
    };
    assert_eq!(config.to_listener_limits(), expected);
}

#[test]
fn every_problem_is_told_at_once() {
    let sources = with(&[
        ("BROKER_ENDPOINT", "tcp://*:9797"),
        ("BUS_ENDPOINT", "tcp://*:13000"),
        ("SERVICE", "mmi.state"),
        ("CONCURRENCY", "5000"),
        ("RETRY_WINDOW", "2d"),
        ("BACKUP_KEEP", "0"),
        ("HISTORY_COUNT", "0"),
        ("HISTORY_AGE", "1ms"),
        ("HISTORY_PER_KEY", "1001"),
        ("LIMITS_VALUE", "3MiB"),
        ("LIMITS_SCOPES", "0"),
        ("LIMITS_WATCHES", "0"),
        ("LIMITS_CONNECTIONS", "0"),
        ("LIMITS_CONNECTIONS_PER_ADDRESS", "0"),
        ("LIMITS_MEMORY", "1MiB"),
        ("ENDPOINT", "tcp://*:9798"),
    ]);
    let errors = load::<Config>(&sources).unwrap_err().errors;
    let mut keys: Vec<String> = errors.into_iter().map(|error| error.key).collect();
    keys.sort();
    let expected = [
        "backup.keep",
        "broker_endpoint",
        "bus_endpoint",
        "concurrency",
        "endpoint",
        "history.age",
        "history.count",
        "history.per_key",
        "limits.connections",
        "limits.connections_per_address",
        "limits.memory",
        "limits.scopes",
        "limits.value",
        "limits.watches",
        "retry_window",
        "service",
    ];
    assert_eq!(keys, expected);
}

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
        ("LIMITS_VALUE", "3MiB"),
        ("LIMITS_SCOPES", "0"),
        ("LIMITS_WATCHES", "0"),
    ]);
    let errors = load::<Config>(&sources).unwrap_err().errors;
    let mut keys: Vec<String> = errors.into_iter().map(|error| error.key).collect();
    keys.sort();
    let expected = [
        "backup.keep",
        "broker_endpoint",
        "bus_endpoint",
        "concurrency",
        "history.age",
        "history.count",
        "limits.scopes",
        "limits.value",
        "limits.watches",
        "retry_window",
        "service",
    ];
    assert_eq!(keys, expected);
}

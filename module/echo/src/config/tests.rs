//! What the configuration takes and refuses.

use plantd_daemon::config::{Sources, inconsistencies, load};

use super::*;

fn with(variables: &[(&str, &str)]) -> Sources {
    let environment = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
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
fn the_environment_reaches_every_key_of_the_module() {
    let sources = with(&[
        (
            "PLANTD_MODULE_ECHO_BROKER_ENDPOINT",
            "[tcp://a:1, ipc:///run/b]",
        ),
        ("PLANTD_MODULE_ECHO_SERVICE", "org.example.Echo"),
        ("PLANTD_MODULE_ECHO_CONCURRENCY", "4"),
        ("PLANTD_MODULE_ECHO_TRANSPORT", "zeromq"),
    ]);
    let config = load::<Config>(&sources).unwrap().config;
    let brokers: Vec<String> = config
        .broker_endpoint
        .iter()
        .map(Endpoint::to_string)
        .collect();
    assert_eq!(brokers, ["tcp://a:1", "ipc:///run/b"]);
    assert_eq!(config.service, "org.example.Echo");
    assert_eq!(config.concurrency, 4);
    assert_eq!(config.transport, Transport::Zeromq);
}

#[test]
fn every_problem_is_told_at_once() {
    let sources = with(&[
        ("PLANTD_MODULE_ECHO_BROKER_ENDPOINT", "127.0.0.1:9797"),
        ("PLANTD_MODULE_ECHO_SERVICE", "mmi.echo"),
        ("PLANTD_MODULE_ECHO_CONCURRENCY", "0"),
        ("PLANTD_MODULE_ECHO_TRANSPORT", "carrier-pigeon"),
    ]);
    let mut keys: Vec<String> = load::<Config>(&sources)
        .unwrap_err()
        .errors
        .into_iter()
        .map(|error| error.key)
        .collect();
    keys.sort();
    assert_eq!(
        keys,
        ["broker_endpoint", "concurrency", "service", "transport"]
    );
}

#[test]
fn a_broker_is_something_that_can_be_dialled() {
    for endpoint in [
        "tcp://*:9797",
        "tcp://127.0.0.1:0",
        "[]",
        "[tcp://a:1, b]",
        "",
    ] {
        let sources = with(&[("PLANTD_MODULE_ECHO_BROKER_ENDPOINT", endpoint)]);
        assert!(load::<Config>(&sources).is_err(), "{endpoint}");
    }
}

//! What the configuration takes and refuses.

use plantd_daemon::config::{Sources, inconsistencies, load};

use super::*;

fn with(variables: &[(&str, &str)]) -> Sources {
    let environment = variables
        .iter()
        .map(|(name, value)| (format!("PLANTD_MODULE_METRIC_{name}"), (*value).to_owned()));
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
        ("BROKER_ENDPOINT", "tcp://a:1"),
        ("SERVICE", "org.example.Metric"),
        ("BUS_ENDPOINT", "[tcp://a:2, ipc:///run/b]"),
        ("TRANSPORT", "plantd"),
        ("INTERVAL", "2.5s"),
        ("HOST", "press-3"),
    ]);
    let config = load::<Config>(&sources).unwrap().config;
    let text = |endpoints: &OneOrMore<Endpoint>| {
        let texts: Vec<String> = endpoints.iter().map(Endpoint::to_string).collect();
        texts.join(" ")
    };
    assert_eq!(text(&config.broker_endpoint), "tcp://a:1");
    assert_eq!(text(&config.bus_endpoint), "tcp://a:2 ipc:///run/b");
    assert_eq!(config.service, "org.example.Metric");
    assert_eq!(config.transport, Transport::Plantd);
    assert_eq!(config.interval, TimeSpan::from_millis(2_500));
    assert_eq!(config.host.as_deref(), Some("press-3"));
}

#[test]
fn every_problem_is_told_at_once() {
    let sources = with(&[
        ("BROKER_ENDPOINT", "tcp://*:9797"),
        ("SERVICE", "mmi.metric"),
        ("BUS_ENDPOINT", "tcp://127.0.0.1:0"),
        ("TRANSPORT", "carrier-pigeon"),
        ("INTERVAL", "100ms"),
    ]);
    let errors = load::<Config>(&sources).unwrap_err().errors;
    let mut keys: Vec<&str> = errors.iter().map(|error| &*error.key).collect();
    keys.sort_unstable();
    let expected = [
        "broker_endpoint",
        "bus_endpoint",
        "interval",
        "service",
        "transport",
    ];
    assert_eq!(keys, expected);
}

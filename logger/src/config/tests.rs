//! What the configuration takes and refuses.

use plantd_daemon::config::{CommandLine, Sources, command_line, inconsistencies, load};

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
fn the_environment_reaches_every_key_of_the_logger() {
    let sources = with(&[
        (
            "PLANTD_LOGGER_BUS_ENDPOINT",
            "[tcp://a:11001, tcp://b:12001]",
        ),
        ("PLANTD_LOGGER_TOPICS", "[org.plantd.metric., '']"),
        ("PLANTD_LOGGER_TRANSPORT", "zeromq"),
        ("PLANTD_LOGGER_DATABASE", "host=/run/postgresql dbname=m"),
        ("PLANTD_LOGGER_BATCH_METRICS", "500"),
        ("PLANTD_LOGGER_BATCH_INTERVAL", "250ms"),
        ("PLANTD_LOGGER_SPOOL_DIRECTORY", "/var/lib/plantd"),
        ("PLANTD_LOGGER_SPOOL_LIMIT", "10GiB"),
        ("PLANTD_LOGGER_RETENTION", "90d"),
    ]);
    let config = load::<Config>(&sources).unwrap().config;
    let buses = config.bus_endpoint.iter().map(Endpoint::to_string);
    assert_eq!(
        buses.collect::<Vec<_>>(),
        ["tcp://a:11001", "tcp://b:12001"]
    );
    let topics: Vec<String> = config.topics.iter().map(Prefix::to_string).collect();
    assert_eq!(topics, ["org.plantd.metric.", ""]);
    assert_eq!(config.transport, Transport::Zeromq);
    assert_eq!(config.database.client_config().get_dbname(), Some("m"));
    assert_eq!(config.batch_metrics, 500);
    assert_eq!(config.batch_interval, TimeSpan::from_millis(250));
    assert_eq!(config.spool_directory, PathBuf::from("/var/lib/plantd"));
    assert_eq!(config.spool_limit, ByteSize::from_mib(10 * 1024));
    assert_eq!(config.retention, Some(TimeSpan::from_secs(90 * 86_400)));
}

#[test]
fn every_problem_is_told_at_once() {
    let sources = with(&[
        ("PLANTD_LOGGER_BUS_ENDPOINT", "tcp://*:11001"),
        ("PLANTD_LOGGER_TOPICS", &"x".repeat(256)),
        ("PLANTD_LOGGER_TRANSPORT", "carrier-pigeon"),
        ("PLANTD_LOGGER_DATABASE", "postgresql://h/d?sslmode=require"),
        ("PLANTD_LOGGER_BATCH_METRICS", "0"),
        ("PLANTD_LOGGER_BATCH_INTERVAL", "2m"),
        ("PLANTD_LOGGER_SPOOL_LIMIT", "100KB"),
        ("PLANTD_LOGGER_RETENTION", "1h"),
    ]);
    let errors = load::<Config>(&sources).unwrap_err().errors;
    let mut keys: Vec<&str> = errors.iter().map(|error| &*error.key).collect();
    keys.sort_unstable();
    let expected = [
        "batch_interval",
        "batch_metrics",
        "bus_endpoint",
        "database",
        "retention",
        "spool_limit",
        "topics",
        "transport",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn the_password_of_the_database_is_never_shown() {
    for database in [
        "postgresql://u:hunter2@h:5432/d",
        "postgres://u:hunter2@h,g:6/d?application_name=x",
        "postgresql://h/d?user=u&password=hunter2",
        "host=h user=u password=hunter2 dbname=d",
        "host=/run/postgresql user=u password='hunter2'",
    ] {
        let mut sources = with(&[("PLANTD_LOGGER_DATABASE", database)]);
        let config = load::<Config>(&sources).unwrap().config;
        assert_eq!(
            config.database.client_config().get_password(),
            Some(&b"hunter2"[..])
        );
        assert!(!format!("{config:?}").contains("hunter2"), "{database}");
        sources.arguments = vec!["--print-config".to_owned()];
        let CommandLine::Print(printed) = command_line::<Config>(&sources).unwrap() else {
            panic!("it is to be printed");
        };
        assert!(
            printed.contains("database: \"postgresql://u:***@"),
            "{printed}"
        );
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

#[test]
fn the_password_of_a_database_that_is_refused_is_not_shown_either() {
    for database in [
        "postgresql://u:hunter2@h:port/d",
        "postgresql://u:hunter2@h/d?sslmode=require",
        "postgresql://u:hunter2@h/d?colour=blue",
        "host=h user=u password=hunter2 colour=blue",
        "u:hunter2@h",
        "postgresql:///d?password=hunter2",
        "[postgresql://u:hunter2@h/d]",
    ] {
        let sources = with(&[("PLANTD_LOGGER_DATABASE", database)]);
        let errors = load::<Config>(&sources).unwrap_err();
        assert!(errors.to_string().contains("database"), "{errors}");
        assert!(!errors.to_string().contains("hunter2"), "{errors}");
    }
}

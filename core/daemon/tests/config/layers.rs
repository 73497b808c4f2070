//! Every key from every layer, and which layer wins.

use std::fs;
use std::path::{Path, PathBuf};

use plantd_daemon::config::{Origin, Shared, Sources, TimeSpan};
use serde_json::{Value, json};

use crate::sample::{
    Broker, Bus, PAPER, arguments, as_text, environment, expected, folder, leaves, loaded, samples,
    tree, variable,
};

#[test]
fn without_any_source_the_defaults_hold() {
    let loaded = loaded(&Sources::default());
    assert_eq!(loaded.config, Broker::default());
    assert_eq!(loaded.origin("endpoint"), Origin::Default);
    assert_eq!(loaded.file, None);
}

#[test]
fn the_samples_cover_every_key() {
    let mut keys = Vec::new();
    leaves(&tree(&Broker::default()), "", &mut keys);
    keys.sort();
    assert_eq!(keys, samples().into_keys().collect::<Vec<_>>());
    for (key, value) in samples() {
        assert_ne!(expected(key, &value), tree(&Broker::default()), "{key}");
    }
}

#[test]
fn every_key_is_reachable_by_argument() {
    for (key, value) in samples() {
        let argument = format!("--{}", key.replace(['.', '_'], "-"));
        let apart = loaded(&arguments([&argument, &as_text(&value)]));
        let attached = loaded(&arguments([&format!("{argument}={}", as_text(&value))]));
        assert_eq!(tree(&apart.config), expected(key, &value));
        assert_eq!(attached.config, apart.config);
        assert_eq!(apart.origin(key), Origin::Argument(argument));
    }
}

#[test]
fn every_key_is_reachable_by_environment() {
    for (key, value) in samples() {
        let loaded = loaded(&environment([(&variable(key), &as_text(&value))]));
        assert_eq!(tree(&loaded.config), expected(key, &value));
        assert_eq!(loaded.origin(key), Origin::Environment(variable(key)));
    }
}

#[test]
fn every_key_is_reachable_by_a_file_that_the_environment_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("value");
    for (key, value) in samples() {
        fs::write(&path, as_text(&value) + "\n").unwrap();
        let variable = variable(key) + "_FILE";
        let loaded = loaded(&environment([(&variable, path.to_str().unwrap())]));
        assert_eq!(tree(&loaded.config), expected(key, &value));
        assert_eq!(
            loaded.origin(key),
            Origin::ValueFile {
                variable,
                path: path.clone()
            }
        );
    }
}

#[test]
fn every_key_is_reachable_by_each_kind_of_file() {
    for (key, value) in samples() {
        let nested = key
            .rsplit('.')
            .fold(value.clone(), |inner, name| json!({name: inner}));
        let mut yaml = String::new();
        for (depth, name) in key.split('.').enumerate() {
            yaml += &format!("\n{}{}:", "  ".repeat(depth), name.replace('_', "-"));
        }
        for (name, text) in [
            ("broker.json", nested.to_string()),
            ("broker.yml", format!("{yaml} {value}\n")),
            ("broker.yaml", format!("# a comment\n{yaml} {value}\n")),
            ("broker.toml", format!("{key} = {}\n", toml(&value))),
        ] {
            let (_folder, sources) = folder(name, &text);
            let loaded = loaded(&sources);
            assert_eq!(tree(&loaded.config), expected(key, &value), "{text}");
            assert!(
                matches!(loaded.origin(key), Origin::File { path, .. } if path.ends_with(name)),
                "{text}"
            );
        }
    }
}

fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(toml).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(table) => {
            let set = table.iter().filter(|(_, value)| !value.is_null());
            let pairs: Vec<_> = set
                .map(|(key, value)| format!("{key} = {}", toml(value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[test]
fn arguments_win_over_environment_over_file_over_defaults() {
    let (folder, mut sources) = folder("broker.yml", "attempts: 4\nratio: 4.0\nhealth_port: 4\n");
    sources.environment = environment([
        ("PLANTD_BROKER_RATIO", "5.5"),
        ("PLANTD_BROKER_HEALTH_PORT", "5"),
    ])
    .environment;
    sources.arguments = vec!["--health-port".to_owned(), "6".to_owned()];

    let loaded = loaded(&sources);

    let config = &loaded.config;
    assert_eq!(
        (config.attempts, config.ratio, config.shared.health_port),
        (4, 5.5, Some(6))
    );
    assert_eq!(config.heartbeat_interval, TimeSpan::from_millis(2_500));
    let path = folder.path().join("broker.yml");
    assert_eq!(
        loaded.origin("attempts"),
        Origin::File {
            path: path.clone(),
            line: Some(1)
        }
    );
    assert_eq!(loaded.file, Some(path));
}

#[test]
fn a_file_is_named_by_argument_then_environment_then_found() {
    let (folder, mut sources) = folder("broker.yml", "attempts: 1");
    for (name, attempts) in [("environment.toml", 2), ("argument.json", 3)] {
        let text = if attempts == 2 {
            "attempts = 2"
        } else {
            r#"{"attempts": 3}"#
        };
        fs::write(folder.path().join(name), text).unwrap();
    }
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();

    assert_eq!(loaded(&sources).config.attempts, 1);
    sources
        .environment
        .insert("PLANTD_BROKER_CONFIG".to_owned(), path("environment.toml"));
    assert_eq!(loaded(&sources).config.attempts, 2);
    sources.arguments = vec!["--config".to_owned(), path("argument.json")];
    assert_eq!(loaded(&sources).config.attempts, 3);
}

#[test]
fn the_first_folder_with_a_file_wins() {
    let (first, _) = folder("broker.toml", "attempts = 1");
    let (second, mut sources) = folder("broker.yml", "attempts: 2");
    sources.directories = vec![
        PathBuf::from("/nowhere"),
        first.path().to_owned(),
        second.path().to_owned(),
    ];
    assert_eq!(loaded(&sources).config.attempts, 1);
}

#[test]
fn a_file_of_comments_changes_nothing() {
    for text in [
        "",
        "# endpoint: x\n",
        "---\n",
        "limits:\n  # outbox_bytes: 1\n",
    ] {
        let (_folder, sources) = folder("broker.yml", text);
        assert_eq!(loaded(&sources).config, Broker::default(), "{text:?}");
    }
}

#[test]
fn the_file_of_the_protocol_works_as_it_stands() {
    let (_folder, sources) = folder("broker.yml", &format!("{PAPER}allow_anonymous: true\n"));
    let config = loaded(&sources).config;
    assert_eq!(config.endpoint, "tcp://*:9797");
    assert_eq!(
        config.client_endpoint.as_deref(),
        Some("tcp://127.0.0.1:9797")
    );
    assert_eq!(config.shared, Shared::with_health_port(8081));
    assert_eq!(
        config.buses,
        [Bus {
            name: "metric".to_owned(),
            frontend: "tcp://*:11000".to_owned(),
            backend: "tcp://*:11001".to_owned(),
            capture: Some("tcp://*:11002".to_owned()),
        }]
    );
}

#[test]
fn empty_text_unsets_what_can_be_unset() {
    let (_folder, mut sources) = folder(
        "broker.yml",
        "client_endpoint: tcp://a:1\nendpoint: tcp://a:1\n",
    );
    sources.environment = environment([
        ("PLANTD_BROKER_CLIENT_ENDPOINT", ""),
        ("PLANTD_BROKER_ENDPOINT", ""),
    ])
    .environment;
    let config = loaded(&sources).config;
    assert_eq!(
        (config.client_endpoint, config.endpoint.as_str()),
        (None, "")
    );
}

#[test]
fn a_flag_needs_no_value() {
    let config = loaded(&arguments(["--allow-anonymous", "--attempts", "4"])).config;
    assert!(config.allow_anonymous && config.attempts == 4);
    assert!(
        !loaded(&arguments(["--allow-anonymous", "false"]))
            .config
            .allow_anonymous
    );
    assert!(
        loaded(&arguments(["--allow_anonymous=true"]))
            .config
            .allow_anonymous
    );
}

#[test]
fn what_kubernetes_injects_is_not_taken_for_a_key() {
    let sources = environment([
        ("PLANTD_BROKER_SERVICE_HOST", "10.0.0.1"),
        ("PLANTD_BROKER_SERVICE_PORT_MDP", "9797"),
        ("PLANTD_BROKER_PORT", "tcp://10.0.0.1:9797"),
        ("PLANTD_BROKER_PORT_9797_TCP_ADDR", "10.0.0.1"),
        ("PLANTD_STATE_ANYTHING", "of another daemon"),
    ]);
    assert_eq!(loaded(&sources).config, Broker::default());
}

#[test]
fn the_folders_of_a_process_are_here_home_and_etc() {
    let sources = Sources::without_arguments();
    assert!(sources.arguments.is_empty());
    assert_eq!(
        sources.directories.first().map(PathBuf::as_path),
        Some(Path::new("."))
    );
    assert_eq!(
        sources.directories.last().map(PathBuf::as_path),
        Some(Path::new("/etc/plantd"))
    );
    assert_eq!(
        sources.environment.get("PATH"),
        std::env::var("PATH").ok().as_ref()
    );
}

#[test]
fn an_unset_health_port_serves_none() {
    let config = loaded(&arguments(["--health-port="])).config;
    assert_eq!(config.shared.health_socket(), None);
    assert_eq!(Shared::without_health().health_socket(), None);
    let config = loaded(&arguments(["--health-port", "0", "--health-address=::1"])).config;
    assert_eq!(config.shared.health_socket(), "[::1]:0".parse().ok());
}

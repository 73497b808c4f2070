//! What a bad configuration is told.

use plantd_daemon::config::{Origin, load, together};

use crate::sample::{Broker, PAPER, arguments, environment, folder, loaded, refused};

#[test]
fn a_named_file_must_be_there_and_be_one_of_settings() {
    let errors = refused(&arguments(["--config", "/nowhere/broker.yml"]));
    assert_eq!(
        errors.errors[0].origin,
        Origin::Argument("--config".to_owned())
    );
    assert_eq!(
        errors.errors[0].value.as_deref(),
        Some("/nowhere/broker.yml")
    );

    let errors = refused(&environment([("PLANTD_BROKER_CONFIG", "/etc/hostname")]));
    assert!(
        errors.to_string().contains(".yml, .yaml, .toml or .json"),
        "{errors}"
    );

    let (folder, sources) = folder("broker.yml", "endpoint: [\n");
    let text = refused(&sources).to_string();
    assert!(
        text.contains(&folder.path().join("broker.yml").display().to_string()),
        "{text}"
    );
    let (_folder, sources) = crate::sample::folder("broker.yml", "- a\n- b\n");
    assert_eq!(refused(&sources).errors.len(), 1);
}

#[test]
fn a_broken_rule_tells_value_origin_and_the_line_to_add() {
    let (folder, sources) = folder("broker.yml", PAPER);
    let path = folder.path().join("broker.yml");
    assert_eq!(
        refused(&sources).to_string(),
        format!(
            "the configuration of broker is refused:\n  endpoint = \"tcp://*:9797\" ({}:1): \
             reaches beyond this host: add `allow_anonymous: true`",
            path.display()
        )
    );
}

#[test]
fn an_unknown_key_names_the_nearest_in_every_layer() {
    let cases = [
        (arguments(["--atempts", "3"]), "--atempts", "--attempts"),
        (
            arguments(["--limits-outbox=3"]),
            "--limits-outbox",
            "--limits-outbox-bytes",
        ),
        (
            environment([("PLANTD_BROKER_LOGLEVEL", "x")]),
            "PLANTD_BROKER_LOGLEVEL",
            "PLANTD_BROKER_LOG_LEVEL",
        ),
    ];
    for (sources, key, nearest) in &cases {
        let errors = refused(sources);
        assert_eq!(errors.errors.len(), 1, "{errors}");
        assert_eq!(errors.errors[0].key, *key);
        assert!(
            errors.errors[0]
                .expected
                .ends_with(&format!("the nearest known one is {nearest}")),
            "{errors}"
        );
    }
    for (text, key, line, nearest) in [
        ("log_level: info\nendpont: x\n", "endpont", 2, "endpoint"),
        (
            "limits:\n  outbox-byte: 1\n",
            "limits.outbox-byte",
            2,
            "outbox_bytes",
        ),
        (
            "limits:\n  peer:\n    request: 1\n",
            "limits.peer.request",
            3,
            "requests",
        ),
    ] {
        let (folder, sources) = folder("broker.yml", text);
        let errors = refused(&sources);
        assert_eq!(errors.errors[0].key, key);
        let path = folder.path().join("broker.yml");
        assert_eq!(
            errors.errors[0].origin,
            Origin::File {
                path,
                line: Some(line)
            }
        );
        assert!(errors.errors[0].expected.ends_with(nearest), "{errors}");
    }
}

#[test]
fn an_unknown_key_inside_a_list_is_refused_too() {
    let bus = "{name: metric, frontend: 'tcp://*:1', backend: 'tcp://*:2', captur: 'tcp://*:3'}";
    let errors = refused(&environment([("PLANTD_BROKER_BUSES", &format!("[{bus}]"))]));
    assert_eq!(errors.errors[0].key, "buses[0].captur");
    assert_eq!(
        errors.errors[0].origin,
        Origin::Environment("PLANTD_BROKER_BUSES".to_owned())
    );
    assert!(errors.errors[0].expected.ends_with("capture"), "{errors}");
}

#[test]
fn every_error_is_told_at_once() {
    let (_folder, mut sources) = folder(
        "broker.yml",
        "endpont: x\nratio: many\nlimits: 5\nbuses:\n  - name: metric\n    frontend: udp://x\n    backend: tcp://y\n",
    );
    sources.arguments = ["--attempts", "-1", "--log-level=inof", "--nope"]
        .map(str::to_owned)
        .into();
    sources.environment = environment([
        ("PLANTD_BROKER_HEALTH_PORT", "99999"),
        ("PLANTD_BROKER_HEARTBEAT_INTERVAL", "soon"),
        ("PLANTD_BROKER_LOG_FORMAT", "xml"),
        ("PLANTD_BROKER_NAMES", "a"),
        ("PLANTD_BROKER_EXTRA", "1"),
    ])
    .environment;

    let errors = refused(&sources);

    let mut told: Vec<_> = errors
        .errors
        .iter()
        .map(|error| {
            (
                error.key.as_str(),
                error.value.as_deref().unwrap_or("-"),
                error.expected.as_str(),
            )
        })
        .collect();
    told.sort();
    let mut wanted = vec![
        (
            "--nope",
            "-",
            "unknown argument; the nearest known one is --names",
        ),
        (
            "PLANTD_BROKER_EXTRA",
            "-",
            "unknown key; the nearest known one is PLANTD_BROKER_RATIO",
        ),
        (
            "attempts",
            "-1",
            "expected a whole number from 0 to 4294967295",
        ),
        (
            "buses[0].frontend",
            "\"udp://x\"",
            "expected tcp://host:port",
        ),
        (
            "endpont",
            "-",
            "unknown key; the nearest known one is endpoint",
        ),
        (
            "health_port",
            "99999",
            "expected a whole number from 0 to 65535",
        ),
        (
            "heartbeat_interval",
            "\"soon\"",
            "expected a time span such as 2.5s, 250ms or 1m, or a number of seconds",
        ),
        ("limits", "-", "expected a table of keys"),
        (
            "log_format",
            "\"xml\"",
            "expected one of `auto`, `json`, `text`",
        ),
        (
            "log_level",
            "\"inof\"",
            "expected trace, debug, info, warn, error, off or filter directives such as info,plantd_broker=debug",
        ),
        ("names", "\"a\"", "expected a list, such as [a, b]"),
        ("ratio", "\"many\"", "expected a number"),
    ];
    wanted.sort();
    assert_eq!(told, wanted);
    assert_eq!(errors.to_string().lines().count(), 1 + wanted.len());
}

#[test]
fn a_value_that_another_layer_overrides_is_not_judged() {
    let (_folder, mut sources) = folder("broker.yml", "attempts: many");
    sources.arguments = vec!["--attempts=4".to_owned()];
    assert_eq!(loaded(&sources).config.attempts, 4);
}

#[test]
fn secrets_are_never_shown() {
    let (_folder, sources) = folder("broker.yml", "admin_password: [hunter2]\n");
    let errors = refused(&sources);
    assert_eq!(
        (errors.errors[0].key.as_str(), &errors.errors[0].value),
        ("admin_password", &None)
    );
    assert!(!errors.to_string().contains("hunter2"), "{errors}");

    let loaded = loaded(&environment([("PLANTD_BROKER_ADMIN_PASSWORD", "hunter2")]));
    assert_eq!(loaded.config.admin_password.as_deref(), Some("hunter2"));
    assert!(
        loaded
            .to_yaml()
            .contains("admin_password: \"***\"  # PLANTD_BROKER_ADMIN_PASSWORD\n")
    );
}

#[test]
fn a_value_and_its_file_exclude_each_other() {
    let sources = environment([
        ("PLANTD_BROKER_ADMIN_PASSWORD", "a"),
        ("PLANTD_BROKER_ADMIN_PASSWORD_FILE", "/run/secrets/admin"),
    ]);
    assert!(refused(&sources).to_string().contains("not both"));
    let sources = environment([("PLANTD_BROKER_ADMIN_PASSWORD_FILE", "/nowhere/admin")]);
    let text = refused(&sources).to_string();
    assert!(
        text.contains("/nowhere/admin") && text.contains("PLANTD_BROKER_ADMIN_PASSWORD_FILE"),
        "{text}"
    );
}

#[test]
fn arguments_without_a_value_or_a_name_are_refused() {
    let errors = refused(&arguments([
        "stray",
        "--attempts",
        "--ratio",
        "0.5",
        "--config",
    ]));
    let keys: Vec<_> = errors
        .errors
        .iter()
        .map(|error| error.key.as_str())
        .collect();
    assert_eq!(keys, ["stray", "--attempts", "--config"]);
}

#[test]
fn both_spellings_of_one_key_are_one_too_many() {
    let (_folder, sources) = folder("broker.yml", "log_level: info\nlog-level: debug\n");
    assert!(refused(&sources).to_string().contains("given twice"));
}

#[test]
fn parts_of_one_process_tell_their_errors_together() {
    let port = load::<Broker>(&environment([("PLANTD_BROKER_HEALTH_PORT", "x")]));
    let ratio = load::<Broker>(&environment([("PLANTD_BROKER_RATIO", "x")]));
    let fine = load::<Broker>(&environment([]));

    assert!(together(fine.clone(), fine.clone()).is_ok());
    assert_eq!(
        together(fine, ratio.clone())
            .expect_err("one is refused")
            .errors
            .len(),
        1
    );
    let errors = together(port, ratio).expect_err("both are refused");
    let keys: Vec<_> = errors
        .errors
        .iter()
        .map(|error| error.key.as_str())
        .collect();
    assert_eq!(keys, ["health_port", "ratio"]);
}

#[test]
fn a_file_that_does_not_parse_is_told_without_its_text() {
    for (name, text) in [
        ("broker.yml", "attempts: 1\nadmin_password: 'hunter2\n"),
        ("broker.toml", "attempts = 1\nadmin_password = 'hunter2\n"),
        ("broker.json", "{\n\"admin_password\": \"hunter2\n}"),
    ] {
        let (_folder, sources) = folder(name, text);
        let told = refused(&sources).to_string();
        assert!(told.contains(name) && told.contains("line "), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
        assert_eq!(told.lines().count(), 2, "{told}");
    }
}

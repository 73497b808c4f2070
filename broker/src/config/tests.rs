use std::collections::BTreeMap;
use std::fs;

use plantd_daemon::config::{Loaded, Sources, inconsistencies, load};

use super::*;

/// The file of the protocol paper, as it stands.
const FILE: &str = r#"
endpoint: "tcp://*:9797"
client_endpoint: "tcp://127.0.0.1:9797"   # what others are told to dial
log_level: "info"
health_port: 8081
buses:
  - name: "metric"
    frontend: "tcp://*:11000"
    backend: "tcp://*:11001"
    capture: "tcp://*:11002"
"#;

fn with_file(text: &str) -> Result<Loaded<Config>, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("broker.yml"), text).unwrap();
    let sources = Sources {
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        directories: vec![folder.path().to_owned()],
    };
    load(&sources).map_err(|errors| errors.to_string())
}

#[test]
fn every_key_is_described_and_no_description_is_stale() {
    assert_eq!(inconsistencies::<Config>(), [""; 0]);
}

#[test]
fn the_papers_file_works_with_the_line_that_its_refusal_prints() {
    let refusal = with_file(FILE).unwrap_err();
    assert!(refusal.contains("    allow_anonymous: true"), "{refusal}");

    let config = with_file(&format!("{FILE}allow_anonymous: true\n"))
        .unwrap()
        .config;
    assert_eq!(
        config.endpoint,
        OneOrMore::one("tcp://*:9797".parse().unwrap())
    );
    assert_eq!(config.to_core(&[]).endpoints, ["tcp://127.0.0.1:9797"]);
    assert_eq!(config.buses.len(), 1);
}

#[test]
fn loopback_and_ipc_need_no_permission() {
    let config = with_file("endpoint: ['tcp://127.0.0.1:0', 'ipc:///tmp/b.sock', 'tcp://[::1]:1']");
    assert_eq!(config.unwrap().config.endpoint.iter().count(), 3);
}

#[test]
fn every_fault_is_told_at_once() {
    let text = "
endpoint: [localhost:9797]
client_endpoint: http://x
heartbeat_interval: 5ms
liveness: 1
attempts: 0
memory_limit: 1MiB
limits: {connections: 0, frame: 9MiB, body: 1MiB, body_frames: 0, outbox_max: 1KiB}
";
    let refusal = with_file(text).unwrap_err();
    for key in [
        "endpoint",
        "client_endpoint",
        "heartbeat_interval",
        "liveness",
        "attempts",
        "memory_limit",
        "limits.connections",
        "limits.frame",
        "limits.body",
        "limits.body_frames",
        "limits.outbox_max",
    ] {
        assert!(
            refusal.contains(&format!("\n  {key} = ")),
            "{key} in {refusal}"
        );
    }
}

#[test]
fn the_keys_reach_the_state_machine() {
    let text = "
heartbeat_interval: 200ms
mdp03_heartbeat_interval: 300ms
liveness: 4
busy_liveness: 9
queue_timeout: 0
attempts: 7
memory_limit: 128MiB
limits: {frame: 1KiB, body: 2KiB, body_frames: 3, client_requests: 4, client_bytes: 5,
         queue_requests: 6, queue_bytes: 7, names: 8, dead: 9, outbox: 10, outbox_max: 11}
";
    let core = with_file(text).unwrap().config.to_core(&[]);
    let expected = broker::Config {
        heartbeat_interval: Duration::from_millis(200),
        mdp03_heartbeat_interval: Duration::from_millis(300),
        liveness: 4,
        busy_liveness: 9,
        queue_timeout: Duration::ZERO,
        awaits_workers: true,
        attempts: 7,
        endpoints: Vec::new(),
        limits: broker::Limits {
            frame_bytes: 1024,
            body_bytes: 2048,
            body_frames: 3,
            client_requests: 4,
            client_bytes: 5,
            queue_requests: 6,
            queue_bytes: 7,
            names: 8,
            dead: 9,
            outbox_bytes: 10,
            outbox_max_bytes: 11,
            memory_bytes: 128 << 20,
            ..broker::Limits::default()
        },
    };
    assert_eq!(core, expected);
}

#[test]
fn three_buses_are_there_unless_others_are_named() {
    let names = |text: &str| {
        let buses = with_file(text).unwrap().config.buses;
        buses.into_iter().map(|bus| bus.name).collect::<Vec<_>>()
    };
    assert_eq!(names(""), ["metric", "event", "state"]);
    assert_eq!(names("buses: []"), [""; 0]);
    let one = "buses: [{name: one, frontend: 'ipc:///tmp/f', backend: ['tcp://127.0.0.1:0', 'ipc:///tmp/b']}]";
    assert_eq!(names(one), ["one"]);
}

#[test]
fn every_fault_of_a_bus_is_told_with_its_key() {
    let text = "
endpoint: tcp://127.0.0.1:1
buses:
  - {name: one, frontend: 'tcp://127.0.0.1:2', backend: 'tcp://127.0.0.1:1'}
  - {name: one, frontend: 'tcp://127.0.0.1:2', backend: 'tcp://*:3', capture: 'tcp://127.0.0.1:4'}
  - {name: 'a b', frontend: 'tcp://127.0.0.1:0', backend: 'tcp://127.0.0.1:0', retain_topics: 0,
     max_message: 0, max_frames: 0, subscriptions: 0}
";
    let refusal = with_file(text).unwrap_err();
    for key in [
        "buses[0].backend",
        "buses[1].name",
        "buses[1].frontend",
        "buses[1].backend",
        "buses[2].name",
        "buses[2].retain_topics",
        "buses[2].max_message",
        "buses[2].max_frames",
        "buses[2].subscriptions",
    ] {
        assert!(refusal.contains(key), "{key} in {refusal}");
    }
    assert!(refusal.contains("    allow_anonymous: true"), "{refusal}");
    let unknown = "buses: [{name: a, frontend: 'ipc:///f', backend: 'ipc:///b', retian: last}]";
    let refusal = with_file(unknown).unwrap_err();
    assert!(refusal.contains("retian"), "{refusal}");
}

#[test]
fn the_keys_of_a_bus_reach_its_state_machine_and_its_transport() {
    let text = "
limits: {outbox_max: 9MiB}
buses: [{name: a, frontend: 'ipc:///f', backend: 'ipc:///b', retain: last, retain_topics: 1, retain_bytes: 2,
         outbox: 3, max_message: 4, max_frames: 5, subscriptions: 6}]";
    let config = with_file(text).unwrap().config;
    let bus = &config.buses[0];
    let expected = crate::bus::machine::Config {
        name: "a".to_owned(),
        retain: Some(crate::bus::machine::RetainLimits {
            topics: 1,
            bytes: 2,
        }),
        outbox_bytes: 3,
        publisher_outbox_bytes: 9 << 20,
        subscriptions: 6,
        topic_bytes: 255,
        upstream_topics: 65_536,
    };
    assert_eq!(bus.to_machine(&config.limits), expected);
    let transport = bus.to_transport();
    let limits = (
        transport.frame_bytes,
        transport.message_bytes,
        transport.frames,
    );
    assert_eq!(limits, (4, 4 + 9 * 5, 5));
}

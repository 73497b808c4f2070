//! What is there only where the daemon listens itself.

use std::path::Path;

use plantd_client::{Client, Listener};
use plantd_daemon::Daemon;
use plantd_daemon::shutdown::Shutdown;
use serde_json::json;
use tempfile::TempDir;

use crate::plant::{Plant, ask, config, get, own_endpoint};

/// A service without any broker.
struct Alone {
    daemon: Daemon,
    ended: tokio::task::JoinHandle<anyhow::Result<()>>,
    client: Client,
    folder: TempDir,
}

impl Alone {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("state.db");
        let endpoint = own_endpoint(&database);
        let daemon = Daemon::new(Shutdown::new());
        let ended = tokio::spawn(plantd_state::run(
            keys(&database, &endpoint),
            daemon.clone(),
        ));
        let client = Client::connect(endpoint).unwrap();
        Self {
            daemon,
            ended,
            client,
            folder,
        }
    }

    async fn stop(self) {
        self.daemon.shutdown.request();
        self.ended.await.unwrap().unwrap();
    }
}

fn keys(database: &Path, endpoint: &str) -> plantd_state::Config {
    let variables = [
        ("DB", database.to_str().unwrap()),
        ("ENDPOINT", endpoint),
        ("BROKER_ENDPOINT", ""),
        ("BUS_ENDPOINT", ""),
    ];
    config("STATE", &variables)
}

/// The value of a series of the service.
fn value(metrics: &str, series: &str) -> u64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&format!("plantd_state_{series} ")));
    line.unwrap_or_else(|| panic!("{series} is in\n{metrics}"))
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_without_any_broker() {
    let alone = Alone::start();
    let set = json!({"scope": "org.example", "key": "a", "value": 1});
    let set = ask(&alone.client, "state-set", set).await;
    assert_eq!(set["success"], true, "{set}");
    let served = alone.client.mmi("service", Some("org.plantd.State")).await;
    assert!(served.unwrap().is_ok());
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_clients_do_is_measured() {
    let alone = Alone::start();
    for _ in 0..3 {
        ask(&alone.client, "health", json!({})).await;
    }
    let failed = alone.client.request("org.example.Nobody", "x").await;
    assert_eq!(failed.unwrap_err().code(), "no-worker");
    let metrics = alone.daemon.metrics.encode();
    assert_eq!(value(&metrics, "requests_total"), 4);
    assert_eq!(value(&metrics, "replies_total"), 3);
    assert_eq!(value(&metrics, "connections"), 1);
    assert_eq!(value(&metrics, "requests_unanswered"), 0);
    assert_eq!(value(&metrics, "requests_held_bytes"), 0);
    let failed = "requests_failed_total{code=\"no-worker\"}";
    assert_eq!(value(&metrics, failed), 1);
    let refused = "rejected_total{reason=\"may_not_serve\"}";
    assert_eq!(value(&metrics, refused), 0);
    let closed = "connections_closed_total{reason=\"stalled\"}";
    assert_eq!(value(&metrics, closed), 0);
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_health_says_that_it_listens() {
    let plant = Plant::start().await;
    plant.done("health", json!({})).await;
    let server = plant.state.serve_health().await;
    let health = get(&server, "/healthz");
    let listener = r#"{"name":"listener","status":"UP""#;
    assert!(health.contains(listener), "{health}");
    assert!(health.contains(r#""name":"broker_connection""#), "{health}");
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_taken_is_told_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let any = "tcp://127.0.0.1:0".parse().unwrap();
    let taken = Listener::bind(&any).await.unwrap();
    let endpoint = taken.endpoint().to_string();
    let config = keys(&folder.path().join("state.db"), &endpoint);
    let ended = plantd_state::run(config, Daemon::new(Shutdown::new())).await;
    let error = format!("{:#}", ended.unwrap_err());
    assert!(error.contains(&endpoint), "{error}");
    assert!(error.contains("PLANTD_STATE_ENDPOINT"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_while_its_broker_is_away_and_a_write_is_seen_by_both_ways() {
    let plant = Plant::start().await;
    let through = Client::connect(plant.broker.endpoint()).unwrap();
    let version = plant.set("a", 1).await;
    let get = json!({"scope": "org.example", "key": "a"});
    let seen = ask(&through, "state-get", get.clone()).await;
    assert_eq!(seen["data"]["version"], version);
    drop(through);
    let Plant {
        broker,
        state,
        client,
        folder: _folder,
    } = plant;
    broker.stop().await;
    for _ in 0..20 {
        let seen = ask(&client, "state-get", get.clone()).await;
        assert_eq!(seen["data"]["version"], version);
    }
    state.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_socket_is_gone_when_it_has_ended_and_can_be_bound_again() {
    let alone = Alone::start();
    ask(&alone.client, "health", json!({})).await;
    let folder = alone.folder.path().to_owned();
    let socket = folder.join("state.socket");
    assert!(socket.exists());
    let database = folder.join("state.db");
    let Alone {
        daemon,
        ended,
        client,
        folder: _folder,
    } = alone;
    daemon.shutdown.request();
    ended.await.unwrap().unwrap();
    assert!(!socket.exists());

    let daemon = Daemon::new(Shutdown::new());
    let config = keys(&database, &own_endpoint(&database));
    let again = tokio::spawn(plantd_state::run(config, daemon.clone()));
    // The same client finds it again.
    ask(&client, "health", json!({})).await;
    daemon.shutdown.request();
    again.await.unwrap().unwrap();
}

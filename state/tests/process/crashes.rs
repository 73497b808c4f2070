//! kill -9 under load: nothing that was acknowledged is lost, and some order explains it all.

use std::sync::Arc;

use plantd_client::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::history::{History, Outcome};
use crate::running::{Broker, ask, start_state};

const CLIENTS: u64 = 12;
const KEYS: u64 = 3;
const KILLS: usize = 6;
const BETWEEN_KILLS: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_and_operations_are_linearizable() {
    let broker = Broker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("state.db");
    let mut state = start_state(&broker, &database, &[]);
    let history = Arc::new(History::default());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (client, history, stopped) = (broker.client(), history.clone(), stopped.clone());
        clients.spawn(async move {
            let mut round = 0;
            while !*stopped.borrow() {
                round += 1;
                let value = number * 1_000_000 + round;
                operate(&client, &history, value).await;
            }
        });
    }
    for kill in 1..=KILLS {
        while history.len() < kill * BETWEEN_KILLS {
            tokio::task::yield_now().await;
        }
        state.kill();
        state = start_state(&broker, &database, &[]);
    }
    while history.len() < (KILLS + 1) * BETWEEN_KILLS {
        tokio::task::yield_now().await;
    }
    stop.send_replace(true);
    clients.join_all().await;

    let client = broker.client();
    for key in 0..KEYS {
        look(&client, &history, &format!("key/{key}")).await;
    }
    assert_eq!(history.contradiction(), None);
    let verified = ask(&client, "verify", json!({})).await.unwrap();
    assert_eq!(verified["success"], true, "{verified}");
    assert_eq!(state.terminate(), Some(0));
    broker.stop().await;
}

/// One operation: a write, a compare-and-set on what was just seen, or a read.
async fn operate(client: &Client, history: &History, value: u64) {
    let key = format!("key/{}", value % KEYS);
    match value % 4 {
        0 => drop(look(client, history, &key).await),
        1 | 2 => write(client, history, &key, value, None).await,
        _ => {
            if let Some(version) = look(client, history, &key).await {
                write(client, history, &key, value, Some(version)).await;
            }
        }
    }
}

async fn write(client: &Client, history: &History, key: &str, value: u64, version: Option<u64>) {
    let asked = history.moment();
    // Given to the service again when it was killed, and done once by its id.
    let mut fields =
        json!({"scope": "org.example", "key": key, "value": value, "id": value.to_string()});
    if let Some(version) = version {
        fields["if-version"] = version.into();
    }
    let outcome = match ask(client, "state-set", fields).await {
        Ok(reply) if reply["success"] == true => Outcome::Wrote {
            value,
            version: number(&reply, "version"),
            previous: number(&reply, "previous"),
        },
        Ok(reply) => {
            assert_eq!(reply["code"], "version-mismatch", "{reply}");
            Outcome::Saw {
                version: number(&reply, "version"),
                value: None,
            }
        }
        Err(_) => Outcome::Unknown { value },
    };
    history.record(key, asked, outcome);
}

async fn look(client: &Client, history: &History, key: &str) -> Option<u64> {
    let asked = history.moment();
    let fields = json!({"scope": "org.example", "key": key});
    let reply = ask(client, "state-get", fields).await.ok()?;
    let (version, value) = match reply["success"] == true {
        true => (number(&reply, "version"), reply["data"]["value"].as_u64()),
        false => (0, None),
    };
    history.record(key, asked, Outcome::Saw { version, value });
    Some(version)
}

fn number(reply: &Value, name: &str) -> u64 {
    reply["data"][name].as_u64().unwrap()
}

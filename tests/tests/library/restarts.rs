//! Brokers that stop, die and come back (cases 30, 31 and 62).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use plantd_client::{Body, Client, Request, RequestError, Transport, WorkerError};
use plantd_tests::BrokerProcess;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::serving::{Serving, echo, worker};
use crate::{connected, over_both_transports};

over_both_transports!(
    case_30_a_broker_that_comes_back_finds_its_workers_and_clients_again,
    case_31_workers_are_back_after_the_broker_was_stopped,
    case_62_what_a_killed_broker_held_is_answered_by_the_other,
    case_62_what_a_killed_broker_held_is_reported_if_it_must_not_be_done_twice,
);

fn broker(endpoint: &str) -> BrokerProcess {
    let program = env!("CARGO_BIN_EXE_broker-of-the-tests");
    BrokerProcess::start(program, &["--endpoint", endpoint])
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn in_time<F: Future>(future: F) -> F::Output {
    let runtime = runtime();
    let ended = runtime.block_on(async { timeout(plantd_tests::PATIENCE, future).await });
    ended.expect("ends in time")
}

/// How many workers of a service the broker knows.
async fn workers(client: &Client, service: &str) -> u64 {
    let listed = client.mmi("workers", Some(service)).await.unwrap();
    listed.data.unwrap()["total"].as_u64().unwrap()
}

fn case_30_a_broker_that_comes_back_finds_its_workers_and_clients_again(transport: Transport) {
    let first = broker("tcp://127.0.0.1:0");
    let endpoint = first.peers().endpoint().to_owned();
    in_time(async {
        let mut worker = Serving::start(worker(transport, "echo", &[&endpoint]), echo).await;
        let soon = Duration::from_millis(50);
        let client = Client::builder().broker(&endpoint).transport(transport);
        let client = client.reconnect_delays(soon, 4 * soon).connect().unwrap();
        client.request("echo", "before").await.unwrap();
        drop(first);
        worker.lost().await;

        let asking = tokio::spawn(client.request("echo", "between").into_future());
        let second = broker(&endpoint);
        let reply = asking.await.unwrap().unwrap();
        assert_eq!(reply.body.text().unwrap(), "between");
        worker.registered().await;
        assert_eq!(workers(&client, "echo").await, 1);
        drop(second);
    });
}

fn case_31_workers_are_back_after_the_broker_was_stopped(transport: Transport) {
    let broker = broker("tcp://127.0.0.1:0");
    let endpoint = broker.peers().endpoint().to_owned();
    in_time(async {
        let worker = worker(transport, "echo", &[&endpoint]);
        let worker = worker.heartbeat(Duration::from_millis(100), 3);
        let mut worker = Serving::start(worker, echo).await;
        let client = connected(transport, &[&endpoint]).await;
        broker.signal("STOP");
        worker.lost().await;
        broker.signal("CONT");

        worker.registered().await;
        let reply = client.request("echo", "again").await.unwrap();
        assert_eq!(reply.body.text().unwrap(), "again");
        while workers(&client, "echo").await != 1 {}
    });
}

/// Two brokers, a worker at each that holds what it gets first, and a client of both that asked.
struct Halved {
    brokers: Vec<BrokerProcess>,
    done: Arc<AtomicU32>,
    _workers: [Serving; 2],
    client: Client,
    holds: mpsc::UnboundedReceiver<usize>,
}

impl Halved {
    async fn start(transport: Transport) -> Self {
        let brokers = vec![broker("tcp://127.0.0.1:0"), broker("tcp://127.0.0.1:0")];
        let endpoints = [brokers[0].peers().endpoint(), brokers[1].peers().endpoint()];
        let done = Arc::new(AtomicU32::new(0));
        let (held, holds) = mpsc::unbounded_channel();
        let hold_first = |place: usize| {
            let (done, held) = (done.clone(), held.clone());
            move |request: Request| {
                let first = done.fetch_add(1, Ordering::Relaxed) == 0;
                held.send(place).unwrap();
                async move {
                    if first {
                        std::future::pending::<()>().await;
                    }
                    Ok::<Body, WorkerError>(request.into_body())
                }
            }
        };
        let workers = [
            Serving::start(worker(transport, "hold", &endpoints[..1]), hold_first(0)).await,
            Serving::start(worker(transport, "hold", &endpoints[1..]), hold_first(1)).await,
        ];
        let client = Client::builder()
            .brokers(endpoints)
            .transport(transport)
            .connect()
            .unwrap();
        let both = |status: &plantd_client::Status| {
            status.brokers.len() == 2 && status.brokers.iter().all(|broker| broker.is_up)
        };
        client.status().wait_for(both).await.unwrap();
        Self {
            done,
            _workers: workers,
            client,
            holds,
            brokers,
        }
    }

    /// Kills the broker whose worker has the request.
    async fn kill_the_holder(&mut self) {
        let holder = self.holds.recv().await.unwrap();
        drop(self.brokers.remove(holder));
    }
}

fn case_62_what_a_killed_broker_held_is_answered_by_the_other(transport: Transport) {
    in_time(async {
        let mut halved = Halved::start(transport).await;
        let asking = tokio::spawn(halved.client.request("hold", "x").into_future());
        halved.kill_the_holder().await;
        let reply = asking.await.unwrap().unwrap();
        assert_eq!(reply.body.text().unwrap(), "x");
        assert_eq!(halved.done.load(Ordering::Relaxed), 2);
    });
}

fn case_62_what_a_killed_broker_held_is_reported_if_it_must_not_be_done_twice(
    transport: Transport,
) {
    in_time(async {
        let mut halved = Halved::start(transport).await;
        let asking = halved
            .client
            .request("hold", "x")
            .retry_never()
            .into_future();
        let asking = tokio::spawn(asking);
        halved.kill_the_holder().await;
        let ended = asking.await.unwrap();
        assert!(
            matches!(ended, Err(RequestError::ConnectionLost)),
            "{ended:?}"
        );
        halved.client.request("hold", "next").await.unwrap();
        assert_eq!(
            halved.done.load(Ordering::Relaxed),
            2,
            "the first was done once"
        );
    });
}

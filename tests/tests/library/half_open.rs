//! Links on which nothing passes any more and that nobody closes.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use plantd_client::{Body, Client, Request, Status, Transport, WorkerError};
use plantd_tests::Plant;
use tokio::sync::mpsc;

use crate::serving::{Serving, echo, worker};
use crate::{connected, over_both_transports};

over_both_transports!(
    a_worker_behind_a_dead_link_loses_its_request_to_another,
    a_client_behind_a_dead_link_is_answered_by_another_broker,
);

/// Passes bytes to a broker and back, until it is cut: then it holds everything and closes nothing.
struct Link {
    endpoint: String,
    cut: Arc<AtomicBool>,
}

impl Link {
    fn to(endpoint: &str) -> Self {
        let broker = endpoint.strip_prefix("tcp://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = cut.clone();
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect(&broker) else {
                    return;
                };
                let ends = [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))];
                for (from, to) in ends {
                    let (from, to, is_cut) = (from.unwrap(), to.unwrap(), is_cut.clone());
                    thread::spawn(move || pass(from, to, &is_cut));
                }
            }
        });
        Self { endpoint, cut }
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if is_cut.load(Ordering::SeqCst) {
            // Neither end learns that the other has gone.
            thread::park();
        }
        if to.write_all(&bytes[..read]).is_err() {
            return;
        }
    }
    if is_cut.load(Ordering::SeqCst) {
        thread::park();
    }
}

fn a_worker_behind_a_dead_link_loses_its_request_to_another(transport: Transport) {
    let plant = Plant::start();
    let link = Link::to(plant.endpoint());
    plant.block_on(async {
        let (begun, mut has_begun) = mpsc::unbounded_channel();
        let hang = move |_: Request| {
            begun.send(()).unwrap();
            std::future::pending::<Result<Body, WorkerError>>()
        };
        let behind = worker(transport, "echo", &[&link.endpoint]);
        let behind = behind.heartbeat(Duration::from_millis(100), 3);
        let mut behind = Serving::start(behind, hang).await;
        let brokers = [plant.endpoint()];
        let client = connected(transport, &brokers).await;
        let asking = tokio::spawn(client.request("echo", "x").into_future());
        has_begun.recv().await.unwrap();
        let _next = Serving::start(worker(transport, "echo", &brokers), echo).await;
        link.cut();

        let reply = asking.await.unwrap().unwrap();
        assert_eq!(reply.body.text().unwrap(), "x");
        behind.lost().await;
    });
    assert_eq!(plant.metrics().value("redispatches_total"), 1);
}

fn a_client_behind_a_dead_link_is_answered_by_another_broker(transport: Transport) {
    let plants = [Plant::start(), Plant::start()];
    let link = Link::to(plants[0].endpoint());
    plants[1].block_on(async {
        let (begun, mut has_begun) = mpsc::unbounded_channel();
        let hang = move |_: Request| {
            begun.send(()).unwrap();
            std::future::pending::<Result<Body, WorkerError>>()
        };
        let near = [plants[0].endpoint()];
        let far = [plants[1].endpoint()];
        let _hanging = Serving::start(worker(transport, "echo", &near), hang).await;
        let _echoing = Serving::start(worker(transport, "echo", &far), echo).await;
        let client = Client::builder()
            .brokers([&link.endpoint, far[0]])
            .transport(transport);
        let client = client.connect().unwrap();
        let both = |status: &Status| {
            status.brokers.len() == 2 && status.brokers.iter().all(|broker| broker.is_up)
        };
        client.status().wait_for(both).await.unwrap();

        // One of two equal brokers gets the first request, the other one the second.
        let asking = [(); 2].map(|()| tokio::spawn(client.request("echo", "x").into_future()));
        has_begun.recv().await.unwrap();
        link.cut();
        for asked in asking {
            assert_eq!(asked.await.unwrap().unwrap().body.text().unwrap(), "x");
        }
    });
}

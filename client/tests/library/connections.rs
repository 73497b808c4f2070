//! Brokers that come, go, and are several.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use plantd_client::{Client, ConfigError, RequestError, Worker};
use tracing_subscriber::{Layer, layer::SubscriberExt};

use crate::broker::{Broker, FINAL, over_each_transport, soon};

#[tokio::test]
async fn requests_wait_for_a_broker_that_comes_later() {
    over_each_transport(|transport| async move {
        let broker = Broker::bind().await;
        let builder = broker.client_builder(transport);
        let endpoint = broker.stop();
        let client = builder.connect().unwrap();
        let request = tokio::spawn(client.request("echo", "hi").into_future());
        let mut broker = Broker::bind_at(&endpoint).await;
        let received = broker.next().await;
        assert_eq!(received.body(), ["hi"]);
        assert!(client.is_connected());
        client.connected().await.unwrap();
        broker.answer(&received, FINAL, "ho");
        tokio::select! {
            reply = request => assert!(reply.unwrap().is_ok()),
            () = broker.keep_going() => unreachable!(),
        }
    })
    .await;
}

#[tokio::test]
async fn an_unanswered_request_is_sent_again_after_a_restart() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let client = broker.client(transport);
        let request = tokio::spawn(client.request("echo", "hi").into_future());
        broker.next().await;
        let mut broker = broker.restart().await;
        let again = broker.next().await;
        assert_eq!(again.body(), ["hi"]);
        broker.answer(&again, FINAL, "ho");
        tokio::select! {
            reply = request => assert!(reply.unwrap().is_ok()),
            () = broker.keep_going() => unreachable!(),
        }
    })
    .await;
}

#[tokio::test]
async fn another_broker_takes_over_and_retry_never_fails() {
    over_each_transport(|transport| async move {
        let mut first = Broker::bind().await;
        let mut second = Broker::bind().await;
        let builder = first
            .client_builder(transport)
            .broker(second.endpoint.to_string());
        let client = builder.connect().unwrap();
        let mut status = client.status();
        let both = status.wait_for(|status| {
            status.brokers.len() == 2 && status.brokers.iter().all(|broker| broker.is_up)
        });
        tokio::select! {
            both = both => assert!(both.is_ok()),
            () = first.keep_going() => unreachable!(),
            () = second.keep_going() => unreachable!(),
        }
        // One goes to each.
        let spread = [
            tokio::spawn(client.request("echo", "again").into_future()),
            tokio::spawn(client.request("echo", "again").into_future()),
        ];
        first.next().await;
        second.next().await;
        let once = [
            tokio::spawn(client.request("echo", "once").retry_never().into_future()),
            tokio::spawn(client.request("echo", "once").retry_never().into_future()),
        ];
        first.next().await;
        second.next().await;
        first.stop();
        let again = second.next().await;
        assert_eq!(again.body(), ["again"]);
        second.stop();
        for request in once {
            let error = soon(request).await.unwrap().unwrap_err();
            assert_eq!(error, RequestError::ConnectionLost);
        }
        for request in spread {
            request.abort();
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_broker_the_error_says_which_and_why() {
    over_each_transport(|transport| async move {
        let broker = Broker::bind().await;
        let builder = broker.client_builder(transport);
        let endpoint = broker.stop().to_string();
        let client = builder
            .connect_timeout(Duration::from_millis(100))
            .connect()
            .unwrap();
        let error = client.request("echo", "hi").await.unwrap_err();
        let RequestError::NotConnected { brokers } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(brokers[0].endpoint, endpoint);
        assert!(error.to_string().contains(&endpoint), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_name_is_looked_up() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let endpoint = broker
            .endpoint
            .to_string()
            .replace("127.0.0.1", "localhost");
        let client = Client::builder().broker(endpoint).transport(transport);
        let client = client.connect().unwrap();
        tokio::select! {
            connected = client.connected() => connected.unwrap(),
            () = broker.keep_going() => unreachable!(),
        }
    })
    .await;
}

#[tokio::test]
async fn a_dropped_client_closes_its_connections() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let client = broker.client(transport);
        let request = tokio::spawn(client.request("echo", "hi").into_future());
        let peer = broker.next().await.peer;
        request.abort();
        drop(client);
        broker.until_closed(peer).await;
    })
    .await;
}

#[cfg(feature = "zeromq")]
#[tokio::test]
async fn a_silent_broker_is_asked_for_a_sign_of_life_where_the_transport_cannot() {
    let mut broker = Broker::bind().await;
    let client = broker.client(plantd_client::Transport::Zeromq);
    let request = tokio::spawn(client.request("echo", "hi").into_future());
    broker.next().await;
    let probe = broker.next_of_any_kind().await;
    assert_eq!(probe.frames[2], b"mmi.heartbeat");
    request.abort();
}

#[test]
fn what_cannot_be_dialled_is_refused() {
    let refused = |endpoint: &str| Client::connect(endpoint).unwrap_err();
    assert!(matches!(
        refused("127.0.0.1:9797"),
        ConfigError::Endpoint { .. }
    ));
    assert!(matches!(
        refused("tcp://*:9797"),
        ConfigError::NotDialable(_)
    ));
    assert_eq!(
        Client::builder().connect().unwrap_err(),
        ConfigError::NoBroker
    );
    let none = Client::builder()
        .broker("tcp://127.0.0.1:1")
        .max_unanswered(0);
    assert!(matches!(
        none.connect().unwrap_err(),
        ConfigError::OutOfRange { .. }
    ));
    let worker = |service| Worker::builder(service).broker("tcp://127.0.0.1:1");
    assert!(matches!(
        worker("no name").build().unwrap_err(),
        ConfigError::Service { .. }
    ));
    let idle = worker("echo").concurrency(0).build();
    assert!(matches!(idle.unwrap_err(), ConfigError::OutOfRange { .. }));
}

/// Counts what an operator would see.
struct CountLines(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> Layer<S> for CountLines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target().starts_with("plantd") && *metadata.level() <= tracing::Level::INFO {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn case_32_ten_minutes_without_a_broker_leave_no_flood_of_log_lines() {
    let lines = Arc::new(AtomicUsize::new(0));
    let subscriber = tracing_subscriber::registry().with(CountLines(lines.clone()));
    let _guard = tracing::subscriber::set_default(subscriber);
    let endpoint = Broker::bind().await.stop().to_string();
    let client = Client::connect(&endpoint).unwrap();
    let worker = Worker::builder("echo").broker(&endpoint).build().unwrap();
    let serve = worker.serve(
        |request| async { Ok(request.into_body()) },
        std::future::pending(),
    );
    tokio::select! {
        _ = serve => unreachable!(),
        () = tokio::time::sleep(Duration::from_secs(600)) => {}
    }
    assert!(!client.is_connected());
    assert_eq!(
        lines.load(Ordering::Relaxed),
        2,
        "one of the client, one of the worker"
    );
}

//! Sources and sinks over buses: libzmq's proxy, and ours; over both transports.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod account;
mod at_once;
mod flush;
mod foreign;
mod ours;
mod passing;
mod trouble;

use std::{future::Future, time::Duration};

use plantd_client::{Publication, Sink, SinkEvent, Source, Transport};
use plantd_tests::PATIENCE;

/// Every transport of the library.
const TRANSPORTS: [Transport; 2] = [Transport::Plantd, Transport::Zeromq];

/// Waits for what must come.
async fn soon<F: Future>(future: F) -> F::Output {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.expect("it comes in time")
}

fn source(frontend: &str, transport: Transport) -> Source {
    let source = Source::builder().broker(frontend).transport(transport);
    source.build().unwrap()
}

fn sink(backend: &str, transport: Transport, topics: &[&str]) -> Sink {
    let sink = Sink::builder().broker(backend).transport(transport);
    let sink = topics
        .iter()
        .fold(sink, |sink, topic| sink.subscribe(topic));
    sink.build().unwrap()
}

/// Waits for the next publication, which nothing is missing before.
async fn next(sink: &mut Sink) -> Publication {
    match soon(sink.next()).await {
        Some(SinkEvent::Message(publication)) => publication,
        other => panic!("not a publication: {other:?}"),
    }
}

fn number(publication: &Publication) -> u64 {
    publication.body.text().unwrap().parse().unwrap()
}

/// Waits for the next publication on a topic. What of others is only late is passed over: of several
/// brokers, one that lags delivers what the others had no subscription for yet.
async fn next_on(sink: &mut Sink, topic: &str) -> Publication {
    loop {
        let publication = next(sink).await;
        if publication.topic.as_str() == Some(topic) {
            return publication;
        }
    }
}

/// Waits until what is published on `topic` is sent.
async fn until_subscribed(source: &Source, topic: &str) {
    while !soon(source.is_subscribed(topic)).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Publishes on `topic` until a sink that is subscribed to it has heard of it: from then on all that
/// is published reaches it. Gives what is still on the way.
async fn meet(source: &Source, sink: &mut Sink, topic: &str) {
    let mut n = 0;
    let heard = loop {
        n += 1;
        source.publish(topic, n.to_string()).unwrap();
        tokio::select! {
            publication = next_on(sink, topic) => break number(&publication),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    };
    for expected in heard + 1..=n {
        assert_eq!(number(&next_on(sink, topic).await), expected);
    }
}

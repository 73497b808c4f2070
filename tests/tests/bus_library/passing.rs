//! What sources publish comes to sinks.

use plantd_client::Transport;
use plantd_tests::Proxy;

use crate::{TRANSPORTS, meet, next, number, sink, soon, source};

#[tokio::test]
async fn what_is_published_comes_with_its_header() {
    for (publishing, subscribing) in [
        (Transport::Plantd, Transport::Plantd),
        (Transport::Plantd, Transport::Zeromq),
        (Transport::Zeromq, Transport::Plantd),
        (Transport::Zeromq, Transport::Zeromq),
    ] {
        let proxy = Proxy::start();
        let source = source(proxy.frontend(), publishing);
        let mut sink = sink(proxy.backend(), subscribing, &["a.", "meet"]);
        meet(&source, &mut sink, "meet").await;

        let before = std::time::SystemTime::now();
        source.publish("b", "not wanted").unwrap();
        let first = source
            .publication("a.1", "{}")
            .content_type("application/json");
        first.property("traceparent", "00-1").send().unwrap();
        let frames = plantd_client::Body::from_frames(["x", "", "y"]);
        source.publish("a.2", frames.clone()).unwrap();
        source.publish("a.1", "").unwrap();
        soon(source.flush()).await.unwrap();

        let publication = next(&mut sink).await;
        assert_eq!(publication.topic.as_str(), Some("a.1"));
        assert_eq!(publication.body.text(), Ok("{}"));
        let header = publication.header.unwrap();
        assert_eq!(header.sequence, 1);
        assert!(header.time >= before && header.time <= std::time::SystemTime::now());
        let properties: Vec<_> = header.properties.iter().collect();
        assert_eq!(
            properties,
            [
                ("content-type", "application/json"),
                ("traceparent", "00-1")
            ]
        );
        let publication = next(&mut sink).await;
        assert_eq!(
            (publication.topic.as_str(), publication.body),
            (Some("a.2"), frames)
        );
        let source_id = header.source;
        let header = publication.header.unwrap();
        assert_eq!((header.source, header.sequence), (source_id, 1));
        let publication = next(&mut sink).await;
        assert_eq!(publication.body.text(), Ok(""));
        assert_eq!(publication.header.unwrap().sequence, 2);
        source.close().await.unwrap();
    }
}

#[tokio::test]
async fn subscriptions_change_at_any_time() {
    for transport in TRANSPORTS {
        let proxy = Proxy::start();
        let source = source(proxy.frontend(), transport);
        let mut sink = sink(proxy.backend(), transport, &[]);
        sink.subscribe("a").unwrap();
        meet(&source, &mut sink, "a").await;
        sink.subscribe("b").unwrap();
        sink.subscribe("a").unwrap();
        meet(&source, &mut sink, "b").await;
        sink.unsubscribe("a").unwrap();
        source.publish("a", "1").unwrap();
        assert_eq!(next(&mut sink).await.topic.as_str(), Some("a"));
        sink.unsubscribe("a").unwrap();
        for n in 0..10 {
            source.publish("a", n.to_string()).unwrap();
        }
        source.publish("b", "1").unwrap();
        assert_eq!(next(&mut sink).await.topic.as_str(), Some("b"));
        // What was published meanwhile is no gap.
        sink.subscribe("a").unwrap();
        meet(&source, &mut sink, "a").await;
    }
}

#[tokio::test]
async fn a_hundred_thousand_arrive_in_order() {
    const COUNT: u64 = 100_000;
    let proxy = Proxy::start();
    let source = source(proxy.frontend(), Transport::Plantd);
    let mut sink = sink(proxy.backend(), Transport::Plantd, &[""]);
    meet(&source, &mut sink, "meet").await;
    let publishing = tokio::spawn(async move {
        for n in 0..COUNT {
            // The proxy has a limit of messages, beyond which it drops.
            if n % 500 == 0 {
                source.flush().await.unwrap();
            }
            source.publish("many", n.to_string()).unwrap();
        }
        source.close().await.unwrap();
    });
    for n in 0..COUNT {
        assert_eq!(number(&next(&mut sink).await), n);
    }
    publishing.await.unwrap();
}

//! What is published at once.

use std::panic;

use plantd_client::{Body, Heading, PublishError, Sink, Source, SourceClosed, Transport};
use plantd_tests::Proxy;

use crate::{TRANSPORTS, meet, next, next_on, number, sink, soon, source, until_subscribed};

fn heading(topic: &str) -> Heading {
    Heading::new(topic).unwrap()
}

/// Takes what comes next as its topic, its sequence and its body.
async fn next_of(sink: &mut Sink) -> (String, u64, Body) {
    let publication = next(sink).await;
    let topic = publication.topic.as_str().unwrap().to_owned();
    (
        topic,
        publication.header.unwrap().sequence,
        publication.body,
    )
}

#[tokio::test]
async fn it_comes_in_its_order_over_topics() {
    for transport in TRANSPORTS {
        let proxy = Proxy::start();
        let source = source(proxy.frontend(), transport);
        let mut sink = sink(proxy.backend(), Transport::Plantd, &["a", "b", "meet"]);
        meet(&source, &mut sink, "meet").await;

        let json = heading("a").content_type("application/json").unwrap();
        let (a, b, unwanted) = (heading("a"), heading("b"), heading("x"));
        let frames = Body::from_frames(["x", "", "y"]);
        let large = Body::from("l".repeat(100_000));
        let published = source.publish_all(|burst| {
            burst.write(&json, |out| out.extend(b"{}"))?;
            burst.publish(&a, frames.clone())?;
            burst.publish(&a, "1")?;
            burst.write(&b, |out| out.extend([b'w'; 5000]))?;
            burst.publish(&unwanted, "nobody")?;
            burst.publish(&b, large.clone())?;
            burst.write(&b, |_| {})?;
            burst.publish(&b, Body::default())?;
            burst.write(&json, |out| out.extend(b"[]"))
        });
        assert_eq!(published, Ok(Ok(())));
        soon(source.flush()).await.unwrap();
        source.publish("a", "after").unwrap();

        let publication = next(&mut sink).await;
        let header = publication.header.unwrap();
        assert_eq!(header.properties, *json.properties());
        assert_eq!((header.sequence, publication.body), (1, "{}".into()));
        let expected = [
            ("a", 2, frames),
            ("a", 3, "1".into()),
            ("b", 1, "w".repeat(5000).into()),
            ("b", 2, large),
            ("b", 3, "".into()),
            ("b", 4, "".into()),
            ("a", 4, "[]".into()),
            ("a", 5, "after".into()),
        ];
        for (topic, sequence, body) in expected {
            let came = next_of(&mut sink).await;
            assert_eq!(came, (topic.to_owned(), sequence, body));
        }
    }
}

#[tokio::test]
async fn what_nobody_subscribes_to_is_counted_and_not_written() {
    let proxy = Proxy::start();
    let source = source(proxy.frontend(), Transport::Plantd);
    let mut sink = sink(proxy.backend(), Transport::Plantd, &["other", "meet"]);
    meet(&source, &mut sink, "meet").await;
    let (heading, other) = (heading("t"), heading("other"));
    let mut published = 0;
    let mut publish = || {
        published += 1;
        let mut is_written = false;
        let at_once = source.publish_all(|burst| {
            burst.write(&heading, |out| {
                is_written = true;
                out.extend(b"t");
            })?;
            burst.write(&other, |out| out.extend(b"other"))
        });
        assert_eq!(at_once, Ok(Ok(())));
        (is_written, published)
    };
    // Everything is sent until a second after the broker has answered.
    while publish().0 {
        next(&mut sink).await;
    }
    for _ in 0..5 {
        assert!(!publish().0);
    }
    sink.subscribe("t").unwrap();
    until_subscribed(&source, "t").await;
    let (is_written, count) = publish();
    assert!(is_written, "from then on it is sent");
    loop {
        let (topic, sequence, _) = next_of(&mut sink).await;
        if topic == "t" {
            assert_eq!(sequence, count);
            break;
        }
    }
}

#[tokio::test]
async fn each_is_refused_by_itself_and_then_not_numbered() {
    let folder = tempfile::tempdir().unwrap();
    let [frontend, backend] =
        ["in", "out"].map(|name| format!("ipc://{}/{name}", folder.path().display()));
    let source = Source::builder().broker(&frontend).buffer(10_000);
    let source = source.build().unwrap();
    let heading = heading("t");
    let outcomes = source.publish_all(|burst| {
        [
            burst.publish(&heading, "1"),
            burst.write(&heading, |out| out.resize(9 << 20, 0)),
            burst.publish(&heading, vec![0; 20_000]),
            burst.write(&heading, |out| out.resize(20_000, 0)),
            burst.write(&heading, |out| out.extend(b"2")),
        ]
    });
    let [first, too_large, full, full_too, last] = outcomes.unwrap();
    assert_eq!((first, last), (Ok(()), Ok(())));
    assert!(matches!(too_large, Err(PublishError::TooLarge { .. })));
    let limit_bytes = 10_000;
    let kept_bytes = 128 + 1 + 3;
    assert_eq!(
        full,
        Err(PublishError::Full {
            kept_bytes,
            limit_bytes
        })
    );
    assert!(matches!(full_too, Err(PublishError::Full { .. })));

    let _proxy = Proxy::start_at(&frontend, &backend, 1000);
    soon(source.flush()).await.unwrap();
    assert_eq!(source.kept_bytes(), 0);
    let mut sink = sink(&backend, Transport::Plantd, &["t"]);
    until_subscribed(&source, "t").await;
    source.publish("t", "3").unwrap();
    assert_eq!(next_of(&mut sink).await, ("t".to_owned(), 3, "3".into()));
}

#[tokio::test]
async fn what_a_lost_broker_has_not_read_is_sent_to_the_next() {
    const ROUNDS: u64 = 20;
    for transport in TRANSPORTS {
        let (first, second) = (Proxy::start(), Proxy::start());
        let source = Source::builder().transport(transport);
        let source = source.brokers([first.frontend(), second.frontend()]);
        let source = source.build().unwrap();
        let sink = Sink::builder().transport(transport).subscribe("");
        let sink = sink.brokers([first.backend(), second.backend()]);
        let mut sink = sink.build().unwrap();
        for (topic, paused, other) in [("second", &first, &second), ("first", &second, &first)] {
            other.resume();
            paused.pause();
            meet(&source, &mut sink, topic).await;
        }
        second.resume();
        let heading = heading("t");
        let mut first = Some(first);
        for round in 0..ROUNDS {
            let at_once = source.publish_all(|burst| {
                for n in round * 100..(round + 1) * 100 {
                    burst.write(&heading, |out| out.extend(n.to_string().bytes()))?;
                }
                Ok::<_, PublishError>(())
            });
            assert_eq!(at_once, Ok(Ok(())));
            if round == ROUNDS / 2 {
                first = None;
            }
        }
        assert!(first.is_none());
        for n in 0..ROUNDS * 100 {
            assert_eq!(number(&next_on(&mut sink, "t").await), n);
        }
    }
}

#[tokio::test]
async fn nothing_is_published_after_a_panic_or_by_a_source_that_is_closed() {
    let (frontend, _) = Proxy::start().stop();
    let source = source(&frontend, Transport::Plantd);
    let heading = heading("t");
    let panicked = panic::catch_unwind(panic::AssertUnwindSafe(|| {
        source.publish_all(|burst| {
            burst.publish(&heading, "1").unwrap();
            panic!("the second cannot be made");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(source.kept_bytes(), 0);
    assert_eq!(source.publish_all(|_| 7), Ok(7));
    let clone = source.clone();
    soon(source.close()).await.unwrap();
    let closed = clone.publish_all(|burst| burst.publish(&heading, "2"));
    assert_eq!(closed, Err(SourceClosed));
    assert_eq!(clone.kept_bytes(), 0);
}

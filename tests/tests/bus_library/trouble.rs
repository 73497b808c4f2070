//! Brokers that come late, go, come back, and are several.

use plantd_client::{PublishError, Sink, Source, Transport};
use plantd_tests::Proxy;

use crate::{
    TRANSPORTS, account::Account, meet, next, next_on, number, sink, soon, source, until_subscribed,
};

#[tokio::test]
async fn what_was_published_before_the_broker_was_there_is_not_lost() {
    let proxy = Proxy::start();
    let mut sink = sink(proxy.backend(), Transport::Plantd, &["t", "meet"]);
    for transport in TRANSPORTS {
        meet(&source(proxy.frontend(), transport), &mut sink, "meet").await;
        let source = source(proxy.frontend(), transport);
        // The source connects in the background, which has had no time yet.
        for n in 0..1000 {
            source.publish("t", n.to_string()).unwrap();
        }
        assert!(!source.is_connected());
        for n in 0..1000 {
            assert_eq!(number(&next(&mut sink).await), n);
        }
        source.close().await.unwrap();
    }
}

#[tokio::test]
async fn after_a_restart_sources_and_sinks_are_back_and_know_what_they_missed() {
    for transport in TRANSPORTS {
        let proxy = Proxy::start();
        let source = source(proxy.frontend(), transport);
        let mut sink = sink(proxy.backend(), transport, &["t"]);
        let mut account = Account::default();
        account.until(&source, &mut sink, "t", "before").await;
        let (frontend, backend) = proxy.stop();
        let mut status = source.status();
        soon(status.wait_for(|status| !status.is_up()))
            .await
            .unwrap();
        for _ in 0..100 {
            source.publish("t", "meanwhile").unwrap();
        }
        assert!(source.kept_bytes() > 0);
        let proxy = Proxy::start_at(&frontend, &backend, 1000);
        soon(account.until(&source, &mut sink, "t", "after")).await;
        assert!(account.last >= 102);
        drop(proxy);
    }
}

#[tokio::test]
async fn of_several_brokers_one_can_be_lost_and_nothing_with_it() {
    for transport in TRANSPORTS {
        let (first, second) = (Proxy::start(), Proxy::start());
        let source = Source::builder().transport(transport);
        let source = source.brokers([first.frontend(), second.frontend()]);
        let source = source.build().unwrap();
        let sink = Sink::builder().transport(transport).subscribe("");
        let sink = sink.brokers([first.backend(), second.backend()]);
        let mut sink = sink.build().unwrap();
        meet(&source, &mut sink, "both").await;
        // Each alone carries what is published.
        for (topic, paused, other) in [("second", &first, &second), ("first", &second, &first)] {
            other.resume();
            paused.pause();
            meet(&source, &mut sink, topic).await;
        }
        second.resume();

        let mut first = Some(first);
        for n in 0..2000 {
            source.publish("t", n.to_string()).unwrap();
            if n % 100 == 0 {
                soon(source.flush()).await.unwrap();
            }
            if n == 1050 {
                first = None;
            }
        }
        assert!(first.is_none());
        for n in 0..2000 {
            assert_eq!(number(&next_on(&mut sink, "t").await), n);
        }
    }
}

#[tokio::test]
async fn what_a_slow_sink_misses_is_counted_exactly() {
    const COUNT: u64 = 2000;
    for transport in TRANSPORTS {
        let proxy = Proxy::start_at("tcp://127.0.0.1:*", "tcp://127.0.0.1:*", 10);
        let source = source(proxy.frontend(), Transport::Plantd);
        let mut sink = sink(proxy.backend(), transport, &["t"]);
        let mut account = Account::default();
        let mut published = account.until(&source, &mut sink, "t", "begin").await;
        let large = "x".repeat(32 * 1024);
        for n in 0..COUNT {
            source.publish("t", &large).unwrap();
            if n % 20 == 0 {
                soon(source.flush()).await.unwrap();
            }
        }
        published += COUNT + soon(account.until(&source, &mut sink, "t", "end")).await;
        assert!(account.missed > 0, "{account:?}");
        assert!(account.last <= published);
        let since_first = account.last - account.first + 1;
        assert_eq!(account.came + account.missed, since_first);
        assert!(since_first >= COUNT, "{account:?}");
    }
}

#[tokio::test]
async fn a_source_is_full_at_its_limit_and_no_longer_when_a_broker_is_there() {
    let (frontend, backend) = Proxy::start().stop();
    let source = Source::builder().broker(&frontend).buffer(100_000);
    let source = source.build().unwrap();
    let mut published = 0;
    let refused = loop {
        match source.publish("t", vec![0; 1000]) {
            Ok(()) => published += 1,
            Err(refused) => break refused,
        }
    };
    let PublishError::Full {
        kept_bytes,
        limit_bytes,
    } = refused
    else {
        panic!("{refused}");
    };
    assert_eq!((limit_bytes, kept_bytes), (100_000, source.kept_bytes()));
    assert!(
        kept_bytes <= limit_bytes && kept_bytes > 95_000,
        "{kept_bytes}"
    );
    assert!((80..100).contains(&published), "{published}");

    let _proxy = Proxy::start_at(&frontend, &backend, 1000);
    soon(source.flush()).await.unwrap();
    assert_eq!(source.kept_bytes(), 0);
    // What nobody subscribes to is neither kept nor refused.
    let _sink = sink(&backend, Transport::Plantd, &["t"]);
    until_subscribed(&source, "t").await;
    source.publish("t", vec![0; 1000]).unwrap();
    // One that is larger than the limit may be kept alone.
    soon(source.flush()).await.unwrap();
    source.publish("t", vec![0; 200_000]).unwrap();
    assert!(source.publish("t", "").is_err());
    soon(source.flush()).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_and_counts_nothing() {
    let proxy = Proxy::start();
    let source = source(proxy.frontend(), Transport::Plantd);
    let too_long = source.publish("x".repeat(1001), "");
    assert!(matches!(too_long, Err(PublishError::InvalidTopic(_))));
    let too_large = source.publish("t", vec![0; 9 * 1024 * 1024]);
    assert!(matches!(too_large, Err(PublishError::TooLarge { .. })));
    let property = source
        .publication("t", "")
        .property("Not a name", "")
        .send();
    assert!(matches!(
        property,
        Err(PublishError::InvalidProperty { .. })
    ));
    assert_eq!(source.kept_bytes(), 0);
    let mut sink = sink(proxy.backend(), Transport::Plantd, &["t", "meet"]);
    meet(&source, &mut sink, "meet").await;
    source.publish("t", "").unwrap();
    assert_eq!(next(&mut sink).await.header.unwrap().sequence, 1);
    assert!(sink.subscribe("x".repeat(1001)).is_err());
}

#[tokio::test]
async fn closing_says_what_no_broker_has_read() {
    let (frontend, _) = Proxy::start().stop();
    let source = source(&frontend, Transport::Plantd);
    let clone = source.clone();
    source.publish("t", "1").unwrap();
    source.publish("t", "2").unwrap();
    let unconfirmed = soon(source.close()).await.unwrap_err();
    assert_eq!(unconfirmed.publications, 2);
    assert_eq!(clone.publish("t", "3"), Err(PublishError::Closed));
    assert!(clone.flush().await.is_err());
}

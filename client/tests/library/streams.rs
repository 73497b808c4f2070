//! Answers in parts.

use futures_util::TryStreamExt;

use crate::broker::{Broker, CANCEL, FINAL, MORE, PARTIAL, over_each_transport, soon};

#[tokio::test]
async fn parts_come_in_order_and_widen_the_window_as_they_are_read() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let client = broker.client(transport);
        let mut stream = client.request("echo", "hi").stream(4).await.unwrap();
        let received = broker.next().await;
        assert_eq!(received.property("window").unwrap(), "4");
        for text in ["a", "b", "c", "d"] {
            broker.answer(&received, PARTIAL, text);
        }
        for text in ["a", "b"] {
            let part = tokio::select! {
                part = stream.next() => part.unwrap().unwrap(),
                () = broker.keep_going() => unreachable!(),
            };
            assert_eq!((part.body.text(), part.is_final), (Ok(text), false));
        }
        let more = broker.next().await;
        assert_eq!((more.command(), more.id()), (MORE, received.id()));
        assert_eq!(more.property("more").unwrap(), "2");
        broker.answer(&received, FINAL, "end");
        let rest = tokio::select! {
            rest = (&mut stream).try_collect::<Vec<_>>() => rest.unwrap(),
            () = broker.keep_going() => unreachable!(),
        };
        let texts: Vec<_> = rest.iter().map(|part| part.body.text().unwrap()).collect();
        assert_eq!(texts, ["c", "d", "end"]);
        assert!(rest[2].is_final);
        assert!(stream.next().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_dropped_stream_is_cancelled() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let client = broker.client(transport);
        let stream = client.request("echo", "hi").stream(1).await.unwrap();
        broker.next().await;
        drop(stream);
        assert_eq!(broker.next().await.command(), CANCEL);
    })
    .await;
}

#[tokio::test]
async fn an_error_ends_a_stream_after_its_parts() {
    let mut broker = Broker::bind().await;
    let client = broker.client(plantd_client::Transport::Plantd);
    let mut stream = client.request("echo", "hi").stream(4).await.unwrap();
    let received = broker.next().await;
    broker.answer(&received, PARTIAL, "a");
    broker.refuse(&received, &[("code", "worker-lost")]);
    let read = async {
        assert_eq!(stream.next().await.unwrap().unwrap().body.text(), Ok("a"));
        assert_eq!(
            stream.next().await.unwrap().unwrap_err().code(),
            "worker-lost"
        );
        assert!(stream.next().await.is_none());
    };
    tokio::select! {
        () = soon(read) => {}
        () = broker.keep_going() => unreachable!(),
    }
}

//! Publishers and subscribers of other libraries.

use std::{collections::BTreeMap, time::Duration};

use plantd_client::Body;
use plantd_tests::Proxy;

use crate::{TRANSPORTS, next, sink, source};

fn socket(kind: zmq::SocketType, endpoint: &str) -> zmq::Socket {
    let socket = zmq::Context::new().socket(kind).unwrap();
    socket.set_linger(0).unwrap();
    socket.set_rcvtimeo(40_000).unwrap();
    socket.connect(endpoint).unwrap();
    socket
}

#[tokio::test]
async fn plain_publishers_are_read() {
    for transport in TRANSPORTS {
        let proxy = Proxy::start();
        let mut sink = sink(proxy.backend(), transport, &["t"]);
        let publisher = socket(zmq::PUB, proxy.frontend());
        let mut bodies = BTreeMap::new();
        while bodies.len() < 3 {
            publisher.send_multipart(["t.alone"], 0).unwrap();
            publisher.send_multipart(["t.plain", "a", ""], 0).unwrap();
            let go = "t.go {\"value\": 1}";
            publisher.send_multipart([go], 0).unwrap();
            tokio::select! {
                publication = next(&mut sink) => {
                    assert_eq!(publication.header, None);
                    bodies.insert(publication.topic.to_string(), publication.body);
                }
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
        assert_eq!(bodies["t.alone"].frames().len(), 0);
        assert_eq!(bodies["t.plain"], Body::from_frames(["a", ""]));
        assert_eq!(bodies["t.go"], Body::from("{\"value\": 1}"));
    }
}

#[tokio::test]
async fn plain_subscribers_get_topic_header_and_body() {
    for transport in TRANSPORTS {
        let proxy = Proxy::start();
        let subscriber = socket(zmq::SUB, proxy.backend());
        subscriber.set_subscribe(b"t").unwrap();
        let source = source(proxy.frontend(), transport);
        let publishing = tokio::spawn(async move {
            loop {
                source.publish("t.1", "body").unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let received = tokio::task::spawn_blocking(move || subscriber.recv_multipart(0));
        let frames = received.await.unwrap().unwrap();
        publishing.abort();
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[0], b"t.1");
        assert_eq!(frames[1].len(), 32);
        assert_eq!(frames[2], b"body");
    }
}

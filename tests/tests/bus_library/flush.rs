//! What a flush says, with a broker that the test holds in its hands.

use std::sync::Arc;

use plantd_client::{Source, Transport};
use plantd_zmtp::{Connection, Listener, Notice, SessionConfig, Side, SocketType};
use tokio::sync::mpsc;

use crate::{soon, source};

const COUNT: usize = 1000;

#[tokio::test]
async fn a_flush_is_done_when_the_broker_has_read_everything() {
    let endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&endpoint).await.unwrap();
    let source: Source = source(&listener.endpoint().to_string(), Transport::Plantd);
    let (stream, _) = soon(listener.accept()).await.unwrap();
    let config = Arc::new(SessionConfig::new(Side::Binding, SocketType::Xsub));
    let (connection, outbox) = Connection::new(stream, config);
    let (sender, mut notices) = mpsc::channel(COUNT);
    tokio::spawn(connection.run(0, sender));
    let opened = soon(notices.recv()).await;
    assert!(matches!(opened, Some(Notice::Opened { .. })));
    soon(source.flush()).await.unwrap();

    outbox.pause_reading();
    for n in 0..COUNT {
        source.publish("t", vec![0; n]).unwrap();
    }
    let mut flush = std::pin::pin!(source.flush());
    for _ in 0..100 {
        tokio::select! {
            biased;
            _ = &mut flush => panic!("the broker has read nothing"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(source.kept_bytes() > 0);
    outbox.resume_reading();
    soon(flush).await.unwrap();
    let mut read = 0;
    while let Ok(notice) = notices.try_recv() {
        if let Notice::Messages { messages, .. } = notice {
            read += messages.len();
        }
    }
    assert_eq!(read, COUNT);
    assert_eq!(source.kept_bytes(), 0);
}

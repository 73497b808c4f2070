//! One loop's connections, on real sockets.

use slotmap::DefaultKey;

use super::*;
use crate::{BACKLOG_HIGH_BYTES, Endpoint, Listener, Side, SocketType};

/// A listener, its connections, and what they tell.
struct Hall {
    accepted: Accepted<DefaultKey, u8>,
    notices: mpsc::Receiver<Notice<DefaultKey>>,
    listener: Listener,
}

impl Hall {
    async fn open(limit: usize) -> Self {
        let any: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
        let (sender, notices) = mpsc::channel(16);
        Self {
            accepted: Accepted::new(Admission::new(limit, limit), sender),
            notices,
            listener: Listener::bind(&any).await.unwrap(),
        }
    }

    /// A peer that comes, and whether it is let in.
    async fn visit(&mut self) -> (Visitor, Result<DefaultKey, Refused>) {
        let dialled = Stream::connect(self.listener.endpoint());
        let (stream, arrived) = tokio::join!(dialled, self.listener.accept());
        let session = Arc::new(SessionConfig::new(Side::Binding, SocketType::Router));
        let admitted = self.accepted.admit(arrived.unwrap(), session, 7);
        let admitted = admitted.map_err(|turned| turned.reason);
        (Visitor::new(stream.unwrap()), admitted)
    }

    async fn next(&mut self) -> Notice<DefaultKey> {
        self.notices.recv().await.unwrap()
    }

    async fn opened(&mut self) -> DefaultKey {
        let notice = self.next().await;
        let Notice::Opened { key, peer } = notice else {
            panic!("{notice:?}");
        };
        assert!(self.accepted.open(key, &peer).unwrap().is_open());
        key
    }

    async fn closed(&mut self) -> Link<u8> {
        let notice = self.next().await;
        let Notice::Closed { key, .. } = notice else {
            panic!("{notice:?}");
        };
        self.accepted.close(key).unwrap()
    }

    /// What each peer is said to have waiting.
    fn settled(&mut self) -> Vec<usize> {
        let mut backlogs = Vec::new();
        self.accepted.settle(|_, _, bytes| backlogs.push(bytes));
        backlogs
    }
}

/// The other end of a connection.
struct Visitor {
    _outbox: Outbox,
    notices: mpsc::Receiver<Notice<u8>>,
}

impl Visitor {
    fn new(stream: Stream) -> Self {
        let session = Arc::new(SessionConfig::new(Side::Connecting, SocketType::Dealer));
        let (connection, outbox) = Connection::new(stream, session);
        let (sender, notices) = mpsc::channel(16);
        tokio::spawn(connection.run(0, sender));
        Self {
            _outbox: outbox,
            notices,
        }
    }

    /// Reads until the connection ends.
    async fn read_all(mut self) -> Vec<Message> {
        let mut read = Vec::new();
        while let Some(notice) = self.notices.recv().await {
            if let Notice::Messages { messages, .. } = notice {
                read.extend(messages);
            }
        }
        read
    }
}

#[tokio::test]
async fn what_is_pushed_is_written_before_the_end_and_heard_of_until_it_is() {
    let mut hall = Hall::open(2).await;
    let (visitor, admitted) = hall.visit().await;
    let key = hall.opened().await;
    assert_eq!(admitted, Ok(key));
    let large = Message::from_frames([vec![0; 4 * BACKLOG_HIGH_BYTES]]);
    for _ in 0..2 {
        hall.accepted.push(key, |_| Some(&large));
    }
    assert!(hall.accepted.get(key).unwrap().backlog_bytes() > 8 * BACKLOG_HIGH_BYTES);
    assert!(hall.settled().is_empty(), "nothing was handed over");
    hall.accepted.flush();
    assert!(hall.settled()[0] > BACKLOG_HIGH_BYTES);

    hall.accepted.end_all();
    assert_eq!(visitor.read_all().await, [large.clone(), large]);
    let notice = hall.next().await;
    assert_eq!(notice, Notice::Drained { key });
    assert_eq!(hall.closed().await.kept, 7);
    assert!(hall.accepted.is_empty());
    assert!(hall.settled().is_empty());
}

#[tokio::test]
async fn connections_are_counted_in_and_out_and_refused_when_it_ends() {
    let mut hall = Hall::open(1).await;
    let (first, _) = hall.visit().await;
    let key = hall.opened().await;
    let (second, refused) = hall.visit().await;
    assert_eq!(refused, Err(Refused::Connections));
    assert!(second.read_all().await.is_empty());
    drop(first);
    hall.closed().await;
    assert!(hall.accepted.get(key).is_none());

    let (_third, admitted) = hall.visit().await;
    assert!(admitted.is_ok());
    hall.accepted.refuse_more();
    let (_, refused) = hall.visit().await;
    assert_eq!(refused, Err(Refused::Draining));
}

#[tokio::test]
async fn a_key_that_is_reserved_is_no_connections() {
    let mut hall = Hall::open(8).await;
    let own = hall.accepted.reserve();
    assert!(hall.accepted.is_empty());
    assert!(hall.accepted.get(own).is_none());
    let (_visitor, admitted) = hall.visit().await;
    let key = admitted.unwrap();
    assert_ne!(key, own);
    hall.accepted.push(own, |_| None);
    hall.accepted.end(own);
    assert!(hall.accepted.close(own).is_none());
    hall.accepted.give_back(key);
    assert!(hall.accepted.get(key).is_some(), "a connection is kept");
}

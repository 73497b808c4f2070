//! Our side against libzmq, in both roles, over TCP and Unix sockets.
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

use std::{sync::Arc, time::Duration};

use plantd_zmtp::{
    Batch, CloseReason, Connection, Endpoint, Identity, Listener, Message, Notice, Outbox, Peer,
    SessionConfig, Side, SocketType, Stream, Subscription, Version,
};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

/// Only ever reached by a test that fails.
const SAFETY_NET: Duration = Duration::from_secs(20);

const FRAME_BYTES: [usize; 6] = [0, 1, 255, 256, 65_536, 4 * 1024 * 1024];

/// A connection of ours that runs.
struct Ours {
    outbox: Outbox,
    notices: mpsc::Receiver<Notice<()>>,
}

impl Ours {
    fn run(stream: Stream, config: SessionConfig) -> Self {
        let (connection, outbox) = Connection::new(stream, Arc::new(config));
        let (sender, notices) = mpsc::channel(16);
        tokio::spawn(connection.run((), sender));
        Self { outbox, notices }
    }

    async fn accept(listener: &Listener, socket_type: SocketType) -> Self {
        let (stream, _) = timeout(SAFETY_NET, listener.accept())
            .await
            .unwrap()
            .unwrap();
        Self::run(stream, SessionConfig::new(Side::Binding, socket_type))
    }

    async fn connect(endpoint: &Endpoint, config: SessionConfig) -> Self {
        Self::run(Stream::connect(endpoint).await.unwrap(), config)
    }

    async fn notice(&mut self) -> Notice<()> {
        let notice = timeout(SAFETY_NET, self.notices.recv()).await;
        notice.expect("a notice in time").expect("a notice")
    }

    async fn notice_but_drained(&mut self) -> Notice<()> {
        loop {
            let notice = self.notice().await;
            if !matches!(notice, Notice::Drained { .. }) {
                return notice;
            }
        }
    }

    async fn opened(&mut self) -> Peer {
        let notice = self.notice().await;
        let Notice::Opened { peer, .. } = notice else {
            panic!("not open: {notice:?}");
        };
        peer
    }

    async fn closed(&mut self) -> CloseReason {
        let notice = self.notice_but_drained().await;
        let Notice::Closed { reason, .. } = notice else {
            panic!("not closed: {notice:?}");
        };
        reason
    }

    async fn messages(&mut self, count: usize) -> Vec<Message> {
        let mut received = Vec::new();
        while received.len() < count {
            let notice = self.notice_but_drained().await;
            let Notice::Messages { messages, .. } = notice else {
                panic!("no messages: {notice:?}");
            };
            received.extend(messages);
        }
        received
    }

    fn send(&self, messages: &[Message]) {
        let mut batch = Batch::new();
        for message in messages {
            batch.push_message(message);
        }
        self.outbox.send(batch);
    }

    /// Sends back what comes, until `count` messages have.
    async fn echo(&mut self, count: usize) {
        for _ in 0..count {
            let messages = self.messages(1).await;
            self.send(&messages);
        }
    }
}

fn theirs(context: &zmq::Context, socket_type: zmq::SocketType) -> zmq::Socket {
    let socket = context.socket(socket_type).unwrap();
    let ms = SAFETY_NET.as_millis() as i32;
    socket.set_rcvtimeo(ms).unwrap();
    socket.set_sndtimeo(ms).unwrap();
    socket.set_linger(0).unwrap();
    socket
}

/// Runs blocking calls of libzmq on a thread of their own. Those that send last give their socket
/// back, since one that is dropped does not linger.
fn beside<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    spawn_blocking(run)
}

/// Frames of every size, each alone and all of them together.
fn samples() -> Vec<Vec<Vec<u8>>> {
    let frame = |len: usize| (0..len).map(|i| (i % 251) as u8).collect::<Vec<u8>>();
    let all: Vec<Vec<u8>> = FRAME_BYTES.into_iter().map(frame).collect();
    let mut samples: Vec<Vec<Vec<u8>>> = all.iter().map(|frame| vec![frame.clone()]).collect();
    samples.push(all);
    samples
}

/// An endpoint of each transport to listen at, and the folder that must outlive them.
fn endpoints() -> (Vec<Endpoint>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let tcp = "tcp://127.0.0.1:0".parse().unwrap();
    (vec![tcp, Endpoint::Ipc { path }], folder)
}

/// A libzmq socket that listens, and where.
fn their_listener(
    context: &zmq::Context,
    socket_type: zmq::SocketType,
    endpoint: &Endpoint,
) -> (zmq::Socket, Endpoint) {
    let socket = theirs(context, socket_type);
    let wildcard = endpoint.to_string().replace(":0", ":*");
    socket.bind(&wildcard).unwrap();
    let bound = socket.get_last_endpoint().unwrap().unwrap();
    (socket, bound.parse().unwrap())
}

#[tokio::test]
async fn their_dealer_and_our_router_side() {
    let (endpoints, _folder) = endpoints();
    for endpoint in endpoints {
        let listener = Listener::bind(&endpoint).await.unwrap();
        let dialled = listener.endpoint().to_string();
        let dealer = beside(move || {
            let dealer = theirs(&zmq::Context::new(), zmq::DEALER);
            dealer.set_identity(b"dealer-1").unwrap();
            dealer.connect(&dialled).unwrap();
            for sample in samples() {
                dealer.send_multipart(&sample, 0).unwrap();
                assert!(dealer.recv_multipart(0).unwrap() == sample);
            }
        });

        let mut ours = Ours::accept(&listener, SocketType::Router).await;
        assert_eq!(
            ours.opened().await,
            Peer {
                version: Version::OURS,
                socket_type: SocketType::Dealer,
                identity: Identity::new(b"dealer-1").unwrap(),
            }
        );
        ours.echo(samples().len()).await;
        dealer.await.unwrap();
        assert!(matches!(ours.closed().await, CloseReason::PeerClosed));
    }
}

#[tokio::test]
async fn their_req_and_our_router_side() {
    let (endpoints, _folder) = endpoints();
    for endpoint in endpoints {
        let listener = Listener::bind(&endpoint).await.unwrap();
        let dialled = listener.endpoint().to_string();
        let req = beside(move || {
            let req = theirs(&zmq::Context::new(), zmq::REQ);
            req.connect(&dialled).unwrap();
            for sample in samples() {
                req.send_multipart(&sample, 0).unwrap();
                assert!(req.recv_multipart(0).unwrap() == sample);
            }
        });

        let mut ours = Ours::accept(&listener, SocketType::Router).await;
        assert_eq!(ours.opened().await.socket_type, SocketType::Req);
        for _ in samples() {
            let request = ours.messages(1).await;
            assert_eq!(request[0].frames().next(), Some(&b""[..]));
            ours.send(&request);
        }
        req.await.unwrap();
    }
}

#[tokio::test]
async fn our_dealer_side_and_their_router() {
    let (endpoints, _folder) = endpoints();
    for endpoint in endpoints {
        let (router, dialled) = their_listener(&zmq::Context::new(), zmq::ROUTER, &endpoint);
        let router = beside(move || {
            for _ in samples() {
                let message = router.recv_multipart(0).unwrap();
                assert_eq!(message[0], b"ours");
                router.send_multipart(&message, 0).unwrap();
            }
            router
        });

        let config = SessionConfig {
            identity: Identity::new(b"ours").unwrap(),
            ..SessionConfig::new(Side::Connecting, SocketType::Dealer)
        };
        let mut ours = Ours::connect(&dialled, config).await;
        assert_eq!(ours.opened().await.socket_type, SocketType::Router);
        for sample in samples() {
            let message = Message::from_frames(&sample);
            ours.send(std::slice::from_ref(&message));
            assert!(ours.messages(1).await == [message]);
        }
        router.await.unwrap();
    }
}

#[tokio::test]
async fn our_dealer_side_and_their_dealer_and_rep() {
    for their_type in [zmq::DEALER, zmq::REP] {
        let endpoint = "tcp://127.0.0.1:0".parse().unwrap();
        let (socket, dialled) = their_listener(&zmq::Context::new(), their_type, &endpoint);
        let echo = beside(move || {
            let message = socket.recv_multipart(0).unwrap();
            socket.send_multipart(&message, 0).unwrap();
            socket
        });

        let config = SessionConfig::new(Side::Connecting, SocketType::Dealer);
        let mut ours = Ours::connect(&dialled, config).await;
        ours.opened().await;
        let request = Message::from_frames(["", "question"]);
        ours.send(std::slice::from_ref(&request));

        assert_eq!(ours.messages(1).await, [request]);
        drop(echo.await.unwrap());
        assert_eq!(ours.closed().await, CloseReason::PeerClosed);
    }
}

#[tokio::test]
async fn many_messages_in_order_both_ways() {
    const COUNT: u32 = 20_000;
    let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let dialled = listener.endpoint().to_string();
    let dealer = beside(move || {
        let dealer = theirs(&zmq::Context::new(), zmq::DEALER);
        dealer.set_sndhwm(0).unwrap();
        dealer.set_rcvhwm(0).unwrap();
        dealer.connect(&dialled).unwrap();
        for n in 0..COUNT {
            dealer.send(&n.to_be_bytes()[..], 0).unwrap();
        }
        for n in 0..COUNT {
            assert_eq!(dealer.recv_bytes(0).unwrap(), n.to_be_bytes());
        }
    });

    let mut ours = Ours::accept(&listener, SocketType::Router).await;
    ours.opened().await;
    let mut echoed = 0;
    while echoed < COUNT as usize {
        let messages = ours.messages(1).await;
        echoed += messages.len();
        ours.send(&messages);
    }
    dealer.await.unwrap();
}

#[tokio::test]
async fn closing_with_a_linger_loses_nothing() {
    const COUNT: u32 = 2_000;
    let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let dialled = listener.endpoint().to_string();
    let dealer = beside(move || {
        let dealer = theirs(&zmq::Context::new(), zmq::DEALER);
        dealer.set_rcvhwm(0).unwrap();
        dealer.connect(&dialled).unwrap();
        for n in 0..COUNT {
            let message = dealer.recv_multipart(0).unwrap();
            assert_eq!(message[0], n.to_be_bytes());
        }
    });

    let mut ours = Ours::accept(&listener, SocketType::Router).await;
    ours.opened().await;
    let filler = [0; 2000];
    let sent: Vec<Message> = (0..COUNT)
        .map(|n| Message::from_frames([&n.to_be_bytes()[..], &filler]))
        .collect();
    ours.send(&sent);
    ours.outbox.close(SAFETY_NET);

    assert_eq!(ours.closed().await, CloseReason::Requested);
    dealer.await.unwrap();
}

#[tokio::test]
async fn their_subscriber_and_our_publisher_side() {
    let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let dialled = listener.endpoint().to_string();
    let subscriber = beside(move || {
        let subscriber = theirs(&zmq::Context::new(), zmq::SUB);
        subscriber.connect(&dialled).unwrap();
        subscriber.set_subscribe(b"topic").unwrap();
        assert_eq!(
            subscriber.recv_multipart(0).unwrap(),
            [&b"topic.a"[..], b"1"]
        );
        subscriber.set_unsubscribe(b"topic").unwrap();
        subscriber
    });

    let mut ours = Ours::accept(&listener, SocketType::Xpub).await;
    assert_eq!(ours.opened().await.socket_type, SocketType::Sub);
    let subscription = |changes| Notice::Subscriptions { key: (), changes };
    assert_eq!(
        ours.notice().await,
        subscription(vec![Subscription::Subscribe("topic".into())])
    );
    ours.send(&[Message::from_frames(["topic.a", "1"])]);
    assert_eq!(
        ours.notice().await,
        subscription(vec![Subscription::Cancel("topic".into())])
    );
    subscriber.await.unwrap();
}

#[tokio::test]
async fn our_subscriber_and_their_publisher() {
    let endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    let context = zmq::Context::new();
    let (publisher, dialled) = their_listener(&context, zmq::XPUB, &endpoint);
    let config = SessionConfig::new(Side::Connecting, SocketType::Sub);
    let mut ours = Ours::connect(&dialled, config).await;
    ours.opened().await;

    let topic = || "topic".into();
    ours.outbox
        .change_subscriptions(vec![Subscription::Subscribe(topic())]);
    ours.outbox.mark(1);
    assert_eq!(ours.notice().await, Notice::Marked { key: (), mark: 1 });
    let publisher = beside(move || {
        assert_eq!(publisher.recv_bytes(0).unwrap(), b"\x01topic");
        publisher.send_multipart(["topic.a", "1"], 0).unwrap();
        publisher
    });
    let publisher = publisher.await.unwrap();
    assert!(ours.messages(1).await == [Message::from_frames(["topic.a", "1"])]);

    ours.outbox
        .change_subscriptions(vec![Subscription::Cancel(topic())]);
    let cancelled = beside(move || publisher.recv_bytes(0).unwrap());
    assert_eq!(cancelled.await.unwrap(), b"\0topic");
}

#[tokio::test]
async fn a_socket_of_the_wrong_type_is_refused() {
    let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let context = zmq::Context::new();
    let publisher = theirs(&context, zmq::PUB);
    publisher.connect(&listener.endpoint().to_string()).unwrap();

    let mut ours = Ours::accept(&listener, SocketType::Router).await;

    assert_eq!(ours.closed().await.reason(), "socket_type");
}

#[tokio::test]
async fn their_listener_refuses_us_too() {
    let endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    let (_pull, dialled) = their_listener(&zmq::Context::new(), zmq::PULL, &endpoint);

    let config = SessionConfig::new(Side::Connecting, SocketType::Dealer);
    let mut ours = Ours::connect(&dialled, config).await;

    let reason = ours.closed().await;
    assert!(
        matches!(reason.reason(), "socket_type" | "refused" | "peer_closed"),
        "{reason}"
    );
}

#[tokio::test]
async fn our_two_sides() {
    let (endpoints, _folder) = endpoints();
    for endpoint in endpoints {
        let listener = Listener::bind(&endpoint).await.unwrap();
        let config = SessionConfig::new(Side::Connecting, SocketType::Dealer);
        let mut client = Ours::connect(listener.endpoint(), config).await;
        let mut server = Ours::accept(&listener, SocketType::Router).await;
        client.opened().await;
        server.opened().await;

        let echo = tokio::spawn(async move {
            server.echo(samples().len()).await;
            server
        });
        for sample in samples() {
            let message = Message::from_frames(&sample);
            client.send(std::slice::from_ref(&message));
            assert!(client.messages(1).await == [message]);
        }

        let mut server = echo.await.unwrap();
        client.outbox.close(SAFETY_NET);
        assert_eq!(server.closed().await, CloseReason::PeerClosed);
        drop(server);
        assert_eq!(client.closed().await, CloseReason::Requested);
    }
}

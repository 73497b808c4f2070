//! A broker's socket that a test holds in its hands: what came, from whom, and what to send.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use plantd_client::{Client, ClientBuilder, Endpoint, Message, Transport, Worker, WorkerBuilder};
use plantd_zmtp::{Batch, Connection, Listener, Notice, Outbox, SessionConfig, Side, SocketType};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

/// Fails a test that would hang; never waited for by one that passes.
const SAFETY_NET: Duration = Duration::from_secs(20);

pub(crate) const REQUEST: &[u8] = &[0x01];
pub(crate) const PARTIAL: &[u8] = &[0x02];
pub(crate) const FINAL: &[u8] = &[0x03];
pub(crate) const ERROR: &[u8] = &[0x04];
pub(crate) const CANCEL: &[u8] = &[0x05];
pub(crate) const MORE: &[u8] = &[0x07];

/// Every transport that the library was built with.
pub(crate) fn transports() -> Vec<Transport> {
    vec![
        Transport::Plantd,
        #[cfg(feature = "zeromq")]
        Transport::Zeromq,
    ]
}

/// Runs a test once for each transport.
pub(crate) async fn over_each_transport<F: Future<Output = ()>>(test: impl Fn(Transport) -> F) {
    for transport in transports() {
        soon(test(transport)).await;
    }
}

/// Waits for what must come.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SAFETY_NET, future).await.expect("it comes in time")
}

/// Names a connection to a [`Broker`].
pub(crate) type Peer = u64;

/// A message that came, in frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) peer: Peer,
    pub(crate) frames: Vec<Vec<u8>>,
}

/// A bound ROUTER.
pub(crate) struct Broker {
    pub(crate) endpoint: Endpoint,
    listener: Listener,
    session: Arc<SessionConfig>,
    connections: BTreeMap<Peer, Outbox>,
    next_peer: Peer,
    running: JoinSet<()>,
    notices: mpsc::Receiver<Notice<Peer>>,
    notice_sender: mpsc::Sender<Notice<Peer>>,
    received: std::collections::VecDeque<Received>,
    closed: Vec<Peer>,
}

impl Broker {
    pub(crate) async fn bind() -> Self {
        Self::bind_at(&"tcp://127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn bind_at(endpoint: &Endpoint) -> Self {
        let listener = Listener::bind(endpoint).await.unwrap();
        let (notice_sender, notices) = mpsc::channel(64);
        Self {
            endpoint: listener.endpoint().clone(),
            listener,
            session: Arc::new(SessionConfig::new(Side::Binding, SocketType::Router)),
            connections: BTreeMap::new(),
            next_peer: 0,
            running: JoinSet::new(),
            notices,
            notice_sender,
            received: std::collections::VecDeque::new(),
            closed: Vec::new(),
        }
    }

    pub(crate) fn client(&self, transport: Transport) -> Client {
        self.client_builder(transport).connect().unwrap()
    }

    pub(crate) fn client_builder(&self, transport: Transport) -> ClientBuilder {
        let first = Duration::from_millis(10);
        Client::builder()
            .broker(self.endpoint.to_string())
            .transport(transport)
            .reconnect_delays(first, first)
    }

    pub(crate) fn worker_builder(&self, transport: Transport) -> WorkerBuilder {
        let first = Duration::from_millis(10);
        Worker::builder("echo")
            .broker(self.endpoint.to_string())
            .transport(transport)
            .reconnect_delays(first, first)
    }

    /// Stops: nothing listens, and every connection is gone.
    pub(crate) fn stop(self) -> Endpoint {
        self.endpoint
    }

    /// Stops and begins anew at the same endpoint.
    pub(crate) async fn restart(self) -> Self {
        let endpoint = self.stop();
        Self::bind_at(&endpoint).await
    }

    /// Waits for the next message that is no heartbeat of a worker or a client.
    pub(crate) async fn next(&mut self) -> Received {
        loop {
            let received = self.next_of_any_kind().await;
            if !received.is_heartbeat() {
                return received;
            }
        }
    }

    pub(crate) async fn next_of_any_kind(&mut self) -> Received {
        loop {
            if let Some(received) = self.received.pop_front() {
                return received;
            }
            soon(self.turn()).await;
        }
    }

    /// Waits until a connection is gone.
    pub(crate) async fn until_closed(&mut self, peer: Peer) {
        while !self.closed.contains(&peer) {
            soon(self.turn()).await;
        }
    }

    /// Carries connections on, for as long as the future is polled.
    pub(crate) async fn keep_going(&mut self) {
        loop {
            self.turn().await;
        }
    }

    pub(crate) fn send<I>(&mut self, peer: Peer, frames: I)
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let mut batch = Batch::new();
        batch.push_message(&Message::from_frames(frames));
        if let Some(outbox) = self.connections.get(&peer) {
            outbox.send(batch);
        }
    }

    /// Answers a client's request.
    pub(crate) fn answer(&mut self, to: &Received, command: &[u8], body: &str) {
        let frames = [b"MDPC03", command, b"echo", to.id(), body.as_bytes()];
        self.send(to.peer, frames);
    }

    /// Ends a client's request with an error.
    pub(crate) fn refuse(&mut self, to: &Received, properties: &[(&str, &str)]) {
        let header = header(to.id(), properties);
        self.send(to.peer, [b"MDPC03", ERROR, b"echo", &header]);
    }

    /// Takes a worker's READY and answers it.
    pub(crate) async fn welcome(&mut self) -> Peer {
        let ready = self.next().await;
        assert_eq!(ready.frames[..3], [&b"MDPW03"[..], &[0x01], b"echo"]);
        let header = header(&[0; 8], &[]);
        self.send(ready.peer, [b"MDPW03", &[0x08][..], b"echo", &header]);
        ready.peer
    }

    /// Gives a worker a request under a token of this number.
    pub(crate) fn dispatch(&mut self, peer: Peer, number: u8, body: &str) {
        self.dispatch_with(peer, number, &[], body);
    }

    pub(crate) fn dispatch_with(
        &mut self,
        peer: Peer,
        number: u8,
        properties: &[(&str, &str)],
        body: &str,
    ) {
        let header = header(&u64::from(number).to_be_bytes(), properties);
        let token = [number; 16];
        self.send(
            peer,
            [b"MDPW03", &[0x02][..], &token, &header, body.as_bytes()],
        );
    }

    /// Sends a worker a command about one request: CANCEL or MORE.
    pub(crate) fn tell(
        &mut self,
        peer: Peer,
        command: u8,
        number: u8,
        properties: &[(&str, &str)],
    ) {
        let header = header(&u64::from(number).to_be_bytes(), properties);
        self.send(peer, [b"MDPW03", &[command][..], &[number; 16], &header]);
    }

    async fn turn(&mut self) {
        tokio::select! {
            accepted = self.listener.accept() => {
                let (stream, _) = accepted.unwrap();
                let (connection, outbox) = Connection::new(stream, self.session.clone());
                let peer = self.next_peer;
                self.next_peer += 1;
                self.connections.insert(peer, outbox);
                self.running.spawn(connection.run(peer, self.notice_sender.clone()));
            }
            Some(notice) = self.notices.recv() => match notice {
                Notice::Messages { key: peer, messages } => {
                    let frames = |message: Message| message.frames().map(Vec::from).collect();
                    let received = messages.into_iter().map(|message| Received {
                        peer,
                        frames: frames(message),
                    });
                    self.received.extend(received);
                }
                Notice::Closed { key, .. } => {
                    self.connections.remove(&key);
                    self.closed.push(key);
                }
                Notice::Opened { .. }
                | Notice::Runs { .. }
                | Notice::Subscriptions { .. }
                | Notice::Marked { .. }
                | Notice::Ignored { .. }
                | Notice::Drained { .. } => {}
            }
        }
    }
}

impl Received {
    fn is_heartbeat(&self) -> bool {
        let is_probe = self.frames.get(2).is_some_and(|it| it == b"mmi.heartbeat");
        is_probe || self.frames[..] == [&b"MDPW03"[..], &[0x05]]
    }

    pub(crate) fn command(&self) -> &[u8] {
        &self.frames[1]
    }

    /// The id in the header.
    pub(crate) fn id(&self) -> &[u8] {
        &self.frames[3][..8]
    }

    /// The value of a property of the header, which is the frame at `position`.
    pub(crate) fn property_of(&self, position: usize, name: &str) -> Option<String> {
        let properties = self.frames[position][8..].to_vec();
        let properties = plantd_client::Properties::parse(properties.into()).unwrap();
        properties.get(name).map(str::to_owned)
    }

    pub(crate) fn property(&self, name: &str) -> Option<String> {
        self.property_of(3, name)
    }

    /// The frames after the header, as text.
    pub(crate) fn body(&self) -> Vec<&str> {
        let frames = self.frames[4..].iter();
        frames.map(|frame| str::from_utf8(frame).unwrap()).collect()
    }

    /// A worker's command about one request: the command, the token's number, and the first frame
    /// of the body.
    pub(crate) fn of_worker(&self) -> (u8, u8, &str) {
        let body = self.frames.get(4).map_or(&[][..], Vec::as_slice);
        (
            self.frames[1][0],
            self.frames[2][0],
            str::from_utf8(body).unwrap(),
        )
    }
}

fn header(id: &[u8], properties: &[(&str, &str)]) -> Vec<u8> {
    let mut header = id.to_vec();
    for (name, value) in properties {
        header.push(name.len() as u8);
        header.extend_from_slice(name.as_bytes());
        header.extend_from_slice(&(value.len() as u32).to_be_bytes());
        header.extend_from_slice(value.as_bytes());
    }
    header
}

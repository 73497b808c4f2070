//! Connections over the `zeromq` crate.
//!
//! Each connection is a DEALER of its own with one peer: the crate does not reconnect a DEALER, and
//! its monitor tells when the peer is gone.

use std::{collections::BTreeMap, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, future};
use plantd_zmtp::{Endpoint, Message};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use zeromq::{
    DealerRecvHalf, DealerSendHalf, DealerSocket, Socket, SocketEvent, SocketOptions, SocketRecv,
    SocketSend, ZmqMessage,
};

use super::{ConnectionKey, DIAL_TIMEOUT, EVENTS, LinkEvent};

/// The crate says nothing of when a message was written: this long is hoped to be enough.
const FLUSH_TIME: Duration = Duration::from_millis(250);
/// The most messages of one event.
const TURN_MESSAGES: usize = 256;

/// The connections of one task over the `zeromq` crate.
#[derive(Debug)]
pub(super) struct Connections {
    /// What is to be sent over each; dropping it closes the connection.
    outgoing: BTreeMap<ConnectionKey, mpsc::UnboundedSender<ZmqMessage>>,
    running: JoinSet<()>,
    events: mpsc::Receiver<LinkEvent>,
    event_sender: mpsc::Sender<LinkEvent>,
}

impl Connections {
    pub(super) fn new() -> Self {
        let (event_sender, events) = mpsc::channel(EVENTS);
        Self {
            outgoing: BTreeMap::new(),
            running: JoinSet::new(),
            events,
            event_sender,
        }
    }

    pub(super) fn dial(&mut self, key: ConnectionKey, endpoint: &Endpoint) {
        let (outgoing, messages) = mpsc::unbounded_channel();
        self.outgoing.insert(key, outgoing);
        let events = self.event_sender.clone();
        self.running
            .spawn(run(key, endpoint.to_string(), messages, events));
    }

    pub(super) fn send<'a>(
        &mut self,
        key: ConnectionKey,
        encode: impl FnOnce(&mut BytesMut) -> Option<&'a Message>,
    ) {
        if let Some(outgoing) = self.outgoing.get(&key) {
            let mut envelope = BytesMut::new();
            let body = encode(&mut envelope);
            // A connection that is gone says so in an event.
            let _ = outgoing.send(to_zeromq(envelope.freeze(), body));
        }
    }

    pub(super) fn close(&mut self, key: ConnectionKey) {
        self.outgoing.remove(&key);
    }

    pub(super) async fn next(&mut self) -> LinkEvent {
        loop {
            tokio::select! {
                Some(event) = self.events.recv() => {
                    if let Some(event) = self.pass(event) {
                        return event;
                    }
                }
                Some(_) = self.running.join_next() => {}
            }
        }
    }

    pub(super) async fn finish(mut self) {
        drop(self.event_sender);
        while self.events.recv().await.is_some() {}
    }

    /// Keeps back what a connection tells that was closed.
    fn pass(&mut self, event: LinkEvent) -> Option<LinkEvent> {
        let is_known = match &event {
            LinkEvent::Opened { key, .. }
            | LinkEvent::Messages { key, .. }
            | LinkEvent::HasRoom { key } => self.outgoing.contains_key(key),
            LinkEvent::Closed { key, .. } => self.outgoing.remove(key).is_some(),
        };
        is_known.then_some(event)
    }
}

/// Carries one connection from dialling to its end.
async fn run(
    key: ConnectionKey,
    endpoint: String,
    outgoing: mpsc::UnboundedReceiver<ZmqMessage>,
    events: mpsc::Sender<LinkEvent>,
) {
    let mut options = SocketOptions::default();
    options.connect_timeout(DIAL_TIMEOUT);
    let mut socket = DealerSocket::with_options(options);
    let monitor = socket.monitor();
    // The crate goes on dialling a refused port; the machines decide that here.
    let reason = match timeout(DIAL_TIMEOUT, socket.connect(&endpoint)).await {
        Ok(Ok(())) => {
            let opened = LinkEvent::Opened {
                key,
                has_ping: false,
            };
            if events.send(opened).await.is_err() {
                return;
            }
            let (sender, receiver) = socket.split();
            let lost = monitor
                .filter(|event| future::ready(matches!(event, SocketEvent::Disconnected(_))));
            let mut lost = std::pin::pin!(lost);
            tokio::select! {
                reason = receive(key, receiver, &events) => reason,
                reason = send(sender, outgoing) => reason,
                _ = lost.next() => "the peer closed the connection".to_owned(),
            }
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "timed out".to_owned(),
    };
    // An owner that is gone needs no event.
    let _ = events.send(LinkEvent::Closed { key, reason }).await;
}

/// Passes on what comes, until the connection fails.
async fn receive(
    key: ConnectionKey,
    mut receiver: DealerRecvHalf,
    events: &mpsc::Sender<LinkEvent>,
) -> String {
    loop {
        let first = match receiver.recv().await {
            Ok(message) => message,
            Err(error) => return error.to_string(),
        };
        let mut messages = vec![from_zeromq(&first)];
        let mut failure = None;
        while messages.len() < TURN_MESSAGES
            && let Some(next) = receiver.recv().now_or_never()
        {
            match next {
                Ok(message) => messages.push(from_zeromq(&message)),
                Err(error) => {
                    failure = Some(error.to_string());
                    break;
                }
            }
        }
        if events
            .send(LinkEvent::Messages { key, messages })
            .await
            .is_err()
        {
            return "the owner is gone".to_owned();
        }
        if let Some(failure) = failure {
            return failure;
        }
    }
}

/// Sends what is given, until the connection fails or its owner closes it.
async fn send(
    mut sender: DealerSendHalf,
    mut outgoing: mpsc::UnboundedReceiver<ZmqMessage>,
) -> String {
    while let Some(message) = outgoing.recv().await {
        if let Err(error) = sender.send(message).await {
            return error.to_string();
        }
    }
    tokio::time::sleep(FLUSH_TIME).await;
    "closed by this side".to_owned()
}

fn to_zeromq(mut envelope: Bytes, body: Option<&Message>) -> ZmqMessage {
    let mut frames = Vec::new();
    while envelope.has_remaining() {
        frames.push(split_frame(&mut envelope));
    }
    if let Some(body) = body {
        frames.extend((0..body.frame_count()).filter_map(|index| body.frame_bytes(index)));
    }
    ZmqMessage::try_from(frames).expect("an envelope has frames")
}

/// Splits the content of the first frame off an envelope of ours.
fn split_frame(encoded: &mut Bytes) -> Bytes {
    const LONG: u8 = 0b010;
    let size = if encoded.get_u8() & LONG == 0 {
        encoded.get_u8().into()
    } else {
        encoded.get_u64()
    };
    encoded.split_to(usize::try_from(size).expect("an envelope is small"))
}

fn from_zeromq(message: &ZmqMessage) -> Message {
    Message::from_frames(message.iter())
}

//! Connections over the `zeromq` crate.
//!
//! Each connection is a socket of its own with one peer, so that the machines here decide when to
//! connect again; the crate's monitor tells when the peer is gone.

mod dealer;
mod publisher;
mod subscriber;

use std::{collections::BTreeMap, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt, future};
use plantd_zmtp::{Endpoint, Message, Run, Subscription};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use zeromq::{Socket, SocketEvent, SocketOptions, SocketRecv, ZmqMessage};

use super::{ConnectionKey, DIAL_TIMEOUT, LinkEvent, Role};

/// The crate says nothing of when a message was written: this long is hoped to be enough.
const FLUSH_TIME: Duration = Duration::from_millis(250);
/// The most messages of one event.
const TURN_MESSAGES: usize = 256;

/// The connections of one task over the `zeromq` crate.
#[derive(Debug)]
pub(super) struct Connections {
    role: Role,
    /// What is to be sent over each; dropping it closes the connection.
    outgoing: BTreeMap<ConnectionKey, mpsc::UnboundedSender<Outgoing>>,
    running: JoinSet<()>,
    events: mpsc::Receiver<LinkEvent>,
    event_sender: mpsc::Sender<LinkEvent>,
}

/// What is asked of a connection.
#[derive(Debug)]
enum Outgoing {
    Message(ZmqMessage),
    Subscriptions(Vec<Subscription>),
    Mark(u64),
}

impl Connections {
    pub(super) fn new(role: Role) -> Self {
        let (event_sender, events) = mpsc::channel(role.events());
        Self {
            role,
            outgoing: BTreeMap::new(),
            running: JoinSet::new(),
            events,
            event_sender,
        }
    }

    pub(super) fn dial(&mut self, key: ConnectionKey, endpoint: &Endpoint) {
        let (sender, outgoing) = mpsc::unbounded_channel();
        self.outgoing.insert(key, sender);
        let connection = Connection {
            key,
            endpoint: endpoint.to_string(),
            outgoing,
            events: self.event_sender.clone(),
        };
        match self.role {
            Role::Dealer => self.running.spawn(dealer::run(connection)),
            Role::Publisher => self.running.spawn(publisher::run(connection)),
            Role::Subscriber => self.running.spawn(subscriber::run(connection)),
        };
    }

    pub(super) fn send<'a>(
        &mut self,
        key: ConnectionKey,
        encode: impl FnOnce(&mut BytesMut) -> Option<&'a Message>,
    ) {
        let mut envelope = BytesMut::new();
        let body = encode(&mut envelope);
        self.order(key, Outgoing::Message(to_zeromq(envelope.freeze(), body)));
    }

    pub(super) fn send_run(&mut self, key: ConnectionKey, run: &Run) {
        for part in run.parts() {
            let message = to_zeromq(Bytes::new(), Some(&run.message(&part)));
            self.order(key, Outgoing::Message(message));
        }
    }

    pub(super) fn change_subscriptions(&mut self, key: ConnectionKey, changes: Vec<Subscription>) {
        self.order(key, Outgoing::Subscriptions(changes));
    }

    pub(super) fn mark(&mut self, key: ConnectionKey, mark: u64) {
        self.order(key, Outgoing::Mark(mark));
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

    fn order(&self, key: ConnectionKey, order: Outgoing) {
        if let Some(outgoing) = self.outgoing.get(&key) {
            // A connection that is gone says so in an event.
            let _ = outgoing.send(order);
        }
    }

    /// Keeps back what a connection tells that was closed.
    fn pass(&mut self, event: LinkEvent) -> Option<LinkEvent> {
        let is_known = match &event {
            LinkEvent::Opened { key, .. }
            | LinkEvent::Messages { key, .. }
            | LinkEvent::Subscriptions { key, .. }
            | LinkEvent::Marked { key, .. }
            | LinkEvent::HasRoom { key } => self.outgoing.contains_key(key),
            LinkEvent::Closed { key, .. } => self.outgoing.remove(key).is_some(),
        };
        is_known.then_some(event)
    }
}

/// One connection, from dialling to its end.
#[derive(Debug)]
struct Connection {
    key: ConnectionKey,
    endpoint: String,
    outgoing: mpsc::UnboundedReceiver<Outgoing>,
    events: mpsc::Sender<LinkEvent>,
}

impl Connection {
    /// Connects, and tells so.
    ///
    /// # Errors
    /// Why it could not be.
    async fn open<S: Socket>(&mut self) -> Result<(S, impl Stream<Item = ()> + use<S>), String> {
        let mut options = SocketOptions::default();
        options.connect_timeout(DIAL_TIMEOUT);
        let mut socket = S::with_options(options);
        let monitor = socket.monitor();
        // The crate goes on dialling a refused port; the machines decide that here.
        match timeout(DIAL_TIMEOUT, socket.connect(&self.endpoint)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("timed out".to_owned()),
        }
        let lost = monitor.filter_map(|event| {
            future::ready(matches!(event, SocketEvent::Disconnected(_)).then_some(()))
        });
        Ok((socket, lost))
    }

    /// Tells the owner; false if it is gone.
    async fn tell(&self, event: LinkEvent) -> bool {
        self.events.send(event).await.is_ok()
    }

    async fn tell_opened(&self) -> bool {
        self.tell(LinkEvent::Opened {
            key: self.key,
            has_ping: false,
        })
        .await
    }

    /// Tells the owner why it ended, if it is there to be told.
    async fn tell_closed(self, reason: String) {
        let key = self.key;
        self.tell(LinkEvent::Closed { key, reason }).await;
    }
}

/// The first message and what is there beside it, as far as one event goes; and why there will be no
/// more, if so.
fn gather(first: ZmqMessage, receiver: &mut impl SocketRecv) -> (Vec<Message>, Option<String>) {
    let mut messages = vec![from_zeromq(&first)];
    while messages.len() < TURN_MESSAGES
        && let Some(next) = receiver.recv().now_or_never()
    {
        match next {
            Ok(message) => messages.push(from_zeromq(&message)),
            Err(error) => return (messages, Some(error.to_string())),
        }
    }
    (messages, None)
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

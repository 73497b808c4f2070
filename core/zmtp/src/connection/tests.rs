//! Connections over a pair of Unix sockets, in virtual time.

mod closing;
mod flow;
mod hostile;

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::mpsc,
    time::timeout,
};

use super::*;
use crate::{Batch, Message, Peer, Side, SocketType};

const GREETING: &[u8; 64] = b"\xFF\0\0\0\0\0\0\0\0\x7F\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const READY_DEALER: &[u8] = b"\x04\x1C\x05READY\x0BSocket-Type\0\0\0\x06DEALER";
const READY_ROUTER: &[u8] = b"\x04\x1C\x05READY\x0BSocket-Type\0\0\0\x06ROUTER";
const PING: &[u8] = b"\x04\x07\x04PING\0\0";
const PONG: &[u8] = b"\x04\x05\x04PONG";
const KEY: u32 = 7;

/// A ROUTER's connection that runs, and the raw socket of its peer.
struct Scene {
    peer: UnixStream,
    outbox: Option<Outbox>,
    notices: mpsc::Receiver<Notice<u32>>,
}

impl Scene {
    fn new(notices: usize) -> Self {
        let (near, peer) = UnixStream::pair().unwrap();
        let config = SessionConfig::new(Side::Binding, SocketType::Router);
        let (connection, outbox) = Connection::new(near.into(), Arc::new(config));
        let (sender, notices) = mpsc::channel(notices);
        tokio::spawn(connection.run(KEY, sender));
        Self {
            peer,
            outbox: Some(outbox),
            notices,
        }
    }

    /// A connection whose handshake is done.
    async fn open(notices: usize) -> Self {
        let mut scene = Self::new(notices);
        scene.shake_hands().await;
        let Notice::Opened { key: KEY, peer } = scene.notice().await else {
            panic!("the first notice is that it is open");
        };
        assert_eq!(peer.socket_type, SocketType::Dealer);
        scene
    }

    async fn shake_hands(&mut self) {
        self.write(GREETING).await;
        self.write(READY_DEALER).await;
        assert_eq!(self.read(64).await, GREETING);
        assert_eq!(self.read(READY_ROUTER.len()).await, READY_ROUTER);
    }

    fn outbox(&self) -> &Outbox {
        self.outbox.as_ref().unwrap()
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.peer.write_all(bytes).await.unwrap();
    }

    async fn read(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.peer.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.peer.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    async fn notice(&mut self) -> Notice<u32> {
        let notice = timeout(Duration::from_secs(3600), self.notices.recv()).await;
        notice.expect("a notice in time").expect("a notice")
    }

    async fn messages(&mut self) -> Vec<Message> {
        let notice = self.notice().await;
        let Notice::Messages { key: KEY, messages } = notice else {
            panic!("not messages: {notice:?}");
        };
        messages
    }

    /// Waits for the end, which nothing comes after.
    async fn closed(&mut self) -> CloseReason {
        let Notice::Closed { key: KEY, reason } = self.notice().await else {
            panic!("the next notice is the end");
        };
        assert_eq!(self.notices.recv().await, None);
        reason
    }

    fn send(&self, frames: &[&[u8]]) {
        self.outbox().send(batch(&[Message::from_frames(frames)]));
    }
}

fn batch(messages: &[Message]) -> Batch {
    let mut batch = Batch::new();
    for message in messages {
        batch.push_message(message);
    }
    batch
}

fn numbered(n: u32) -> Message {
    Message::from_frames([n.to_be_bytes()])
}

fn encoded(messages: &[Message]) -> Vec<u8> {
    let parts: Vec<&[u8]> = messages
        .iter()
        .map(|message| &message.encoded()[..])
        .collect();
    parts.concat()
}

#[test]
fn a_connection_that_waits_is_small_and_can_move_between_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _context = runtime.enter();
    let (near, _far) = UnixStream::pair().unwrap();
    let config = SessionConfig::new(Side::Binding, SocketType::Router);
    let (connection, _outbox) = Connection::new(near.into(), Arc::new(config));
    let (sender, _notices) = mpsc::channel::<Notice<u64>>(1);

    let running = is_send(connection.run(1, sender));

    let bytes = size_of_val(&running);
    assert!(bytes < 3 * 1024, "{bytes} bytes");
}

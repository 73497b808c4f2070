//! A peer of the broker on libzmq.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::peers::Listeners;
use crate::{Frames, PATIENCE, frames};

/// A libzmq socket that is connected to a broker, and does not connect again once that has ended.
pub struct Peer {
    socket: zmq::Socket,
    /// Tells that the connection has ended.
    events: Option<zmq::Socket>,
    listeners: Listeners,
}

impl Peer {
    pub(crate) fn connect(
        context: &zmq::Context,
        listeners: &Listeners,
        kind: zmq::SocketType,
        endpoint: &str,
        configure: impl FnOnce(&zmq::Socket),
    ) -> Self {
        static MONITORS: AtomicU64 = AtomicU64::new(0);
        let monitor = MONITORS.fetch_add(1, Ordering::Relaxed);
        let monitor = format!("inproc://monitor-{monitor}");
        let patience = PATIENCE.as_millis() as i32;
        let open = || -> zmq::Result<Self> {
            let socket = context.socket(kind)?;
            socket.set_linger(0)?;
            socket.set_rcvtimeo(patience)?;
            socket.set_sndtimeo(patience)?;
            // An hour. Where it is never to connect again, libzmq throws away what it has received.
            socket.set_reconnect_ivl(3_600_000)?;
            configure(&socket);
            socket.monitor(&monitor, zmq::SocketEvent::DISCONNECTED as i32)?;
            let events = context.socket(zmq::PAIR)?;
            events.set_linger(0)?;
            events.connect(&monitor)?;
            socket.connect(endpoint)?;
            Ok(Self {
                socket,
                events: Some(events),
                listeners: listeners.clone(),
            })
        };
        open().expect("libzmq connects")
    }

    #[track_caller]
    pub fn send(&self, message: Frames) {
        let sent = self.socket.send_multipart(message.0, 0);
        sent.expect("libzmq takes a message");
    }

    /// Waits for a message.
    #[track_caller]
    pub fn recv(&self) -> Frames {
        let received = self.socket.recv_multipart(0);
        Frames(received.expect("a message comes"))
    }

    /// Waits for exactly this message.
    #[track_caller]
    pub fn expect(&self, message: Frames) {
        assert_eq!(self.recv(), message);
    }

    /// Waits for this message, in which [`T`](crate::T) stands for a token, and returns the token.
    #[track_caller]
    pub fn expect_token(&self, message: Frames) -> Vec<u8> {
        self.recv().token_of(&message)
    }

    /// Shows that the broker has told this client nothing else, by an answer that comes next.
    #[track_caller]
    pub fn expect_nothing(&self) {
        self.send(frames!["MDPC02", 1, "mmi.heartbeat", "marker"]);
        self.expect(frames!["MDPC02", 3, "mmi.heartbeat", "200", "{}"]);
    }

    /// Shows that the broker has told this MDP/0.3 client nothing else, by an answer that comes
    /// next.
    #[track_caller]
    pub fn expect_nothing03(&self) {
        let marker = crate::numbered(u64::MAX);
        self.send(frames!["MDPC03", 1, "mmi.heartbeat", &marker, "marker"]);
        self.expect(frames!["MDPC03", 3, "mmi.heartbeat", &marker, "200", "{}"]);
    }

    /// Says whether a message is there, or comes within this time.
    pub fn hears_within(&self, time: Duration) -> bool {
        let ready = self.socket.poll(zmq::POLLIN, time.as_millis() as i64);
        ready.expect("libzmq waits") > 0
    }

    /// Waits until the broker ends the connection, and compares all that came until then.
    #[track_caller]
    pub fn expect_end(&self, messages: &[Frames]) {
        assert_eq!(self.until_end(), messages);
    }

    /// Waits until the broker ends the connection, and returns all that came until then.
    #[track_caller]
    pub fn until_end(&self) -> Vec<Frames> {
        let mut messages = Vec::new();
        let events = self.events.as_ref().expect("there until the drop");
        loop {
            let mut items = [
                self.socket.as_poll_item(zmq::POLLIN),
                events.as_poll_item(zmq::POLLIN),
            ];
            let ready = zmq::poll(&mut items, PATIENCE.as_millis() as i64);
            assert_ne!(ready, Ok(0), "the connection ends; so far {messages:?}");
            let ended = items[1].is_readable();
            // A libzmq socket hands over what it has received before it lost its connection.
            while let Ok(message) = self.socket.recv_multipart(zmq::DONTWAIT) {
                messages.push(Frames(message));
            }
            if ended {
                return messages;
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let listeners = self.listeners.lock();
        let mut listeners = listeners.unwrap_or_else(PoisonError::into_inner);
        listeners.extend(self.events.take());
    }
}

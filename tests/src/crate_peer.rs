//! A peer of the broker on the `zeromq` crate, which greets as ZMTP 3.0.

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::timeout;
use zeromq::{DealerSocket, Socket as _, SocketRecv as _, SocketSend as _, ZmqMessage};

use crate::{Frames, PATIENCE};

/// A DEALER of the `zeromq` crate that is connected to a broker.
pub struct CratePeer {
    socket: DealerSocket,
    runtime: Handle,
}

impl CratePeer {
    /// Connects to whoever listens there.
    pub fn connect(runtime: &Handle, endpoint: &str) -> Self {
        let mut socket = DealerSocket::new();
        let connected =
            runtime.block_on(async { timeout(PATIENCE, socket.connect(endpoint)).await });
        connected
            .expect("connects in time")
            .expect("the zeromq crate connects");
        Self {
            socket,
            runtime: runtime.clone(),
        }
    }

    #[track_caller]
    pub fn send(&mut self, message: Frames) {
        let mut frames = message.0.into_iter().map(Bytes::from);
        let mut outgoing = ZmqMessage::from(frames.next().expect("a message has a frame"));
        frames.for_each(|frame| outgoing.push_back(frame));
        let sent = self
            .runtime
            .block_on(async { timeout(PATIENCE, self.socket.send(outgoing)).await });
        sent.expect("sends in time")
            .expect("the zeromq crate sends");
    }

    /// Waits for a message.
    #[track_caller]
    pub fn recv(&mut self) -> Frames {
        let received = self
            .runtime
            .block_on(async { timeout(PATIENCE, self.socket.recv()).await });
        let message = received
            .expect("a message comes")
            .expect("the zeromq crate receives");
        Frames(message.iter().map(|frame| frame.to_vec()).collect())
    }

    /// Waits for exactly this message.
    #[track_caller]
    pub fn expect(&mut self, message: Frames) {
        assert_eq!(self.recv(), message);
    }

    /// Waits for this message, in which [`T`](crate::T) stands for a token, and returns the token.
    #[track_caller]
    pub fn expect_token(&mut self, message: Frames) -> Vec<u8> {
        self.recv().token_of(&message)
    }
}

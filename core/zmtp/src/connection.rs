//! One connection: a socket, its session and its outbox, driven by one future.

mod alarm;
mod driver;
mod notice;
mod outbox;
mod turn;
mod write_queue;

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use self::{
    driver::Driver,
    outbox::{Backlog, Order},
};
pub use self::{
    notice::{CloseReason, Notice},
    outbox::Outbox,
};
use crate::{SessionConfig, Stream};

/// A backlog over this is followed by [`Notice::Drained`] when it has fallen: 1 MiB.
pub const BACKLOG_HIGH_BYTES: usize = 1024 * 1024;
/// The backlog under which [`Notice::Drained`] is sent: 512 KiB.
pub const BACKLOG_LOW_BYTES: usize = 512 * 1024;
/// The time in which some of an outbox that is not empty must be written: 5 s.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The most messages that a connection takes in before it lets others run.
pub const TURN_MESSAGES: usize = 256;
/// The same for messages that are handed over as runs, which cost a fraction: 4,096.
pub const TURN_RUN_MESSAGES: usize = 4096;
/// The bytes of messages after which a connection lets others run: 1 MiB.
pub const TURN_BYTES: usize = 1024 * 1024;

/// A connection that is to be run, in a task of its own or within another future.
///
/// It reads as long as its notices are taken and reading is not paused, and writes whatever
/// happens. While it is idle it holds no buffer.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    config: Arc<SessionConfig>,
    orders: mpsc::UnboundedReceiver<Order>,
    backlog: Backlog,
}

impl Connection {
    /// A connection and its owner's half.
    pub fn new(stream: Stream, config: Arc<SessionConfig>) -> (Self, Outbox) {
        let (outbox, orders, backlog) = Outbox::new();
        let connection = Self {
            stream,
            config,
            orders,
            backlog,
        };
        (connection, outbox)
    }

    /// Carries the connection until it ends, telling `notices` under the owner's key. When the
    /// channel is full nothing more is read until it has room; writing, deadlines and closing go
    /// on. The last notice is always [`Notice::Closed`].
    ///
    /// Dropping the future closes the socket without a notice.
    pub async fn run<K>(self, key: K, notices: mpsc::Sender<Notice<K>>)
    where
        K: Copy + Send + 'static,
    {
        let mut driver = Driver::new(self, key, notices.clone());
        let reason = poll_fn(|cx| driver.poll_turn(cx)).await;
        // The socket is closed before anything is waited for.
        for notice in driver.into_undelivered() {
            if notices.send(notice).await.is_err() {
                return;
            }
        }
        // An owner that is gone needs no notice.
        let _ = notices.send(Notice::Closed { key, reason }).await;
    }
}

#[cfg(test)]
mod tests;

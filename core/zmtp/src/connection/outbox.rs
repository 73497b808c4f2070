//! The owner's half of a connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;

use super::{BACKLOG_HIGH_BYTES, BACKLOG_LOW_BYTES};
use crate::{Batch, Subscription};

/// What the owner wants of the connection.
#[derive(Debug)]
pub(super) enum Order {
    Send(Batch),
    Subscriptions(Vec<Subscription>),
    Mark(u64),
    PauseReading,
    ResumeReading,
    Close { linger: Duration },
}

/// The owner's half of a connection. No method waits, and none fails: what is asked of a
/// connection that has ended is ignored, and its end is told by
/// [`Notice::Closed`](crate::Notice::Closed).
///
/// Dropping it without [`close`](Self::close) ends the connection at once and loses what is not
/// written.
#[derive(Debug)]
pub struct Outbox {
    orders: mpsc::UnboundedSender<Order>,
    backlog: Backlog,
}

impl Outbox {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Order>, Backlog) {
        let (orders, receiver) = mpsc::unbounded_channel();
        let backlog = Backlog::default();
        let outbox = Self {
            orders,
            backlog: backlog.clone(),
        };
        (outbox, receiver, backlog)
    }

    /// Queues messages; before the handshake is done they wait for it. They are dropped if the
    /// connection has ended or was closed by [`close`](Self::close).
    pub fn send(&self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let bytes = batch.len_bytes();
        self.backlog.add(bytes);
        if self.orders.send(Order::Send(batch)).is_err() {
            self.backlog.subtract(bytes);
        }
    }

    /// Changes this side's subscriptions at the peer, in the order of what is sent: as commands, or
    /// as messages where the peer is of ZMTP 3.0.
    pub fn change_subscriptions(&self, changes: Vec<Subscription>) {
        self.order(Order::Subscriptions(changes));
    }

    /// Asks for [`Notice::Marked`](crate::Notice::Marked) when the peer has read everything that was
    /// sent before, which it is asked by a PING; a peer of ZMTP 3.0 cannot be asked, and there it
    /// comes when everything is written to the socket. Marks rise, and one is asked for when the one
    /// before has come.
    pub fn mark(&self, mark: u64) {
        self.order(Order::Mark(mark));
    }

    /// The bytes of memory that wait to be written. It is for the owner to keep this bounded.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog.bytes()
    }

    /// Stops reading. The peer is not found silent meanwhile, and whether it has closed the
    /// connection shows when something is written, or when reading goes on.
    pub fn pause_reading(&self) {
        self.order(Order::PauseReading);
    }

    /// Goes on reading after [`pause_reading`](Self::pause_reading).
    pub fn resume_reading(&self) {
        self.order(Order::ResumeReading);
    }

    /// Closes the connection. What is queued is written, then the peer is told that there is no
    /// more, and its end of the connection is waited for; all within `linger`. What it still sends
    /// is discarded.
    pub fn close(&self, linger: Duration) {
        self.order(Order::Close { linger });
    }

    fn order(&self, order: Order) {
        // A connection that has ended has nothing to obey.
        let _ = self.orders.send(order);
    }
}

/// The bytes that are queued on both sides of the channel between an owner and its connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog(Arc<Level>);

#[derive(Debug, Default)]
struct Level {
    bytes: AtomicUsize,
    /// Whether it was over the high mark, and nobody was told since that it has fallen.
    was_high: AtomicBool,
}

impl Backlog {
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::SeqCst)
    }

    pub(super) fn add(&self, bytes: usize) {
        let before = self.0.bytes.fetch_add(bytes, Ordering::SeqCst);
        if before + bytes > BACKLOG_HIGH_BYTES {
            self.0.was_high.store(true, Ordering::SeqCst);
        }
    }

    pub(super) fn subtract(&self, bytes: usize) {
        self.0.bytes.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Whether it has fallen under the low mark since it was last over the high one; true once for
    /// each time. Whoever saw it high can rely on this coming.
    pub(super) fn take_fall(&self) -> bool {
        if !self.0.was_high.load(Ordering::SeqCst) || self.bytes() >= BACKLOG_LOW_BYTES {
            return false;
        }
        self.0.was_high.store(false, Ordering::SeqCst);
        // The owner may have filled it before the mark was taken down.
        if self.bytes() >= BACKLOG_LOW_BYTES {
            self.0.was_high.store(true, Ordering::SeqCst);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_is_seen_once_however_short_the_rise_was() {
        let backlog = Backlog::default();
        backlog.add(BACKLOG_HIGH_BYTES);
        backlog.subtract(BACKLOG_HIGH_BYTES);
        assert!(!backlog.take_fall(), "it was never over the mark");

        backlog.add(BACKLOG_HIGH_BYTES + 1);
        assert!(!backlog.take_fall());
        backlog.subtract(BACKLOG_HIGH_BYTES + 1);
        assert!(backlog.take_fall());
        assert!(!backlog.take_fall());
    }
}

//! What the router keeps of one connection.

use plantd_zmtp::{Batch, Outbox, RemoteAddress};

/// A connection as the router sees it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) remote: RemoteAddress,
    /// The remote address and what the peer calls itself, for logs and `mmi.workers`.
    pub(crate) name: String,
    outbox: Outbox,
    /// What this turn owes the peer.
    batch: Batch,
    /// Whether the handshake is done, so that the state machine knows the peer.
    pub(crate) opened: bool,
    /// Whether its outbox may not be empty, so that the router looks at it each turn.
    pub(crate) is_unsettled: bool,
}

impl Link {
    pub(crate) fn new(remote: RemoteAddress, outbox: Outbox) -> Self {
        Self {
            remote,
            name: remote.to_string(),
            outbox,
            batch: Batch::new(),
            opened: false,
            is_unsettled: false,
        }
    }

    /// The messages of this turn; whether there were none before.
    pub(crate) fn batch(&mut self) -> (&mut Batch, bool) {
        let first = self.batch.is_empty();
        (&mut self.batch, first)
    }

    /// Hands the messages of this turn to the connection.
    pub(crate) fn flush(&mut self) {
        self.outbox.send(std::mem::take(&mut self.batch));
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }
}

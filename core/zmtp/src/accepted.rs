//! The connections that one loop has accepted: who may connect, what each is owed, and how much of it
//! waits to be written.
//!
//! The loop takes arrivals and notices, and decides; here is what every such loop does with its
//! connections in the same way. What messages mean is not here.

mod admission;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use bytes::BytesMut;
use slotmap::{Key, SlotMap};
use tokio::sync::mpsc;

pub use self::admission::{Admission, Refused};
use crate::{
    Batch, Connection, Message, Notice, Outbox, Peer, RemoteAddress, SessionConfig, Stream,
};

/// How long what is queued for a peer may take to be written once its connection is to end.
const LINGER: Duration = Duration::from_secs(2);

/// The connections of one loop. `K` names them, for as long as they last; `T` is what the loop keeps
/// with each.
pub struct Accepted<K: Key, T = ()> {
    /// None where a key was reserved.
    links: SlotMap<K, Option<Link<T>>>,
    admission: Admission,
    notices: mpsc::Sender<Notice<K>>,
    /// Who was pushed something since the last [`Accepted::flush`].
    owed: Vec<K>,
    /// Whose outboxes may not be empty.
    unsettled: Vec<K>,
    refuses: bool,
}

/// A connection that is not let in. It is closed when this is dropped, so that it can be counted
/// before anybody sees that.
#[derive(Debug)]
pub struct TurnedAway {
    /// Why.
    pub reason: Refused,
    /// Where it came from.
    pub remote: RemoteAddress,
    _stream: Stream,
}

/// One connection, as the loop sees it.
#[derive(Debug)]
pub struct Link<T> {
    /// Where it came from.
    pub remote: RemoteAddress,
    /// The remote address and, once it is open, what the peer calls itself, escaped.
    pub name: String,
    /// What the loop keeps with it.
    pub kept: T,
    outbox: Outbox,
    batch: Batch,
    is_open: bool,
    is_unsettled: bool,
}

impl<T> Link<T> {
    /// Whether the handshake is done.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The way to pause reading, and to change subscriptions.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// What was pushed and not flushed, and what waits to be written.
    pub fn backlog_bytes(&self) -> usize {
        self.batch.len_bytes() + self.outbox.backlog_bytes()
    }

    fn flush(&mut self) {
        self.outbox.send(self.batch.take());
    }

    fn end(&mut self) {
        self.flush();
        self.outbox.close(LINGER);
    }
}

impl<K: Key + Send + 'static, T> Accepted<K, T> {
    /// No connections. Those that come are limited by `admission` and tell `notices`.
    pub fn new(admission: Admission, notices: mpsc::Sender<Notice<K>>) -> Self {
        Self {
            links: SlotMap::with_key(),
            admission,
            notices,
            owed: Vec::new(),
            unsettled: Vec::new(),
            refuses: false,
        }
    }

    /// Runs a connection that was accepted, in a task of its own, or turns it away.
    ///
    /// # Errors
    /// Why it was turned away.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn admit(
        &mut self,
        (stream, remote): (Stream, RemoteAddress),
        session: Arc<SessionConfig>,
        kept: T,
    ) -> Result<K, TurnedAway> {
        let admitted = match self.refuses {
            false => self.admission.admit(remote),
            true => Err(Refused::Draining),
        };
        if let Err(reason) = admitted {
            return Err(TurnedAway {
                reason,
                remote,
                _stream: stream,
            });
        }
        let (connection, outbox) = Connection::new(stream, session);
        let key = self.links.insert(Some(Link {
            remote,
            name: remote.to_string(),
            kept,
            outbox,
            batch: Batch::new(),
            is_open: false,
            is_unsettled: false,
        }));
        tokio::spawn(connection.run(key, self.notices.clone()));
        Ok(key)
    }

    /// Refuses every connection that comes from here on.
    pub fn refuse_more(&mut self) {
        self.refuses = true;
    }

    /// Takes [`Notice::Opened`].
    pub fn open(&mut self, key: K, peer: &Peer) -> Option<&mut Link<T>> {
        let link = self.get_mut(key)?;
        link.is_open = true;
        if !peer.identity.is_empty() {
            link.name = format!("{} ({})", link.remote, peer.identity);
        }
        Some(link)
    }

    /// Takes [`Notice::Closed`], and returns what was kept.
    pub fn close(&mut self, key: K) -> Option<Link<T>> {
        let link = self.links.remove(key)??;
        self.admission.release(link.remote);
        Some(link)
    }

    /// Gives a key to whoever is a peer without a connection; no connection gets it until
    /// [`Accepted::give_back`].
    pub fn reserve(&mut self) -> K {
        self.links.insert(None)
    }

    /// Takes a key back that was reserved.
    pub fn give_back(&mut self, key: K) {
        if let Some(None) = self.links.get(key) {
            self.links.remove(key);
        }
    }

    /// The connection of this key.
    pub fn get(&self, key: K) -> Option<&Link<T>> {
        self.links.get(key)?.as_ref()
    }

    /// The connection of this key.
    pub fn get_mut(&mut self, key: K) -> Option<&mut Link<T>> {
        self.links.get_mut(key)?.as_mut()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.links.values().all(Option::is_none)
    }

    /// Adds a message to what a peer is owed, as [`Batch::push`] does.
    pub fn push<'a>(&mut self, key: K, encode: impl FnOnce(&mut BytesMut) -> Option<&'a Message>) {
        let Some(Some(link)) = self.links.get_mut(key) else {
            return;
        };
        if link.batch.is_empty() {
            self.owed.push(key);
        }
        link.batch.push(encode);
    }

    /// Hands every peer what it is owed.
    pub fn flush(&mut self) {
        for key in self.owed.drain(..) {
            if let Some(Some(link)) = self.links.get_mut(key) {
                link.flush();
                unsettle(&mut self.unsettled, key, link);
            }
        }
    }

    /// Does something with a peer's outbox that leaves something to write.
    pub fn send(&mut self, key: K, order: impl FnOnce(&Outbox)) {
        if let Some(Some(link)) = self.links.get_mut(key) {
            order(&link.outbox);
            unsettle(&mut self.unsettled, key, link);
        }
    }

    /// Says how much waits for each peer that was sent something, until it has heard of nothing.
    pub fn settle(&mut self, mut hear: impl FnMut(K, &mut Link<T>, usize)) {
        self.unsettled.retain(|key| {
            let Some(Some(link)) = self.links.get_mut(*key) else {
                return false;
            };
            let backlog_bytes = link.outbox.backlog_bytes();
            link.is_unsettled = backlog_bytes > 0;
            let is_unsettled = link.is_unsettled;
            hear(*key, link, backlog_bytes);
            is_unsettled
        });
    }

    /// Lets a connection write what it was given, and end.
    pub fn end(&mut self, key: K) {
        if let Some(link) = self.get_mut(key) {
            link.end();
        }
    }

    /// Lets every connection write what it was given, and end.
    pub fn end_all(&mut self) {
        self.refuses = true;
        for link in self.links.values_mut().flatten() {
            link.end();
        }
    }
}

fn unsettle<K, T>(unsettled: &mut Vec<K>, key: K, link: &mut Link<T>) {
    if !std::mem::replace(&mut link.is_unsettled, true) {
        unsettled.push(key);
    }
}

impl<K: Key, T> fmt::Debug for Accepted<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("connections", &self.links.len())
            .field("refuses", &self.refuses)
            .finish_non_exhaustive()
    }
}

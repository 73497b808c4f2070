//! The clients' connections: how they begin and end, and what is refused.

use std::time::Instant;

use plantd_mdp::broker::{CloseReason as Expulsion, Origin, PeerId};
use plantd_zmtp::{Arrival, CloseReason, Notice, Peer, SocketType};
use tracing::{debug, warn};

use super::{Listening, Work};
use crate::worker::listener::IGNORED_COMMAND;

impl Listening {
    pub(super) fn admit(&mut self, arrival: Arrival) {
        let accepted = match arrival.accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                let error = error.to_string();
                self.show_error(Some(error));
                return;
            }
        };
        self.show_error(None);
        if let Err(turned) = self.clients.admit(accepted, self.session.clone(), ()) {
            let reason = turned.reason.as_str();
            debug!(peer = %turned.remote, reason, "refused");
            self.reject(reason, 1);
        }
    }

    pub(super) fn take_notice(&mut self, notice: Notice<PeerId>, now: Instant) {
        match notice {
            Notice::Opened { key, peer } => self.open(key, &peer, now),
            Notice::Messages { key, messages } => {
                for message in messages {
                    self.broker.handle_message(key, message, now);
                    // At once, while what it wrote is in the processor's cache.
                    self.carry_out(now);
                }
            }
            Notice::Drained { .. } => self.work.push_back(Work::RoomSomewhere),
            Notice::Ignored { commands, .. } => self.reject(IGNORED_COMMAND, commands.into()),
            // What this side's socket and handover do not bring about.
            Notice::Subscriptions { .. } | Notice::Runs { .. } | Notice::Marked { .. } => {}
            Notice::Closed { key, reason } => self.close(key, &reason, now),
        }
    }

    fn open(&mut self, key: PeerId, peer: &Peer, now: Instant) {
        let Some(link) = self.clients.open(key, peer) else {
            return;
        };
        debug!(peer = link.name, version = ?peer.version, socket_type = %peer.socket_type, "connected");
        let origin = Origin {
            address: link.name.clone(),
            joins_partials: peer.socket_type == SocketType::Req,
            may_serve: false,
        };
        self.broker.handle_opened(key, origin, now);
    }

    fn close(&mut self, key: PeerId, reason: &CloseReason, now: Instant) {
        let Some(link) = self.clients.close(key) else {
            return;
        };
        if link.is_open() {
            self.broker.handle_closed(key, now);
            // A part that waited for the outbox of this client waits for nothing any more.
            self.work.push_back(Work::RoomSomewhere);
        }
        debug!(peer = link.name, %reason, "disconnected");
        let label = reason.reason();
        self.status.send_if_modified(|status| {
            *status.closed.entry(label).or_default() += 1;
            false
        });
        match reason {
            CloseReason::Violation(_) | CloseReason::Stalled => self.reject(label, 1),
            CloseReason::PeerClosed
            | CloseReason::Io(_)
            | CloseReason::Requested
            | CloseReason::LingerExpired
            | CloseReason::Abandoned => {}
        }
    }

    pub(super) fn end(&mut self, peer: PeerId, reason: Expulsion) {
        self.clients.end(peer);
        match reason {
            Expulsion::Dismissed | Expulsion::DuplicateId => {}
            Expulsion::OutboxFull => self.reject(reason.as_str(), 1),
        }
    }

    fn reject(&self, reason: &'static str, times: u64) {
        self.status.send_if_modified(|status| {
            *status.rejected.entry(reason).or_default() += times;
            false
        });
    }

    /// Shows why connections cannot be accepted, or that they can.
    fn show_error(&self, error: Option<String>) {
        self.status.send_if_modified(|status| {
            if status.last_error == error {
                return false;
            }
            if let (None, Some(error)) = (&status.last_error, &error) {
                warn!("{error}");
            }
            status.last_error = error;
            true
        });
    }
}

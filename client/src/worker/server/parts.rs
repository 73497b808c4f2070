//! Parts of answers: sent, or kept until they can be.

use std::time::Instant;

use plantd_mdp::{ErrorCode, worker as machine};
use tokio::sync::oneshot;

use super::Server;
use crate::{
    Reply,
    worker::{
        held::{HeldKey, Origin},
        registration::RegistrationId,
    },
};

impl Server {
    /// Sends a part, or keeps it until the client takes more and the connection has room.
    pub(super) fn take_part(
        &mut self,
        key: HeldKey,
        part: Reply,
        sent: oneshot::Sender<()>,
        now: Instant,
    ) {
        // Without one its request has ended.
        let Some(origin) = self.held.origin(key) else {
            return;
        };
        let has_room = self.has_room(origin);
        let Some(machine) = self.machine_of(origin.registration) else {
            return;
        };
        if let Err(message) = part.body.check_size() {
            let code = ErrorCode::TooLarge.as_str();
            machine.send_error(origin.token, code, &message, false, now);
            return;
        }
        if sent.is_closed() {
            // The handler gave it up.
            return;
        }
        if !has_room {
            self.held.keep_part(key, part, sent);
            self.held_back.push(key);
            return;
        }
        let Reply { body, properties } = part;
        match machine.send_partial(origin.token, properties.clone(), body.into(), now) {
            machine::PartSent::Sent => {
                // A handler that is gone needs no answer.
                let _ = sent.send(());
                self.held.begin_stream(key);
            }
            machine::PartSent::Later(body) => {
                let body = body.into();
                self.held.keep_part(key, Reply { body, properties }, sent);
            }
            machine::PartSent::Gone => {}
        }
    }

    /// Whether little waits to be written on the part's way.
    fn has_room(&self, origin: Origin) -> bool {
        if origin.registration == RegistrationId::OWN {
            let listening = self.listening.as_ref();
            return listening.is_none_or(|listening| listening.has_room(origin.token));
        }
        let registration = self.registrations.get(&origin.registration);
        let connection = registration.and_then(|it| it.connection);
        connection.is_none_or(|it| self.links.has_room(it))
    }

    /// Tries again what found no room, once everything before it is handed over: nobody tells of room
    /// where little waits. Whether something was tried.
    pub(super) fn retry_held_back(&mut self, now: Instant) -> bool {
        let mut has_tried = false;
        for key in std::mem::take(&mut self.held_back) {
            let origin = self.held.origin(key);
            if origin.is_none_or(|origin| self.has_room(origin))
                && let Some((part, sent)) = self.held.take_part(key)
            {
                has_tried = true;
                self.take_part(key, part, sent, now);
            }
        }
        has_tried
    }

    pub(super) fn retry_parts(&mut self, registration: RegistrationId, now: Instant) {
        for key in self.held.with_parts(registration) {
            if let Some((part, sent)) = self.held.take_part(key) {
                self.take_part(key, part, sent, now);
            }
        }
    }
}

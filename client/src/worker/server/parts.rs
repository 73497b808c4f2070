//! Parts of answers: sent, or kept until they can be.

use std::time::Instant;

use plantd_mdp::{ErrorCode, worker as machine};
use tokio::sync::oneshot;

use super::Server;
use crate::{
    Reply,
    worker::{held::HeldKey, registration::RegistrationId},
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
        let Some(registration) = self.registrations.get_mut(&key.registration) else {
            return;
        };
        if let Err(message) = part.body.check_size() {
            let code = ErrorCode::TooLarge.as_str();
            registration
                .machine
                .send_error(key.token, code, &message, false, now);
            return;
        }
        if sent.is_closed() {
            // The handler gave it up.
            return;
        }
        let has_room = registration
            .connection
            .is_none_or(|it| self.links.has_room(it));
        if !has_room {
            self.held.keep_part(key, part, sent);
            return;
        }
        let Reply { body, properties } = part;
        match registration
            .machine
            .send_partial(key.token, properties.clone(), body.into(), now)
        {
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

    pub(super) fn retry_parts(&mut self, registration: RegistrationId, now: Instant) {
        for key in self.held.with_parts(registration) {
            if let Some((part, sent)) = self.held.take_part(key) {
                self.take_part(key, part, sent, now);
            }
        }
    }
}

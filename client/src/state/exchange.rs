//! One operation, from its fields to its data.

use std::time::Duration;

use plantd_mdp::{Backoff, ReconnectDelays};
use serde::de::DeserializeOwned;
use tokio::time::{Instant as Clock, sleep, sleep_until};

use super::{
    State,
    attempts::{Attempts, Verdict},
    error::{Detail, Failed, Refusal, StateError},
    wire::{Fields, Reply},
};
use crate::{Body, RequestError, jitter_seed};

/// The delays before another attempt.
pub(super) const DELAYS: ReconnectDelays = ReconnectDelays {
    first: Duration::from_millis(50),
    longest: Duration::from_secs(2),
};
/// The property of a write that may have been done: how long ago it was first asked for, in milliseconds.
const ASKED_BEFORE: &str = "asked-before-ms";
/// A deadline is told in milliseconds, and 0 is none.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);

impl State {
    /// Asks for what changes nothing.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        operation: &str,
        fields: &Fields<'_>,
    ) -> Result<T, Failed> {
        let body = fields.body(operation);
        let reply = self.until_done(fields, body, Attempts::of_read());
        data(&reply.await?).map_err(Failed::invalid)
    }

    /// Asks for a change, under an id of its own.
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        operation: &str,
        mut fields: Fields<'_>,
    ) -> Result<T, Failed> {
        fields.id = Some(self.next_write_id());
        let body = fields.body(operation);
        #[cfg(feature = "cache")]
        let _writing = self.cached().map(|cached| super::cache::Writing {
            cached,
            fields: &fields,
        });
        let reply = self.until_done(&fields, body, Attempts::of_write());
        data(&reply.await?).map_err(Failed::Unknown)
    }

    /// Tries until it is done, is refused for good, or the time is over.
    async fn until_done(
        &self,
        fields: &Fields<'_>,
        body: Body,
        mut attempts: Attempts,
    ) -> Result<Body, Failed> {
        let began = Clock::now();
        let over = sleep(self.shared.timeout).deadline();
        let mut backoff = Backoff::new(DELAYS, jitter_seed());
        let mut way = self.way(fields);
        loop {
            // The one clock of this loop: the runtime's, so that tests can let time pass.
            let now = Clock::now();
            let left = over.duration_since(now);
            let mut request = self.shared.client.request(&way.service, body.clone());
            if attempts.may_be_done() {
                let before = now.duration_since(began).as_millis();
                request = request.property(ASKED_BEFORE, before.to_string());
            }
            let error = match request.timeout(left.max(SHORTEST_TIMEOUT)).await {
                Ok(reply) => {
                    self.take_properties(&reply.properties);
                    match refusal(&reply.body) {
                        Ok(None) => return Ok(reply.body),
                        Ok(Some(refusal)) => StateError::Refused(refusal),
                        Err(unreadable) => StateError::Request(unreadable),
                    }
                }
                Err(error) => StateError::Request(error.beyond_router()),
            };
            self.take_failure(&way, &error);
            let failed = match attempts.take(error) {
                Verdict::Again(failed) => failed,
                Verdict::Ended(failed) => return Err(failed),
            };
            let next = sleep(backoff.next_delay()).deadline();
            if next >= over {
                return Err(failed);
            }
            sleep_until(next).await;
            // Only the store that may have done a write knows its id.
            if !attempts.may_be_done() {
                way = self.way(fields);
            }
        }
    }
}

/// Reads whether a reply, or a part of one, is a refusal.
pub(super) fn refusal(body: &Body) -> Result<Option<Refusal>, RequestError> {
    let reply = Reply::parse(body).map_err(RequestError::InvalidReply)?;
    if reply.success {
        return Ok(None);
    }
    Ok(Some(Refusal {
        // What helps to go on may be missing, or of another daemon's making.
        detail: reply.data::<Detail>().unwrap_or_default(),
        code: reply.code,
        message: reply.error,
    }))
}

/// Reads what an operation tells.
pub(super) fn data<T: DeserializeOwned>(body: &Body) -> Result<T, RequestError> {
    Reply::parse(body)
        .and_then(|reply| reply.data())
        .map_err(RequestError::InvalidReply)
}

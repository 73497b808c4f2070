//! One request to one shard, and what becomes of it on the way.

use plantd_client::{Reply, Request, RequestBuilder, RequestError, WorkerError};

use super::metrics::Forwarding;
use super::{Answer, Router};
use crate::refusal::{Code, Refusal};
use crate::service::ASKED_BEFORE;
use crate::shards::Shard;

/// Properties that go on with a request.
const PASSED_ON: [&str; 3] = ["traceparent", "tracestate", ASKED_BEFORE];
/// Parts of an answer that are read ahead of the client.
const MOST_AHEAD: u32 = 16;

impl Router {
    /// Hands a request on whose answer is whole.
    pub(super) async fn forward(&self, shard: &Shard, request: &Request) -> Answer {
        let counted = self.metrics.forwarding(shard);
        let reply = self.passed_on(&self.requests, shard, request).await;
        take_outcome(shard, reply, counted)
    }

    /// Hands a watch on, within the limit of them.
    pub(super) async fn forward_watch(&self, shard: &Shard, request: &mut Request) -> Answer {
        let Ok(_place) = self.watches.clone().try_acquire_owned() else {
            let error = format!(
                "there are {} watches, as many as limits.watches of the router allows",
                self.most_watches
            );
            return Ok(Err(Refusal::new(Code::Busy, error)));
        };
        let _watching = self.metrics.asked.watching();
        let counted = self.metrics.forwarding(shard);
        let window = request.property("window").and_then(|it| it.parse().ok());
        let window = window.unwrap_or(MOST_AHEAD).min(MOST_AHEAD);
        let asked = self.passed_on(&self.streams, shard, request).stream(window);
        let mut parts = match asked.await {
            Ok(parts) => parts,
            Err(error) => return take_outcome(shard, Err(error), counted),
        };
        loop {
            let next = async {
                let part = parts.next().await?;
                match part {
                    Ok(part) if !part.is_final => {
                        let reply = Reply {
                            body: part.body,
                            properties: part.properties,
                        };
                        let sent = request.partials().send(self.marked(reply)).await;
                        Some(sent.map(|()| None).map_err(WorkerError::from))
                    }
                    Ok(last) => Some(Ok(Some(Ok(Reply {
                        body: last.body,
                        properties: last.properties,
                    })))),
                    Err(error) => Some(Ok(Some(Err(error)))),
                }
            };
            let next = tokio::select! {
                next = next => next,
                () = self.stop.requested() => {
                    return Ok(Err(Refusal::new(Code::Draining, "the router stops")));
                }
            };
            match next {
                Some(Ok(None)) => {}
                Some(Ok(Some(outcome))) => return take_outcome(shard, outcome, counted),
                Some(Err(nobody_waits)) => return Err(nobody_waits),
                None => return take_outcome(shard, Err(RequestError::ConnectionLost), counted),
            }
        }
    }

    /// A request as it goes on: the same body, what is left of the time, and as often as it may be done.
    pub(super) fn passed_on(
        &self,
        client: &plantd_client::Client,
        shard: &Shard,
        request: &Request,
    ) -> RequestBuilder {
        let mut asked = client.request(&shard.service, request.body().clone());
        if let Some(left) = request.time_left() {
            asked = asked.timeout(left);
        }
        if request.property("retry") == Some("never") {
            asked = asked.retry_never();
        }
        for name in PASSED_ON {
            if let Some(value) = request.property(name) {
                asked = asked.property(name, value);
            }
        }
        asked
    }
}

fn take_outcome(
    shard: &Shard,
    outcome: Result<Reply, RequestError>,
    counted: Forwarding<'_>,
) -> Answer {
    match outcome {
        Ok(reply) => {
            counted.ended("answered");
            Ok(Ok(reply))
        }
        Err(error) => {
            counted.ended(error.code());
            failed(shard, error)
        }
    }
}

/// What a client is told of a request that was lost on the way: by a refusal where nothing was
/// changed, which every dialect can carry; else by an error with the code of what happened.
pub(super) fn failed(shard: &Shard, error: RequestError) -> Answer {
    let code = match &error {
        RequestError::NotConnected { .. } | RequestError::NoWorker { .. } => Code::Unavailable,
        RequestError::Busy { .. } => Code::Busy,
        RequestError::Draining { .. } => Code::Draining,
        // An own failure of the shard, which it says as it would to any client.
        RequestError::WorkerError { code, message } => {
            return Err(WorkerError::new(code, message));
        }
        RequestError::InvalidService(_)
        | RequestError::InvalidProperty { .. }
        | RequestError::ConnectionLost
        | RequestError::Timeout
        | RequestError::TooLarge { .. }
        | RequestError::Denied { .. }
        | RequestError::Cancelled { .. }
        | RequestError::WorkerLost { .. }
        | RequestError::BadRequest { .. }
        | RequestError::Unsupported { .. }
        | RequestError::Other { .. }
        | RequestError::InvalidReply(_)
        | RequestError::Closed
        | _ => {
            let message = format!("the shard {}: {error}", shard.name);
            return Err(WorkerError::new(error.code(), message));
        }
    };
    let refusal = Refusal::new(code, format!("the shard {}: {error}", shard.name));
    Ok(Err(refusal
        .with("shard", shard.name.as_str())
        .with("service", shard.service.as_str())))
}

//! One request, from its options to its answer.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use plantd_mdp::{Properties, ServiceName, client as machine};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{sleep, timeout_at},
};

use super::{BUDGET_UNIT_BYTES, Client, ReplyStream, Shared, asker::Asker, owner::Command};
use crate::{Body, Reply, RequestError, property::with_property};

/// A request that has not been sent; awaiting it sends it and gives the [`Reply`].
///
/// Dropping the future before it is done cancels the request: a worker that has not finished is told.
#[must_use = "a request is sent when it is awaited"]
#[derive(Debug, Clone)]
pub struct RequestBuilder {
    client: Client,
    service: String,
    body: Body,
    properties: Result<Properties, RequestError>,
    timeout: Option<Duration>,
    retry: machine::Retry,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, service: &str, body: Body) -> Self {
        Self {
            timeout: client.shared.default_timeout,
            service: service.to_owned(),
            client,
            body,
            properties: Ok(Properties::default()),
            retry: machine::Retry::default(),
        }
    }

    /// Limits the time from the await until the answer; the broker is told, and gives up too.
    ///
    /// Waiting for a connection counts. The broker's own error is given a second more to arrive, so
    /// that the await takes at most `timeout` and a second.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Has the request done at most once: after a lost worker or connection it fails.
    pub fn retry_never(mut self) -> Self {
        self.retry = machine::Retry::Never;
        self
    }

    /// Limits how often the request is given to a worker by one broker, and how often it is sent
    /// to a broker; 3 by default. 0 counts as 1.
    pub fn attempts(mut self, most: u32) -> Self {
        self.retry = machine::Retry::AtMost(most.max(1));
        self
    }

    /// Adds a property, such as `content-type` or `traceparent`; one of the same name is replaced.
    ///
    /// Names are of `[a-z0-9.-]`, with a `+` before it if they must be understood. At most 24
    /// properties, and 3,584 bytes of them, can be sent. What cannot shows as
    /// [`RequestError::InvalidProperty`] when the request is awaited.
    pub fn property(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.properties = self.properties.and_then(|properties| {
            with_property(&properties, name, value.as_ref()).map_err(|reason| {
                RequestError::InvalidProperty {
                    name: name.to_owned(),
                    reason,
                }
            })
        });
        self
    }

    /// Sends the request and gives the parts of its answer as they come.
    ///
    /// At most `window` parts (at least 1) are sent ahead of the reader; a worker of the library
    /// waits for it.
    ///
    /// # Errors
    /// What keeps the request from being sent. Later errors come in the stream.
    pub async fn stream(self, window: u32) -> Result<ReplyStream, RequestError> {
        let (sender, parts) = mpsc::unbounded_channel();
        let ticket = self.send(Some(window.max(1)), Asker::Parts(sender)).await?;
        Ok(ReplyStream::new(parts, ticket))
    }

    async fn whole(self) -> Result<Reply, RequestError> {
        let (reply, answer) = oneshot::channel();
        let parts = Vec::new();
        let mut ticket = self.send(None, Asker::Whole { parts, reply }).await?;
        let answer = answer.await;
        ticket.has_ended();
        answer.unwrap_or(Err(RequestError::Closed))
    }

    /// Hands the request to the client's task, as soon as the budget allows.
    async fn send(self, window: Option<u32>, asker: Asker) -> Result<Ticket, RequestError> {
        let shared = self.client.shared;
        let service: ServiceName = self.service.parse()?;
        self.body
            .check_size()
            .map_err(|message| RequestError::TooLarge { message })?;
        let properties = self.properties?;
        let deadline = self
            .timeout
            .map(|timeout| sleep(timeout).deadline().into_std());
        let budget = shared.take_budget(&self.body, deadline).await?;
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let id = machine::RequestId::new(id).expect("fewer than 2^63 requests");
        let request = machine::Request {
            service,
            properties,
            body: self.body.into(),
            deadline,
            retry: self.retry,
            window,
        };
        let command = Command::Request {
            id,
            request,
            asker,
            budget,
        };
        let commands = shared.commands.clone();
        commands.send(command).map_err(|_| RequestError::Closed)?;
        Ok(Ticket {
            id,
            commands,
            is_open: true,
        })
    }
}

impl IntoFuture for RequestBuilder {
    type Output = Result<Reply, RequestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.whole())
    }
}

impl Shared {
    /// Waits until one more request with this body is allowed.
    async fn take_budget(
        &self,
        body: &Body,
        deadline: Option<Instant>,
    ) -> Result<[OwnedSemaphorePermit; 2], RequestError> {
        let units = body.len_encoded().div_ceil(BUDGET_UNIT_BYTES);
        let units = u32::try_from(units)
            .unwrap_or(u32::MAX)
            .min(self.max_body_units);
        let budget = async {
            let request = self.request_budget.clone().acquire_owned().await;
            let body = self.body_budget.clone().acquire_many_owned(units).await;
            match (request, body) {
                (Ok(request), Ok(body)) => Ok([request, body]),
                (Err(_), _) | (_, Err(_)) => Err(RequestError::Closed),
            }
        };
        match deadline {
            None => budget.await,
            Some(deadline) => {
                let budget = timeout_at(deadline.into(), budget).await;
                budget.unwrap_or(Err(RequestError::Timeout))
            }
        }
    }
}

/// Stands for a request that was sent; dropping it before the request has ended cancels it.
#[derive(Debug)]
pub(super) struct Ticket {
    id: machine::RequestId,
    commands: mpsc::UnboundedSender<Command>,
    is_open: bool,
}

impl Ticket {
    pub(super) fn has_ended(&mut self) {
        self.is_open = false;
    }

    /// Tells that the reader took a part of this many bytes.
    pub(super) fn has_read(&self, bytes: usize) {
        let id = self.id;
        // A task that is gone has nothing to be told.
        let _ = self.commands.send(Command::Read { id, bytes });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_open {
            let id = self.id;
            // A task that is gone has nothing to cancel.
            let _ = self.commands.send(Command::Cancel { id });
        }
    }
}

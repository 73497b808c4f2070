//! What a handler is given.

use std::{sync::Arc, time::Duration};

use plantd_mdp::{Header, Properties};
use tokio::sync::oneshot;

use super::{
    answering::{Answering, Form},
    held::HeldKey,
    pledge::{Pledge, Returns},
};
use crate::{Body, Reply};

/// A request to answer.
#[derive(Debug)]
pub struct Request {
    header: Header,
    body: Body,
    partials: Partials,
}

impl Request {
    pub(super) fn new(key: HeldKey, header: Header, body: Body, returns: Arc<Returns>) -> Self {
        Self {
            header,
            body,
            partials: Partials { key, returns },
        }
    }

    /// What is asked.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Takes out what is asked.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// The broker's id of the request: the same for every attempt, for logs and traces.
    pub fn id(&self) -> u64 {
        self.header.id
    }

    /// What is said of the request.
    pub fn properties(&self) -> &Properties {
        &self.header.properties
    }

    /// Returns the value of a property, such as `content-type`.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.header.properties.get(name)
    }

    /// Which attempt at the request this is, from 1.
    pub fn attempt(&self) -> u64 {
        let attempt = self.header.properties.number("attempt");
        attempt.ok().flatten().unwrap_or(1)
    }

    /// How long the client waits, counted from when the broker gave the request away; `None` if it
    /// set no timeout.
    pub fn time_left(&self) -> Option<Duration> {
        let left = self.header.properties.number("deadline-ms").ok()??;
        Some(Duration::from_millis(left))
    }

    /// The same request for keeping. The body that a handler in place is given lies in the buffer that was read
    /// into, with those of others, until it is copied out by this.
    #[must_use]
    pub fn into_held(self) -> Self {
        Self {
            body: self.body.into_held(),
            ..self
        }
    }

    /// Promises that whoever has the pledge answers. The second is for the handler to return, which has to run in
    /// place. Of two pledges of one request the first that is kept or given up counts.
    pub fn pledge(&self) -> (Pledge, Answering) {
        let Partials { key, returns } = &self.partials;
        let pledge = Pledge::new(returns.clone(), *key);
        (pledge, Answering(Form::Pledged(*key)))
    }

    /// Returns the way to answer in parts; what the handler returns is the last part.
    pub fn partials(&mut self) -> &mut Partials {
        &mut self.partials
    }
}

/// Sends the parts of an answer.
#[derive(Debug)]
pub struct Partials {
    key: HeldKey,
    returns: Arc<Returns>,
}

/// A part on its way to the task that owns the connections.
#[derive(Debug)]
pub(super) struct PartToSend {
    pub(super) key: HeldKey,
    pub(super) part: Reply,
    /// Answered when it is sent; dropped when nobody waits for it.
    pub(super) sent: oneshot::Sender<()>,
}

impl Partials {
    /// Sends one part, as soon as the client takes more and the connection has room.
    ///
    /// Dropping the future gives the part up, unless it is already on its way.
    ///
    /// # Errors
    /// [`NobodyWaits`] when the request was cancelled or its connection was lost.
    pub async fn send(&mut self, part: impl Into<Reply>) -> Result<(), NobodyWaits> {
        let (sent, is_sent) = oneshot::channel();
        let part = PartToSend {
            key: self.key,
            part: part.into(),
            sent,
        };
        let parts = &self.returns.parts;
        parts.send(part).await.map_err(|_| NobodyWaits)?;
        is_sent.await.map_err(|_| NobodyWaits)
    }
}

/// Says that nobody waits for an answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody waits for this answer any more")]
pub struct NobodyWaits;

//! An answer in parts.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::Stream;
use plantd_mdp::Properties;
use tokio::sync::mpsc;

use super::request::Ticket;
use crate::{Body, RequestError};

/// One part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What is answered.
    pub body: Body,
    /// What is said of it.
    pub properties: Properties,
    /// Whether this is the last part.
    pub is_final: bool,
}

/// The parts of an answer in their order; the last one [is final](Part::is_final).
///
/// After the final part or an error there is nothing more. Dropping it before cancels the request.
#[must_use = "a stream does nothing unless it is read"]
#[derive(Debug)]
pub struct ReplyStream {
    parts: mpsc::UnboundedReceiver<Result<Part, RequestError>>,
    ticket: Ticket,
    has_ended: bool,
}

impl ReplyStream {
    pub(super) fn new(
        parts: mpsc::UnboundedReceiver<Result<Part, RequestError>>,
        ticket: Ticket,
    ) -> Self {
        Self {
            parts,
            ticket,
            has_ended: false,
        }
    }

    /// Waits for the next part; `None` after the last one and after an error.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Part, RequestError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for ReplyStream {
    type Item = Result<Part, RequestError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let part = ready!(self.parts.poll_recv(cx)).unwrap_or(Err(RequestError::Closed));
        match &part {
            Ok(part) if !part.is_final => self.ticket.has_read(part.body.len_bytes()),
            Ok(_) | Err(_) => {
                self.has_ended = true;
                self.ticket.has_ended();
            }
        }
        Poll::Ready(Some(part))
    }
}

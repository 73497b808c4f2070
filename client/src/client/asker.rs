//! Where the answer to a request goes.

use plantd_mdp::Properties;
use plantd_zmtp::Message;
use tokio::sync::{mpsc, oneshot};

use super::Part;
use crate::{Reply, RequestError};

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum Asker {
    /// To somebody who waits for all of it.
    Whole {
        parts: Vec<Message>,
        reply: oneshot::Sender<Result<Reply, RequestError>>,
    },
    /// To a reader of parts.
    Parts(mpsc::UnboundedSender<Result<Part, RequestError>>),
}

impl Asker {
    pub(super) fn take_part(&mut self, properties: Properties, part: Message) {
        match self {
            Self::Whole { parts, .. } => parts.push(part),
            Self::Parts(reader) => {
                // A reader that is gone cancels.
                let _ = reader.send(Ok(Part {
                    body: part.into(),
                    properties,
                    is_final: false,
                }));
            }
        }
    }

    pub(super) fn finish(self, properties: Properties, last: Message) {
        match self {
            Self::Whole { mut parts, reply } => {
                let body = if parts.is_empty() {
                    last
                } else {
                    parts.push(last);
                    Message::concat(&parts)
                };
                let answer = Reply {
                    body: body.into(),
                    properties,
                };
                // Somebody who is gone cancels.
                let _ = reply.send(Ok(answer));
            }
            Self::Parts(reader) => {
                let _ = reader.send(Ok(Part {
                    body: last.into(),
                    properties,
                    is_final: true,
                }));
            }
        }
    }

    pub(super) fn fail(self, error: RequestError) {
        match self {
            Self::Whole { reply, .. } => {
                let _ = reply.send(Err(error));
            }
            Self::Parts(reader) => {
                let _ = reader.send(Err(error));
            }
        }
    }
}

//! What the client library reads and writes: MDP/0.3.

use bytes::BufMut;
use plantd_zmtp::Message;

use super::{ClientVerb, Dialect, WorkerVerb};
use crate::command::{FromClient, FromWorker, ToClient, ToWorker};
use crate::{Header, InvalidHeader, InvalidServiceName, ServiceName, Token};

/// Says why a message of a broker is no command of MDP/0.3.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReply {
    /// The first frame is not the protocol's header.
    #[error("the first frame is not {0}")]
    Protocol(&'static str),
    /// The command is none that a broker sends.
    #[error("the command is none that a broker sends")]
    Command,
    /// A frame that the command needs is missing.
    #[error("the frame with the {0} is missing")]
    Missing(&'static str),
    /// The service is no name.
    #[error(transparent)]
    Service(#[from] InvalidServiceName),
    /// The token has not 16 bytes.
    #[error("the token has {0} bytes; a token has 16")]
    Token(usize),
    /// The header is malformed.
    #[error(transparent)]
    Header(#[from] InvalidHeader),
}

impl FromClient {
    /// Appends the envelope, and returns the body to append.
    pub fn encode(&self, out: &mut impl BufMut) -> Option<&Message> {
        let (verb, service, header, body) = match self {
            Self::Request {
                service,
                header,
                body,
            } => (ClientVerb::Request, service, header, Some(body)),
            Self::Cancel { service, header } => (ClientVerb::Cancel, service, header, None),
            Self::More { service, header } => (ClientVerb::More, service, header, None),
        };
        Message::encode_frame(out, Dialect::Mdp03.client_protocol(), true);
        verb.code(Dialect::Mdp03)?.encode(out, true);
        Message::encode_frame(out, service.as_str().as_bytes(), true);
        header.encode(out, body.is_some_and(|body| !body.is_empty()));
        body
    }
}

impl FromWorker {
    /// Appends the envelope, and returns the body to append.
    pub fn encode(&self, out: &mut impl BufMut) -> Option<&Message> {
        let (verb, subject, header, body): (_, Option<&[u8]>, _, _) = match self {
            Self::Ready { service, header } => (
                WorkerVerb::Ready,
                Some(service.as_str().as_bytes()),
                Some(header),
                None,
            ),
            Self::Partial {
                token,
                header,
                body,
            } => (
                WorkerVerb::Partial,
                Some(token.as_bytes()),
                Some(header),
                Some(body),
            ),
            Self::Final {
                token,
                header,
                body,
            } => (
                WorkerVerb::Final,
                Some(token.as_bytes()),
                Some(header),
                Some(body),
            ),
            Self::Error { token, header } => (
                WorkerVerb::Error,
                Some(token.as_bytes()),
                Some(header),
                None,
            ),
            Self::Heartbeat { header } if header.properties.is_empty() => {
                (WorkerVerb::Heartbeat, None, None, None)
            }
            Self::Heartbeat { header } => (WorkerVerb::Heartbeat, None, Some(header), None),
            Self::Disconnect => (WorkerVerb::Disconnect, None, None, None),
        };
        Message::encode_frame(out, Dialect::Mdp03.worker_protocol(), true);
        verb.code(Dialect::Mdp03)?.encode(out, header.is_some());
        if let Some(subject) = subject {
            Message::encode_frame(out, subject, true);
        }
        if let Some(header) = header {
            header.encode(out, body.is_some_and(|body| !body.is_empty()));
        }
        body
    }
}

impl ToClient {
    /// Reads a command of the broker to a client; `None` for one of a later version.
    ///
    /// # Errors
    /// [`InvalidReply`] when it is not MDP/0.3.
    pub fn decode(message: &Message) -> Result<Option<Self>, InvalidReply> {
        let Some(code) = command(message, Dialect::Mdp03.client_protocol(), "MDPC03")? else {
            return Ok(None);
        };
        let verb = ClientVerb::parse(Dialect::Mdp03, code).ok_or(InvalidReply::Command)?;
        let name = frame(message, 2, "service")?;
        let header = header(message, 3)?;
        let body = message.skip_frames(4);
        Ok(Some(match verb {
            ClientVerb::Partial => Self::Partial {
                service: ServiceName::parse(name)?,
                header,
                body,
            },
            ClientVerb::Final => Self::Final {
                service: ServiceName::parse(name)?,
                header,
                body,
            },
            ClientVerb::Error => Self::Error {
                service: ServiceName::parse(name).ok(),
                header,
            },
            ClientVerb::Request | ClientVerb::Cancel | ClientVerb::More => {
                return Err(InvalidReply::Command);
            }
        }))
    }
}

impl ToWorker {
    /// Reads a command of the broker to a worker; `None` for one of a later version.
    ///
    /// # Errors
    /// [`InvalidReply`] when it is not MDP/0.3.
    pub fn decode(message: &Message) -> Result<Option<Self>, InvalidReply> {
        let Some(code) = command(message, Dialect::Mdp03.worker_protocol(), "MDPW03")? else {
            return Ok(None);
        };
        let verb = WorkerVerb::parse(Dialect::Mdp03, code).ok_or(InvalidReply::Command)?;
        Ok(Some(match verb {
            WorkerVerb::Welcome => Self::Welcome {
                service: ServiceName::parse(frame(message, 2, "service")?)?,
                header: header(message, 3)?,
            },
            WorkerVerb::Request => Self::Request {
                token: token(message)?,
                header: header(message, 3)?,
                body: message.skip_frames(4),
            },
            WorkerVerb::Cancel => Self::Cancel {
                token: token(message)?,
                header: header(message, 3)?,
            },
            WorkerVerb::More => Self::More {
                token: token(message)?,
                header: header(message, 3)?,
            },
            WorkerVerb::Heartbeat => Self::Heartbeat,
            WorkerVerb::Disconnect if message.frame_count() == 2 => Self::Disconnect {
                header: Header::default(),
            },
            WorkerVerb::Disconnect => Self::Disconnect {
                header: header(message, 2)?,
            },
            WorkerVerb::Ready | WorkerVerb::Partial | WorkerVerb::Final | WorkerVerb::Error => {
                return Err(InvalidReply::Command);
            }
        }))
    }
}

/// Checks the protocol and returns the command's frame; `None` for one of a later version.
fn command<'a>(
    message: &'a Message,
    protocol: &[u8],
    name: &'static str,
) -> Result<Option<&'a [u8]>, InvalidReply> {
    if frame(message, 0, "protocol")? != protocol {
        return Err(InvalidReply::Protocol(name));
    }
    let code = frame(message, 1, "command")?;
    Ok((!matches!(code, [0x40..=0xff])).then_some(code))
}

fn frame<'a>(
    message: &'a Message,
    position: usize,
    what: &'static str,
) -> Result<&'a [u8], InvalidReply> {
    message
        .frames()
        .nth(position)
        .ok_or(InvalidReply::Missing(what))
}

fn token(message: &Message) -> Result<Token, InvalidReply> {
    let bytes = frame(message, 2, "token")?;
    Token::parse(bytes).ok_or(InvalidReply::Token(bytes.len()))
}

fn header(message: &Message, position: usize) -> Result<Header, InvalidReply> {
    let bytes = message
        .frame_bytes(position)
        .ok_or(InvalidReply::Missing("header"))?;
    Ok(Header::parse(&bytes)?)
}

//! What the client library reads and writes: MDP/0.3.

use bytes::BufMut;
use plantd_zmtp::{Frames, Message};

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
        let mut walk = Walk::new(message);
        let Some(code) = walk.command(Dialect::Mdp03.client_protocol(), "MDPC03")? else {
            return Ok(None);
        };
        let verb = ClientVerb::parse(Dialect::Mdp03, code).ok_or(InvalidReply::Command)?;
        let name = walk.frame("service")?;
        let header = walk.header()?;
        let body = walk.rest();
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
        let mut walk = Walk::new(message);
        let Some(code) = walk.command(Dialect::Mdp03.worker_protocol(), "MDPW03")? else {
            return Ok(None);
        };
        let verb = WorkerVerb::parse(Dialect::Mdp03, code).ok_or(InvalidReply::Command)?;
        Ok(Some(match verb {
            WorkerVerb::Welcome => Self::Welcome {
                service: ServiceName::parse(walk.frame("service")?)?,
                header: walk.header()?,
            },
            WorkerVerb::Request => Self::Request {
                token: walk.token()?,
                header: walk.header()?,
                body: walk.rest(),
            },
            WorkerVerb::Cancel => Self::Cancel {
                token: walk.token()?,
                header: walk.header()?,
            },
            WorkerVerb::More => Self::More {
                token: walk.token()?,
                header: walk.header()?,
            },
            WorkerVerb::Heartbeat => Self::Heartbeat,
            WorkerVerb::Disconnect if walk.is_over() => Self::Disconnect {
                header: Header::default(),
            },
            WorkerVerb::Disconnect => Self::Disconnect {
                header: walk.header()?,
            },
            WorkerVerb::Ready | WorkerVerb::Partial | WorkerVerb::Final | WorkerVerb::Error => {
                return Err(InvalidReply::Command);
            }
        }))
    }
}

/// One walk over the frames of a message.
struct Walk<'a> {
    message: &'a Message,
    frames: Frames<'a>,
}

impl<'a> Walk<'a> {
    fn new(message: &'a Message) -> Self {
        Self {
            message,
            frames: message.frames(),
        }
    }

    /// Checks the protocol and takes the command's frame; `None` for one of a later version.
    fn command(
        &mut self,
        protocol: &[u8],
        name: &'static str,
    ) -> Result<Option<&'a [u8]>, InvalidReply> {
        if self.frame("protocol")? != protocol {
            return Err(InvalidReply::Protocol(name));
        }
        let code = self.frame("command")?;
        Ok((!matches!(code, [0x40..=0xff])).then_some(code))
    }

    fn frame(&mut self, what: &'static str) -> Result<&'a [u8], InvalidReply> {
        self.frames.next().ok_or(InvalidReply::Missing(what))
    }

    fn token(&mut self) -> Result<Token, InvalidReply> {
        let bytes = self.frame("token")?;
        Token::parse(bytes).ok_or(InvalidReply::Token(bytes.len()))
    }

    fn header(&mut self) -> Result<Header, InvalidReply> {
        let frame = self.frame("header")?;
        Ok(Header::read(self.message, frame)?)
    }

    fn is_over(&self) -> bool {
        self.frames.len() == 0
    }

    /// What has not been walked over.
    fn rest(&self) -> Message {
        self.message.rest(&self.frames)
    }
}

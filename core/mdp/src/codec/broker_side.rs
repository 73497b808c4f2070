//! What the broker reads and writes.

use bytes::BufMut;
use plantd_zmtp::{Frames, Message};

use super::{ClientVerb, Code, Dialect, Form, Role, WorkerVerb};
use crate::command::{FromClient, FromWorker, ToClient, ToWorker};
use crate::{Header, Rejection, ServiceName, Token};

static NO_BODY: Message = Message::EMPTY;

/// A command that reached the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// From a client.
    Client(FromClient),
    /// From a worker.
    Worker(FromWorker),
}

/// Says why a message is no command, and as much as could be read of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong with it.
    pub reason: Rejection,
    /// Who speaks how, where that could be read.
    pub speaker: Option<(Role, Form)>,
    /// The id of a refused MDP/0.3 REQUEST, where it could be read.
    pub request: Option<u64>,
}

/// Recognises the dialect of a message and reads its command.
///
/// An empty first frame sets [`Form::delimited`] and is skipped; then comes the protocol's header;
/// then, except after `MDPC01`, a command of one byte is binary and a word is the Go plantd's.
/// A service frame that equals `known` is not parsed again.
///
/// # Errors
/// [`Refusal`] for whatever is none of this. Nothing is guessed.
pub fn decode(message: &Message, known: Option<&ServiceName>) -> Result<(Form, Inbound), Refusal> {
    let mut reader = Reader {
        message,
        walk: message.frames(),
        known,
        speaker: None,
        request: None,
    };
    let inbound = reader.read();
    match (inbound, reader.speaker) {
        (Ok(inbound), Some((_, form))) => Ok((form, inbound)),
        (Ok(_), None) => unreachable!("a command is read in a form"),
        (Err(reason), speaker) => Err(Refusal {
            reason,
            speaker,
            request: reader.request,
        }),
    }
}

/// One walk over the frames of a message.
struct Reader<'a> {
    message: &'a Message,
    walk: Frames<'a>,
    known: Option<&'a ServiceName>,
    speaker: Option<(Role, Form)>,
    request: Option<u64>,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<Inbound, Rejection> {
        let mut protocol = self.walk.next();
        let delimited = protocol.is_some_and(<[u8]>::is_empty);
        if delimited {
            protocol = self.walk.next();
        }
        let command = self.walk.clone().next();
        let (role, dialect) = match protocol {
            Some(b"MDPC01") => (Role::Client, Dialect::Mdp01),
            Some(b"MDPC02") => (Role::Client, binary_or_words(command)?),
            Some(b"MDPC03") => (Role::Client, Dialect::Mdp03),
            Some(b"MDPW01") => (Role::Worker, Dialect::Mdp01),
            Some(b"MDPW02") => (Role::Worker, binary_or_words(command)?),
            Some(b"MDPW03") => (Role::Worker, Dialect::Mdp03),
            Some(_) | None => return Err(Rejection::UnknownProtocol),
        };
        if delimited && dialect == Dialect::Mdp03 {
            return Err(Rejection::Delimiter);
        }
        self.speaker = Some((role, Form { dialect, delimited }));
        match role {
            Role::Client if dialect == Dialect::Mdp01 => self.request(dialect).map(Inbound::Client),
            Role::Client => {
                let verb = self.command(dialect, ClientVerb::parse)?;
                self.client(dialect, verb).map(Inbound::Client)
            }
            Role::Worker => {
                let verb = self.command(dialect, WorkerVerb::parse)?;
                self.worker(dialect, verb).map(Inbound::Worker)
            }
        }
    }

    fn command<V>(
        &mut self,
        dialect: Dialect,
        parse: impl Fn(Dialect, &[u8]) -> Option<V>,
    ) -> Result<V, Rejection> {
        let code = self.walk.next().ok_or(Rejection::NoCommand)?;
        parse(dialect, code).ok_or(match (dialect, code) {
            (Dialect::Mdp03, [0x40..=0xff]) => Rejection::LaterCommand,
            _ => Rejection::UnknownCommand,
        })
    }

    fn client(&mut self, dialect: Dialect, verb: ClientVerb) -> Result<FromClient, Rejection> {
        match verb {
            ClientVerb::Request => self.request(dialect),
            ClientVerb::Cancel => Ok(FromClient::Cancel {
                service: self.service()?,
                header: self.header(dialect)?,
            }),
            ClientVerb::More => Ok(FromClient::More {
                service: self.service()?,
                header: self.header(dialect)?,
            }),
            ClientVerb::Partial | ClientVerb::Final | ClientVerb::Error => {
                Err(Rejection::UnknownCommand)
            }
        }
    }

    fn request(&mut self, dialect: Dialect) -> Result<FromClient, Rejection> {
        if dialect.has_header() {
            self.request = self.walk.clone().nth(1).and_then(Header::id_of);
        }
        let service = self.service()?;
        let header = self.header(dialect)?;
        let body = self.message.rest(&self.walk);
        if body.is_empty() && !service.is_mmi() {
            return Err(Rejection::NoBody);
        }
        Ok(FromClient::Request {
            service,
            header,
            body,
        })
    }

    fn worker(&mut self, dialect: Dialect, verb: WorkerVerb) -> Result<FromWorker, Rejection> {
        match verb {
            WorkerVerb::Ready => Ok(FromWorker::Ready {
                service: self.service()?,
                header: self.header(dialect)?,
            }),
            WorkerVerb::Partial => {
                let (token, header, body) = self.reply(dialect)?;
                Ok(FromWorker::Partial {
                    token,
                    header,
                    body,
                })
            }
            WorkerVerb::Final => {
                let (token, header, body) = self.reply(dialect)?;
                Ok(FromWorker::Final {
                    token,
                    header,
                    body,
                })
            }
            WorkerVerb::Error => Ok(FromWorker::Error {
                token: self.token()?,
                header: self.header(dialect)?,
            }),
            WorkerVerb::Heartbeat => Ok(FromWorker::Heartbeat {
                header: self.optional_header(dialect)?,
            }),
            WorkerVerb::Disconnect => Ok(FromWorker::Disconnect),
            WorkerVerb::Request | WorkerVerb::Welcome | WorkerVerb::Cancel | WorkerVerb::More => {
                Err(Rejection::UnknownCommand)
            }
        }
    }

    /// Token, then a header or an empty frame, then a body of at least one frame.
    fn reply(&mut self, dialect: Dialect) -> Result<(Token, Header, Message), Rejection> {
        let token = self.token()?;
        let mut header = Header::default();
        match dialect {
            Dialect::Mdp03 => header = self.header(dialect)?,
            Dialect::Mdp01 | Dialect::Mdp02 => match self.walk.next() {
                Some(b"") => {}
                Some(_) => return Err(Rejection::NoDelimiter),
                None => return Err(Rejection::NoBody),
            },
            Dialect::Words => {
                let mut ahead = self.walk.clone();
                if ahead.next() == Some(b"") && ahead.len() > 0 {
                    self.walk = ahead;
                }
            }
        }
        let body = self.message.rest(&self.walk);
        if body.is_empty() {
            return Err(Rejection::NoBody);
        }
        Ok((token, header, body))
    }

    fn service(&mut self) -> Result<ServiceName, Rejection> {
        let name = self.walk.next().ok_or(Rejection::NoService)?;
        match self.known {
            Some(known) if known.as_str().as_bytes() == name => Ok(known.clone()),
            Some(_) | None => ServiceName::parse(name).map_err(|_| Rejection::BadService),
        }
    }

    fn token(&mut self) -> Result<Token, Rejection> {
        let token = self.walk.next().ok_or(Rejection::NoToken)?;
        Token::parse(token).ok_or(Rejection::UnknownToken)
    }

    fn header(&mut self, dialect: Dialect) -> Result<Header, Rejection> {
        if !dialect.has_header() {
            return Ok(Header::default());
        }
        let frame = self.walk.next().ok_or(Rejection::BadHeader)?;
        Header::read(self.message, frame).map_err(|_| Rejection::BadHeader)
    }

    fn optional_header(&mut self, dialect: Dialect) -> Result<Header, Rejection> {
        if self.walk.len() == 0 {
            Ok(Header::default())
        } else {
            self.header(dialect)
        }
    }
}

/// Tells the two forms of MDP/0.2 apart by the command frame.
fn binary_or_words(command: Option<&[u8]>) -> Result<Dialect, Rejection> {
    match command {
        None => Err(Rejection::NoCommand),
        Some([_]) => Ok(Dialect::Mdp02),
        Some(word) if !word.is_empty() && word.iter().all(u8::is_ascii_uppercase) => {
            Ok(Dialect::Words)
        }
        Some(_) => Err(Rejection::UnknownCommand),
    }
}

impl ToClient {
    /// Appends the envelope for a client that speaks in `form`, and returns the body to append.
    ///
    /// Returns `None`, with nothing appended, where the dialect has no such command: PARTIAL in
    /// MDP/0.1, ERROR before MDP/0.3.
    pub fn encode(&self, form: Form, out: &mut impl BufMut) -> Option<&Message> {
        let (verb, service, header, body) = match self {
            Self::Partial {
                service,
                header,
                body,
            } => (ClientVerb::Partial, Some(service), header, body),
            Self::Final {
                service,
                header,
                body,
            } => (ClientVerb::Final, Some(service), header, body),
            Self::Error { service, header } => {
                (ClientVerb::Error, service.as_ref(), header, &NO_BODY)
            }
        };
        let code = verb.code(form.dialect);
        if code.is_none() && verb != ClientVerb::Final {
            return None;
        }
        let mut envelope = Envelope::begin(form, form.dialect.client_protocol(), out);
        if let Some(code) = code {
            envelope.code(code, true);
        }
        let more = !body.is_empty();
        let service = service.map_or("", ServiceName::as_str).as_bytes();
        if form.dialect.has_header() {
            envelope.frame(service, true);
            envelope.header(header, more);
        } else {
            envelope.frame(service, more);
        }
        Some(body)
    }
}

impl ToWorker {
    /// Appends the envelope for a worker that speaks in `form`, and returns the body to append.
    ///
    /// Returns `None`, with nothing appended, where the dialect has no such command: WELCOME,
    /// CANCEL and MORE before MDP/0.3.
    pub fn encode(&self, form: Form, out: &mut impl BufMut) -> Option<&Message> {
        let dialect = form.dialect;
        let verb = match self {
            Self::Welcome { .. } => WorkerVerb::Welcome,
            Self::Request { .. } => WorkerVerb::Request,
            Self::Cancel { .. } => WorkerVerb::Cancel,
            Self::More { .. } => WorkerVerb::More,
            Self::Heartbeat => WorkerVerb::Heartbeat,
            Self::Disconnect { .. } => WorkerVerb::Disconnect,
        };
        let code = verb.code(dialect)?;
        let mut envelope = Envelope::begin(form, dialect.worker_protocol(), out);
        match self {
            Self::Welcome { service, header } => {
                envelope.code(code, true);
                envelope.frame(service.as_str().as_bytes(), true);
                envelope.header(header, false);
            }
            Self::Request {
                token,
                header,
                body,
            } => {
                envelope.code(code, true);
                envelope.frame(token.as_bytes(), true);
                if dialect.has_header() {
                    envelope.header(header, !body.is_empty());
                } else {
                    envelope.frame(b"", !body.is_empty());
                }
                return Some(body);
            }
            Self::Cancel { token, header } | Self::More { token, header } => {
                envelope.code(code, true);
                envelope.frame(token.as_bytes(), true);
                envelope.header(header, false);
            }
            Self::Heartbeat => envelope.code(code, false),
            Self::Disconnect { header } => {
                let says_why = dialect.has_header() && !header.properties.is_empty();
                envelope.code(code, says_why);
                if says_why {
                    envelope.header(header, false);
                }
            }
        }
        Some(&NO_BODY)
    }
}

/// Writes the frames of an envelope.
struct Envelope<'a, B> {
    out: &'a mut B,
}

impl<'a, B: BufMut> Envelope<'a, B> {
    fn begin(form: Form, protocol: &[u8], out: &'a mut B) -> Self {
        let mut envelope = Self { out };
        if form.mirrors_delimiter() {
            envelope.frame(b"", true);
        }
        envelope.frame(protocol, true);
        envelope
    }

    fn frame(&mut self, frame: &[u8], more: bool) {
        Message::encode_frame(self.out, frame, more);
    }

    fn code(&mut self, code: Code, more: bool) {
        code.encode(self.out, more);
    }

    fn header(&mut self, header: &Header, more: bool) {
        header.encode(self.out, more);
    }
}

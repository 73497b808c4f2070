//! Why a request has no answer.

use std::fmt;

use plantd_mdp::{ErrorCode, InvalidServiceName, client::Refusal};

use crate::BrokerStatus;

/// Says why a request has no answer.
///
/// [`RequestError::code`] is the code of MDP/0.3 for scripts and logs. Texts in `message` come from
/// the broker or the worker and may be empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The service is no name; nothing was sent.
    #[error("the service is no name")]
    InvalidService(#[from] InvalidServiceName),
    /// A property cannot be sent; nothing was sent.
    #[error("the property {name:?} cannot be sent: {reason}")]
    InvalidProperty {
        /// Its name.
        name: String,
        /// What would be right.
        reason: &'static str,
    },
    /// No broker could be reached in time; nothing was sent.
    #[error("no broker is connected{}", ListOf(.brokers))]
    NotConnected {
        /// Which brokers were tried, and why each failed.
        brokers: Vec<Unreachable>,
    },
    /// The connection was lost after the request was sent, and it may not be sent again: it said
    /// `retry=never`, a part of the answer was delivered, or its attempts are used up; or it was sent
    /// again, and was not done there.
    ///
    /// The request may have been done.
    #[error("the connection to the broker was lost before the answer came")]
    ConnectionLost,
    /// The deadline passed. The request may have been done.
    #[error("no answer came within the timeout")]
    Timeout,
    /// No worker took the request within the broker's queue time.
    #[error("no worker serves this{}", Because(.message))]
    NoWorker {
        /// The broker's words.
        message: String,
    },
    /// A limit is reached; a later try may succeed.
    #[error("a limit is reached{}", Because(.message))]
    Busy {
        /// Which limit.
        message: String,
    },
    /// The request's or the reply's body is over a limit.
    #[error("the body is too large{}", Because(.message))]
    TooLarge {
        /// Which limit.
        message: String,
    },
    /// This client may not do this.
    #[error("denied{}", Because(.message))]
    Denied {
        /// The broker's words.
        message: String,
    },
    /// The request was cancelled, by the worker or on the broker.
    #[error("the request was cancelled{}", Because(.message))]
    Cancelled {
        /// Who cancelled it, and why.
        message: String,
    },
    /// The worker was lost and the request may not be given to another.
    #[error("the worker was lost{}", Because(.message))]
    WorkerLost {
        /// The broker's words.
        message: String,
    },
    /// The worker answered with an error of its own.
    #[error("the worker failed: {code}{}", Because(.message))]
    WorkerError {
        /// The worker's own code.
        code: String,
        /// The worker's own words.
        message: String,
    },
    /// The broker found the request malformed.
    #[error("the request is malformed{}", Because(.message))]
    BadRequest {
        /// What is wrong with it.
        message: String,
    },
    /// The request has a property that must be understood and is not.
    #[error("the request asks for what is not supported{}", Because(.message))]
    Unsupported {
        /// Which property.
        message: String,
    },
    /// Every broker that is connected is stopping.
    #[error("the broker is stopping{}", Because(.message))]
    Draining {
        /// The broker's words.
        message: String,
    },
    /// The broker gave a code that this version does not know.
    #[error("the broker refused: {code}{}", Because(.message))]
    Other {
        /// The code.
        code: String,
        /// The broker's words.
        message: String,
    },
    /// The answer is not what was asked for.
    #[error("the answer cannot be read: {0}")]
    InvalidReply(String),
    /// The client's task has ended with its runtime.
    #[error("the client is closed")]
    Closed,
}

/// A broker that could not be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// Its endpoint.
    pub endpoint: String,
    /// Why it is not connected.
    pub reason: String,
}

impl RequestError {
    /// Returns the error's code: that of MDP/0.3 where it has one, else `connection-lost`,
    /// `not-connected`, `invalid-reply` or `closed`.
    pub fn code(&self) -> &str {
        match self {
            Self::InvalidService(_) | Self::InvalidProperty { .. } | Self::BadRequest { .. } => {
                ErrorCode::BadRequest.as_str()
            }
            Self::NotConnected { .. } => "not-connected",
            Self::ConnectionLost => "connection-lost",
            Self::Timeout => ErrorCode::Timeout.as_str(),
            Self::NoWorker { .. } => ErrorCode::NoWorker.as_str(),
            Self::Busy { .. } => ErrorCode::Busy.as_str(),
            Self::TooLarge { .. } => ErrorCode::TooLarge.as_str(),
            Self::Denied { .. } => ErrorCode::Denied.as_str(),
            Self::Cancelled { .. } => ErrorCode::Cancelled.as_str(),
            Self::WorkerLost { .. } => ErrorCode::WorkerLost.as_str(),
            Self::WorkerError { .. } => ErrorCode::WorkerError.as_str(),
            Self::Unsupported { .. } => ErrorCode::Unsupported.as_str(),
            Self::Draining { .. } => ErrorCode::Draining.as_str(),
            Self::Other { code, .. } => code,
            Self::InvalidReply(_) => "invalid-reply",
            Self::Closed => "closed",
        }
    }
}

impl RequestError {
    /// What became of a request beyond a router of state, which tells the codes of its way as its own.
    pub(crate) fn beyond_router(self) -> Self {
        let Self::WorkerError { code, message } = self else {
            return self;
        };
        if code == "connection-lost" {
            return Self::ConnectionLost;
        }
        match ErrorCode::parse(&code) {
            Some(known) if known != ErrorCode::WorkerError => Self::from(Refusal {
                code,
                message,
                worker_code: String::new(),
            }),
            Some(_) | None => Self::WorkerError { code, message },
        }
    }
}

impl From<Refusal> for RequestError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.message;
        match ErrorCode::parse(&refusal.code) {
            Some(ErrorCode::NoWorker) => Self::NoWorker { message },
            Some(ErrorCode::Timeout) => Self::Timeout,
            Some(ErrorCode::Busy) => Self::Busy { message },
            Some(ErrorCode::TooLarge) => Self::TooLarge { message },
            Some(ErrorCode::Denied) => Self::Denied { message },
            Some(ErrorCode::Cancelled) => Self::Cancelled { message },
            Some(ErrorCode::WorkerLost) => Self::WorkerLost { message },
            Some(ErrorCode::WorkerError) => Self::WorkerError {
                code: refusal.worker_code,
                message,
            },
            Some(ErrorCode::BadRequest) => Self::BadRequest { message },
            Some(ErrorCode::Unsupported) => Self::Unsupported { message },
            Some(ErrorCode::Draining) => Self::Draining { message },
            None => Self::Other {
                code: refusal.code,
                message,
            },
        }
    }
}

impl From<BrokerStatus> for Unreachable {
    fn from(broker: BrokerStatus) -> Self {
        Self {
            endpoint: broker.endpoint,
            reason: broker
                .last_error
                .unwrap_or_else(|| "still connecting".to_owned()),
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.reason)
    }
}

/// Shows a text after a colon, and nothing where there is none.
struct Because<'a>(&'a str);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.0)
        }
    }
}

/// Shows brokers after a colon, and nothing where there are none.
struct ListOf<'a>(&'a [Unreachable]);

impl fmt::Display for ListOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, broker) in self.0.iter().enumerate() {
            f.write_str(if position == 0 { ": " } else { "; " })?;
            broker.fmt(f)?;
        }
        Ok(())
    }
}

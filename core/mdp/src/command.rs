//! The commands that clients, workers and the broker send, whatever the dialect.

use plantd_zmtp::Message;

use crate::{Header, ServiceName, Token};

/// A command from a client to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromClient {
    /// Asks a service. The body is empty only for `mmi.…`.
    Request {
        /// Who shall answer.
        service: ServiceName,
        /// The client's id of the request and its properties; id 0 before MDP/0.3.
        header: Header,
        /// What is asked.
        body: Message,
    },
    /// Gives a request up (MDP/0.3).
    Cancel {
        /// The service that was asked.
        service: ServiceName,
        /// Which request.
        header: Header,
    },
    /// Takes more PARTIALs of a request (MDP/0.3): property `more`.
    More {
        /// The service that was asked.
        service: ServiceName,
        /// Which request.
        header: Header,
    },
}

/// A command from the broker to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToClient {
    /// A part of an answer; more follows.
    Partial {
        /// Who answers.
        service: ServiceName,
        /// The client's id of the request.
        header: Header,
        /// The part.
        body: Message,
    },
    /// The answer, or its last part.
    Final {
        /// Who answers.
        service: ServiceName,
        /// The client's id of the request.
        header: Header,
        /// The answer.
        body: Message,
    },
    /// The request has no answer (MDP/0.3): properties `code`, `message`, `worker-code`.
    Error {
        /// Who was asked; `None` where the request named no valid service.
        service: Option<ServiceName>,
        /// The client's id of the request.
        header: Header,
    },
}

/// A command from a worker to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromWorker {
    /// Registers for a service.
    Ready {
        /// The service.
        service: ServiceName,
        /// What the worker offers (MDP/0.3): `credit`, `streams`, `heartbeat-ms`, `liveness`,
        /// `name`, `version`.
        header: Header,
    },
    /// A part of an answer; more follows.
    Partial {
        /// Which attempt.
        token: Token,
        /// Properties of the part.
        header: Header,
        /// The part.
        body: Message,
    },
    /// The answer, or its last part.
    Final {
        /// Which attempt.
        token: Token,
        /// Properties of the answer.
        header: Header,
        /// The answer.
        body: Message,
    },
    /// The attempt failed (MDP/0.3): properties `code`, `message`, `retryable`.
    Error {
        /// Which attempt.
        token: Token,
        /// Why.
        header: Header,
    },
    /// The worker is alive; in MDP/0.3 with a new `credit` where it changes.
    Heartbeat {
        /// Properties, if any.
        header: Header,
    },
    /// The worker leaves.
    Disconnect,
}

/// A command from the broker to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToWorker {
    /// What was agreed on READY (MDP/0.3): `credit`, `streams`, `heartbeat-ms`, `liveness`.
    Welcome {
        /// The service.
        service: ServiceName,
        /// The terms.
        header: Header,
    },
    /// A request to answer.
    Request {
        /// Names this attempt in every answer.
        token: Token,
        /// The broker's id of the request, the same for every attempt, and its properties.
        header: Header,
        /// What is asked.
        body: Message,
    },
    /// Nobody waits for the answer (MDP/0.3).
    Cancel {
        /// Which attempt.
        token: Token,
        /// The broker's id of the request.
        header: Header,
    },
    /// The client takes more PARTIALs (MDP/0.3): property `more`.
    More {
        /// Which attempt.
        token: Token,
        /// The broker's id of the request.
        header: Header,
    },
    /// The broker is alive.
    Heartbeat,
    /// The worker is not registered, and nothing follows.
    Disconnect {
        /// Why, in MDP/0.3: property `message`.
        header: Header,
    },
}

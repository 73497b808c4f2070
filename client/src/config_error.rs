//! Why a client, a worker, a source or a sink cannot be built.

use plantd_mdp::InvalidServiceName;
use plantd_zmtp::{EndpointError, NotDialable};

use crate::InvalidTopic;

/// Says why a [`Client`](crate::Client), [`Worker`](crate::Worker), [`Source`](crate::Source) or
/// [`Sink`](crate::Sink) cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No broker was given.
    #[error("no broker is given; give at least one endpoint, such as tcp://127.0.0.1:9797")]
    NoBroker,
    /// An endpoint cannot be read.
    #[error("broker endpoint {endpoint:?}")]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        source: EndpointError,
    },
    /// An endpoint can be listened on but not dialled: `*` or port 0.
    #[error(transparent)]
    NotDialable(#[from] NotDialable),
    /// The service is no name.
    #[error("service {service:?}")]
    Service {
        /// What was given.
        service: String,
        /// What is wrong with it.
        source: InvalidServiceName,
    },
    /// A topic is too long.
    #[error(transparent)]
    Topic(InvalidTopic),
    /// A number or a duration is out of its range.
    #[error("{option} is out of range; {expected}")]
    OutOfRange {
        /// The option of the builder.
        option: &'static str,
        /// What would be right.
        expected: &'static str,
    },
}

//! The connection to the broker, and the line that says why there is none.

use std::time::Duration;

use plantd_client::{Client, Endpoint, RequestError, ServiceName, Status};

use crate::cli::Options;
use crate::failure::Failure;

/// How long a broker may take to be there, unless `--timeout` says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long requests may take, unless `--timeout` says otherwise.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the broker is asked who serves.
const WHO_SERVES_TIMEOUT: Duration = Duration::from_secs(1);

impl Options {
    /// How long to wait for the broker.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.timeout.unwrap_or(CONNECT_TIMEOUT)
    }

    /// How long to wait for an answer.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.timeout.unwrap_or(REQUEST_TIMEOUT)
    }

    /// The same options with one broker.
    pub(crate) fn with_broker(&self, broker: Endpoint) -> Self {
        Self {
            broker: vec![broker],
            ..self.clone()
        }
    }

    /// The brokers as one text, for people.
    pub(crate) fn brokers(&self) -> String {
        let endpoints: Vec<String> = self.broker.iter().map(ToString::to_string).collect();
        endpoints.join(", ")
    }
}

/// Connects to a broker, or says why it cannot.
pub(crate) async fn connect(options: &Options) -> Result<Client, Failure> {
    let client = Client::builder()
        .brokers(options.broker.iter().map(ToString::to_string))
        .transport(options.transport.into())
        .connect()?;
    match tokio::time::timeout(options.connect_timeout(), client.connected()).await {
        Ok(Ok(())) => Ok(client),
        Ok(Err(error)) => Err(Failure::Refused(error)),
        Err(_elapsed) => {
            let status = client.status().borrow().clone();
            Err(not_connected("no broker at", options, &status))
        }
    }
}

/// Asks a broker about itself and gives its data as it is.
pub(crate) async fn ask(
    client: &Client,
    options: &Options,
    subject: &str,
    argument: Option<&str>,
) -> Result<serde_json::Value, Failure> {
    let broker = "the broker";
    let timeout = options.request_timeout();
    let reply = match tokio::time::timeout(timeout, client.mmi(subject, argument)).await {
        Ok(reply) => reply.map_err(|error| Failure::of(broker, timeout, error))?,
        Err(_elapsed) => return Err(Failure::of(broker, timeout, RequestError::Timeout)),
    };
    match reply.data {
        Some(data) if reply.is_ok() => Ok(data),
        Some(_) | None => {
            let problem = format!("mmi.{subject} has the status {}", reply.status);
            Err(Failure::Refused(RequestError::InvalidReply(problem)))
        }
    }
}

/// Whether the broker says that a service has no worker.
pub(crate) async fn nobody_serves(client: &Client, service: &ServiceName) -> bool {
    let asking = client.mmi("service", Some(service.as_str()));
    match tokio::time::timeout(WHO_SERVES_TIMEOUT, asking).await {
        Ok(Ok(reply)) => reply.status == 404,
        Ok(Err(_)) | Err(_) => false,
    }
}

/// `problem`, then the brokers that have it, each with its reason.
pub(crate) fn not_connected(problem: &str, options: &Options, status: &Status) -> Failure {
    let reasons: Vec<String> = status
        .brokers
        .iter()
        .filter_map(|broker| {
            let error = broker.last_error.as_ref()?;
            Some(format!("{} ({error})", broker.endpoint))
        })
        .collect();
    let brokers = if reasons.is_empty() {
        options.brokers()
    } else {
        reasons.join(", ")
    };
    Failure::NotConnected {
        reason: format!("{problem} {brokers}"),
    }
}

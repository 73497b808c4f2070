//! Where a client, a worker, a source or a sink stands with its brokers.

use std::fmt;

use plantd_zmtp::Endpoint;

/// Which brokers a [`Client`](crate::Client), a [`Source`](crate::Source) or a [`Sink`](crate::Sink)
/// is connected to, or a [`Worker`](crate::Worker) is registered at; for health checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Every broker that is dialled, in the order in which they became known.
    ///
    /// Empty until a name has been resolved.
    pub brokers: Vec<BrokerStatus>,
}

/// Where one broker stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerStatus {
    /// The endpoint, of one address where a name has several.
    pub endpoint: String,
    /// Whether it is connected, or for workers registered.
    pub is_up: bool,
    /// Why it is not up, or why it was lost last.
    pub last_error: Option<String>,
}

impl Status {
    /// Says whether at least one broker is up.
    pub fn is_up(&self) -> bool {
        self.brokers.iter().any(|broker| broker.is_up)
    }

    /// Says what a health check has to tell: nothing while every broker is up, which one is not while
    /// others are.
    ///
    /// # Errors
    /// Why no broker is up.
    pub fn health(&self) -> Result<Option<String>, String> {
        let lost = self.brokers.iter().find(|broker| !broker.is_up);
        match (self.is_up(), lost) {
            (true, lost) => Ok(lost.map(ToString::to_string)),
            (false, Some(broker)) => Err(broker.to_string()),
            (false, None) => Err("no broker is known yet".to_owned()),
        }
    }
}

impl BrokerStatus {
    /// A name that has no address.
    pub(crate) fn unresolved((endpoint, reason): (&Endpoint, &str)) -> Self {
        Self {
            endpoint: endpoint.to_string(),
            is_up: false,
            last_error: Some(reason.to_owned()),
        }
    }
}

impl fmt::Display for BrokerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.last_error, self.is_up) {
            (_, true) => write!(f, "{}: up", self.endpoint),
            (Some(error), false) => write!(f, "{}: {error}", self.endpoint),
            (None, false) => write!(f, "{}: connecting", self.endpoint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(brokers: &[bool]) -> Status {
        let brokers = brokers.iter().map(|is_up| BrokerStatus {
            endpoint: "tcp://127.0.0.1:9797".to_owned(),
            is_up: *is_up,
            last_error: None,
        });
        Status {
            brokers: brokers.collect(),
        }
    }

    #[test]
    fn health_is_less_while_some_brokers_are_lost_and_gone_while_all_are() {
        let lost = "tcp://127.0.0.1:9797: connecting".to_owned();
        assert_eq!(status(&[true, true]).health(), Ok(None));
        assert_eq!(status(&[true, false]).health(), Ok(Some(lost.clone())));
        assert_eq!(status(&[false, false]).health(), Err(lost));
        let unknown = "no broker is known yet".to_owned();
        assert_eq!(status(&[]).health(), Err(unknown));
    }
}

//! The configuration of the echo module.

use plantd_client::{Endpoint, ServiceName};
use plantd_daemon::config::{OneOrMore, Problem, Settings, Shared};
use serde::{Deserialize, Serialize};

/// The keys of the echo module; [`Settings::HELP`] says what each means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The brokers to register at.
    pub broker_endpoint: OneOrMore<Endpoint>,
    /// The service to serve.
    pub service: String,
    /// How many requests are answered at once.
    pub concurrency: usize,
    /// What carries the messages.
    pub transport: Transport,
    /// The keys of every daemon.
    #[serde(flatten)]
    pub shared: Shared,
}

/// What carries the messages to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// plantd's own.
    Plantd,
    /// The `zeromq` crate.
    Zeromq,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            broker_endpoint: OneOrMore::one(Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 9797,
            }),
            service: "org.plantd.module.Echo".to_owned(),
            concurrency: 256,
            transport: Transport::Plantd,
            shared: Shared::with_health_port(8083),
        }
    }
}

impl Settings for Config {
    const NAME: &'static str = "module-echo";
    const ABOUT: &'static str = "Answers a body with the same body.";
    const HELP: &'static [(&'static str, &'static str)] = &[
        (
            "broker_endpoint",
            "the broker: tcp://host:port or ipc://path, or a list",
        ),
        ("service", "the name of the service"),
        (
            "concurrency",
            "how many requests are answered at once, 1 to 4096",
        ),
        (
            "transport",
            "what carries the messages: plantd, or zeromq (the crate)",
        ),
    ];

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match self.service.parse::<ServiceName>() {
            Err(error) => problems.push(Problem::new("service", error.to_string())),
            Ok(name) if name.is_reserved() => {
                problems.push(Problem::new(
                    "service",
                    "expected a name that is not the broker's own",
                ));
            }
            Ok(_) => {}
        }
        if let Some(endpoint) = self.broker_endpoint.iter().find(|e| !e.is_dialable()) {
            let expected = format!("{endpoint} cannot be dialled: write a host and a port");
            problems.push(Problem::new("broker_endpoint", expected));
        }
        if !(1..=4096).contains(&self.concurrency) {
            problems.push(Problem::new("concurrency", "expected 1 to 4096"));
        }
        problems
    }
}

impl From<Transport> for plantd_client::Transport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Plantd => Self::Plantd,
            Transport::Zeromq => Self::Zeromq,
        }
    }
}

#[cfg(test)]
mod tests;

//! The configuration of the echo module.

use plantd_client::{Endpoint, ServiceName, Transport};
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
        let service = ServiceName::for_worker(&self.service);
        problems.extend(Problem::of("service", service));
        let mut brokers = self.broker_endpoint.iter();
        let brokers = brokers.try_for_each(Endpoint::check_dialable);
        problems.extend(Problem::of("broker_endpoint", brokers));
        if !(1..=4096).contains(&self.concurrency) {
            problems.push(Problem::new("concurrency", "expected 1 to 4096"));
        }
        problems
    }
}

#[cfg(test)]
mod tests;

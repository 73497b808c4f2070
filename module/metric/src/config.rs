//! The configuration of the metric module.

use std::ops::RangeInclusive;
use std::time::Duration;

use plantd_client::{Endpoint, ServiceName, Transport};
use plantd_daemon::config::{OneOrMore, Problem, Settings, Shared, TimeSpan};
use serde::{Deserialize, Serialize};

/// The shortest interval gives the CPU's utilization time to show; a longer one than the longest is
/// no longer life.
pub(crate) const INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(250)..=Duration::from_secs(3_600);

/// The keys of the metric module; [`Settings::HELP`] says what each means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The brokers to register at.
    pub broker_endpoint: OneOrMore<Endpoint>,
    /// The service to serve.
    pub service: String,
    /// The publisher sides of the metric bus.
    pub bus_endpoint: OneOrMore<Endpoint>,
    /// What carries what is published.
    pub transport: Transport,
    /// How often everything is measured.
    pub interval: TimeSpan,
    /// The tag `host` of every metric; the host's own name if unset.
    pub host: Option<String>,
    /// The keys of every daemon.
    #[serde(flatten)]
    pub shared: Shared,
}

impl Default for Config {
    fn default() -> Self {
        let at = |port| {
            OneOrMore::one(Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port,
            })
        };
        Self {
            broker_endpoint: at(9797),
            service: "org.plantd.module.Metric".to_owned(),
            bus_endpoint: at(11000),
            transport: Transport::Zeromq,
            interval: TimeSpan::from_secs(1),
            host: None,
            shared: Shared::with_health_port(8084),
        }
    }
}

impl Settings for Config {
    const NAME: &'static str = "module-metric";
    const ABOUT: &'static str = "Publishes this host's CPU, load, memory, disks and network.";
    const HELP: &'static [(&'static str, &'static str)] = &[
        (
            "broker_endpoint",
            "the broker: tcp://host:port or ipc://path, or a list",
        ),
        ("service", "the name of the service"),
        (
            "bus_endpoint",
            "the publisher side of the bus: tcp://host:port or ipc://path, or a list",
        ),
        (
            "transport",
            "what carries what is published: zeromq (the crate), or plantd",
        ),
        ("interval", "how often everything is measured, 250ms to 1h"),
        (
            "host",
            "the tag host of every metric; unset: the host's own name",
        ),
    ];

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let service = ServiceName::for_worker(&self.service);
        problems.extend(Problem::of("service", service));
        for (key, endpoints) in [
            ("broker_endpoint", &self.broker_endpoint),
            ("bus_endpoint", &self.bus_endpoint),
        ] {
            let endpoints = endpoints.iter().try_for_each(Endpoint::check_dialable);
            problems.extend(Problem::of(key, endpoints));
        }
        if !INTERVALS.contains(&self.interval.duration()) {
            problems.push(Problem::new("interval", "expected 250ms to 1h"));
        }
        problems
    }
}

#[cfg(test)]
mod tests;

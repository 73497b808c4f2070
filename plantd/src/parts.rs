//! The parts of the process: how they start, find each other, and stop in the right order.
//!
//! Each has a configuration, health and metrics of its own. Modules stop before the broker does, so
//! that what they finish still reaches those who wait for it.

use std::net::IpAddr;

use anyhow::{Context as _, bail};
use plantd_daemon::config::{Loaded, OneOrMore, Origin, Settings as _, Sources, load, together};
use plantd_daemon::health::HealthServer;
use plantd_daemon::shutdown::Shutdown;
use plantd_daemon::{Daemon, logs};
use plantd_module_echo::Endpoint;
use tracing::Instrument as _;

use crate::config::Config;
use crate::welcome::Welcome;

/// A broker that is bound and routes.
struct Broker {
    running: plantd_broker::Running,
    stop: Shutdown,
    health: Option<HealthServer>,
    /// What others are told to dial.
    client_endpoint: String,
}

/// Runs all parts until the process is asked to stop, or one of them fails.
pub(crate) async fn run(config: Config, process: Daemon) -> anyhow::Result<()> {
    let sources = Sources::without_arguments();
    let (broker, echo) = together(
        load::<plantd_broker::Config>(&sources),
        load::<plantd_module_echo::Config>(&sources),
    )?;
    let broker = start_broker(broker.config, &process)
        .instrument(logs::part(plantd_broker::Config::NAME))
        .await
        .context("broker")?;
    let echo = near(echo, &broker);
    let service = echo.service.clone();
    let part = logs::part(plantd_module_echo::Config::NAME);
    let echo_daemon = Daemon::new(process.shutdown.clone());
    let echo_health = echo_daemon
        .serve_health(&echo.shared)
        .instrument(part.clone())
        .await
        .context("echo module: PLANTD_MODULE_ECHO_HEALTH_PORT")?;
    process.health.started();
    Welcome {
        broker: &broker.client_endpoint,
        broker_health: broker.health.as_ref().map(HealthServer::address),
        service: &service,
        module_health: echo_health.as_ref().map(HealthServer::address),
    }
    .show(config.shared.log_format);

    let mut echo = Box::pin(plantd_module_echo::run(echo, echo_daemon).instrument(part));
    let mut broker_ended = Box::pin(broker.running.ended());
    tokio::select! {
        ended = &mut broker_ended => return ended.context("broker"),
        ended = &mut echo => ended.context("echo module")?,
    }
    if !process.shutdown.is_requested() {
        bail!("the echo module ended by itself");
    }
    broker.stop.request();
    broker_ended.await.context("broker")
}

async fn start_broker(config: plantd_broker::Config, process: &Daemon) -> anyhow::Result<Broker> {
    let stop = Shutdown::new();
    // Unready from the first moment of the drain, although it stops last.
    let daemon = Daemon {
        shutdown: stop.clone(),
        ..Daemon::new(process.shutdown.clone())
    };
    let health = daemon
        .serve_health(&config.shared)
        .await
        .context("PLANTD_BROKER_HEALTH_PORT")?;
    let client_endpoint = config.client_endpoint.clone();
    let running = plantd_broker::start(config, &daemon).await?;
    let told = client_endpoint.and_then(|told| told.iter().next().cloned());
    let client_endpoint = told.unwrap_or_else(|| local(&running)).to_string();
    Ok(Broker {
        running,
        stop,
        health,
        client_endpoint,
    })
}

/// The configuration of a module, at this broker unless it names one.
fn near(module: Loaded<plantd_module_echo::Config>, broker: &Broker) -> plantd_module_echo::Config {
    let is_named = module.origin("broker_endpoint") != Origin::Default;
    let mut config = module.config;
    if !is_named {
        config.broker_endpoint = OneOrMore::one(local(&broker.running));
    }
    config
}

/// The first endpoint of a broker, as this machine dials it.
fn local(broker: &plantd_broker::Running) -> Endpoint {
    let bound = broker
        .endpoints()
        .first()
        .expect("a broker has an endpoint");
    dialable(bound)
}

/// What is bound on all addresses is dialled on that of loopback.
fn dialable(bound: &Endpoint) -> Endpoint {
    let mut endpoint = bound.clone();
    if let Endpoint::Tcp { host, .. } = &mut endpoint {
        match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) if address.is_unspecified() => *host = "127.0.0.1".to_owned(),
            Ok(IpAddr::V6(address)) if address.is_unspecified() => *host = "::1".to_owned(),
            Ok(_) => {}
            Err(_) if host == "*" => *host = "127.0.0.1".to_owned(),
            Err(_) => {}
        }
    }
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_dialled_on_loopback() {
        for (bound, dialled) in [
            ("tcp://*:9797", "tcp://127.0.0.1:9797"),
            ("tcp://0.0.0.0:1", "tcp://127.0.0.1:1"),
            ("tcp://[::]:1", "tcp://[::1]:1"),
            ("tcp://10.0.0.1:1", "tcp://10.0.0.1:1"),
            ("tcp://broker.example:1", "tcp://broker.example:1"),
            ("ipc:///run/plantd/broker", "ipc:///run/plantd/broker"),
        ] {
            let bound: Endpoint = bound.parse().unwrap();
            assert_eq!(dialable(&bound).to_string(), dialled);
        }
    }
}

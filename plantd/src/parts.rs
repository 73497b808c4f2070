//! The parts of the process: how they start, find each other, and stop in the right order.
//!
//! Each has a configuration, health and metrics of its own. Modules stop before the broker does, so
//! that what they finish still reaches those who wait for it.

use std::net::IpAddr;

use anyhow::{Context as _, bail};
use plantd_daemon::config::{Loaded, OneOrMore, Origin, Settings, Shared, Sources, load, together};
use plantd_daemon::health::HealthServer;
use plantd_daemon::shutdown::Shutdown;
use plantd_daemon::{Daemon, logs};
use plantd_module_echo::Endpoint;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::config::Config;
use crate::welcome::{Served, Welcome};

/// The bus that metrics are published on.
const METRIC_BUS: &str = "metric";
/// The bus that changes of state are published on.
const STATE_BUS: &str = "state";

/// A broker that is bound and routes.
struct Broker {
    running: plantd_broker::Running,
    stop: Shutdown,
    health: Option<HealthServer>,
    /// What others are told to dial.
    client_endpoint: String,
}

/// A module whose health is served, and that does not run yet.
struct Module {
    name: &'static str,
    daemon: Daemon,
    health: Option<HealthServer>,
    service: String,
}

/// Runs all parts until the process is asked to stop, or one of them fails.
pub(crate) async fn run(config: Config, process: Daemon) -> anyhow::Result<()> {
    let sources = Sources::without_arguments();
    let (broker, (state, (echo, metric))) = together(
        load::<plantd_broker::Config>(&sources),
        together(
            load::<plantd_state::Config>(&sources),
            together(
                load::<plantd_module_echo::Config>(&sources),
                load::<plantd_module_metric::Config>(&sources),
            ),
        ),
    )?;
    let broker = start_broker(broker.config, &process)
        .instrument(logs::part(plantd_broker::Config::NAME))
        .await
        .context("broker")?;
    let state = state_near(state, &broker);
    let echo = echo_near(echo, &broker);
    let metric = metric_near(metric, &broker);
    let modules = [
        Module::prepare::<plantd_module_echo::Config>(&echo.shared, &echo.service, &process)
            .await?,
        Module::prepare::<plantd_module_metric::Config>(&metric.shared, &metric.service, &process)
            .await?,
        Module::prepare::<plantd_state::Config>(&state.shared, &state.served_service(), &process)
            .await?,
    ];
    process.health.started();
    welcome(&broker, &modules).show(config.shared.log_format);

    let [echo_module, metric_module, state_module] = &modules;
    let mut running = JoinSet::new();
    echo_module.spawn(plantd_module_echo::run, echo, &mut running);
    metric_module.spawn(plantd_module_metric::run, metric, &mut running);
    state_module.spawn(plantd_state::run, state, &mut running);
    let mut broker_ended = Box::pin(broker.running.ended());
    loop {
        let ended = tokio::select! {
            ended = &mut broker_ended => return ended.context("broker"),
            ended = running.join_next() => ended,
        };
        let Some(ended) = ended else { break };
        let (name, ended) = ended.context("a module panicked")?;
        ended.context(name)?;
        if !process.shutdown.is_requested() {
            bail!("{name} ended by itself");
        }
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

impl Module {
    /// Serves the health of a module.
    async fn prepare<T: Settings>(
        shared: &Shared,
        service: &str,
        process: &Daemon,
    ) -> anyhow::Result<Self> {
        let daemon = Daemon::new(process.shutdown.clone());
        let variable = T::NAME.to_uppercase().replace('-', "_");
        let health = daemon
            .serve_health(shared)
            .instrument(logs::part(T::NAME))
            .await
            .with_context(|| format!("{}: PLANTD_{variable}_HEALTH_PORT", T::NAME))?;
        Ok(Self {
            name: T::NAME,
            daemon,
            health,
            service: service.to_owned(),
        })
    }

    fn spawn<T, F>(
        &self,
        run: impl FnOnce(T, Daemon) -> F,
        config: T,
        running: &mut JoinSet<(&'static str, anyhow::Result<()>)>,
    ) where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let name = self.name;
        let run = run(config, self.daemon.clone());
        let part = logs::part(name);
        running.spawn(async move { (name, run.await) }.instrument(part));
    }
}

fn welcome<'a>(broker: &'a Broker, modules: &'a [Module]) -> Welcome<'a> {
    let address = |health: &Option<HealthServer>| health.as_ref().map(HealthServer::address);
    Welcome {
        broker: &broker.client_endpoint,
        broker_health: address(&broker.health),
        buses: broker.running.buses(),
        modules: modules
            .iter()
            .map(|module| Served {
                name: module.name,
                service: &module.service,
                health: address(&module.health),
            })
            .collect(),
    }
}

/// The configuration of the echo module, at this broker unless it names one.
fn echo_near(
    module: Loaded<plantd_module_echo::Config>,
    broker: &Broker,
) -> plantd_module_echo::Config {
    let is_named = module.origin("broker_endpoint") != Origin::Default;
    let mut config = module.config;
    if !is_named {
        config.broker_endpoint = OneOrMore::one(local(&broker.running));
    }
    config
}

/// The configuration of the state service, at this broker and its state bus unless it names others.
fn state_near(part: Loaded<plantd_state::Config>, broker: &Broker) -> plantd_state::Config {
    let is_named = |key| part.origin(key) != Origin::Default;
    let (names_broker, names_bus) = (is_named("broker_endpoint"), is_named("bus_endpoint"));
    let mut config = part.config;
    if !names_broker {
        config.broker_endpoint = Some(OneOrMore::one(local(&broker.running)));
    }
    if !names_bus {
        let mut buses = broker.running.buses().iter();
        let frontend = buses.find(|bus| bus.name == STATE_BUS);
        let frontend = frontend.and_then(|bus| bus.frontend.first());
        config.bus_endpoint = frontend.map(|frontend| OneOrMore::one(dialable(frontend)));
    }
    config
}

/// The configuration of the metric module, at this broker and its metric bus unless it names others.
fn metric_near(
    module: Loaded<plantd_module_metric::Config>,
    broker: &Broker,
) -> plantd_module_metric::Config {
    let is_named = |key| module.origin(key) != Origin::Default;
    let (names_broker, names_bus) = (is_named("broker_endpoint"), is_named("bus_endpoint"));
    let mut config = module.config;
    if !names_broker {
        config.broker_endpoint = OneOrMore::one(local(&broker.running));
    }
    let mut buses = broker.running.buses().iter();
    let frontend = buses.find(|bus| bus.name == METRIC_BUS);
    if let (false, Some(frontend)) = (names_bus, frontend.and_then(|bus| bus.frontend.first())) {
        config.bus_endpoint = OneOrMore::one(dialable(frontend));
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

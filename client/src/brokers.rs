//! Which brokers there are: endpoints, and the addresses behind their names.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use plantd_zmtp::Endpoint;
use tokio::{
    net::lookup_host,
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::ConfigError;

/// How often a name is looked up again.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(30);
/// The shortest time between two look-ups of a name, and the one after a failure.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// The endpoints that were configured.
#[derive(Debug, Clone)]
pub(crate) struct BrokerList(Vec<Endpoint>);

impl BrokerList {
    /// No broker, for whoever can do without.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// At least one.
    pub(crate) fn parse(endpoints: &[String]) -> Result<Self, ConfigError> {
        let mut parsed = Vec::new();
        for text in endpoints {
            let endpoint: Endpoint = text.parse().map_err(|source| ConfigError::Endpoint {
                endpoint: text.clone(),
                source,
            })?;
            endpoint.check_dialable()?;
            if !parsed.contains(&endpoint) {
                parsed.push(endpoint);
            }
        }
        if parsed.is_empty() {
            return Err(ConfigError::NoBroker);
        }
        Ok(Self(parsed))
    }
}

/// What a look-up of one configured endpoint found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The endpoints to dial.
    Endpoints(Vec<Endpoint>),
    /// The name has no address for the time being.
    Nothing { reason: String },
}

/// Keeps track of the addresses behind the configured endpoints.
#[derive(Debug)]
pub(crate) struct Directory {
    found: BTreeMap<Endpoint, Found>,
    changes: mpsc::Receiver<(Endpoint, Found)>,
    wakers: Vec<Arc<Notify>>,
    /// One for each name, for as long as the directory lives.
    lookups: JoinSet<()>,
}

impl Directory {
    /// Begins to look names up.
    pub(crate) fn new(list: BrokerList) -> Self {
        let (sender, changes) = mpsc::channel(1);
        let mut directory = Self {
            found: BTreeMap::new(),
            changes,
            wakers: Vec::new(),
            lookups: JoinSet::new(),
        };
        for endpoint in list.0 {
            match name_of(&endpoint) {
                None => {
                    let itself = Found::Endpoints(vec![endpoint.clone()]);
                    directory.found.insert(endpoint, itself);
                }
                Some((name, port)) => {
                    let wake = Arc::new(Notify::new());
                    directory.wakers.push(wake.clone());
                    let lookups = keep_looking_up(name, port, endpoint, sender.clone(), wake);
                    directory.lookups.spawn(lookups);
                }
            }
        }
        directory
    }

    /// The endpoints to dial.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for found in self.found.values() {
            if let Found::Endpoints(found) = found {
                endpoints.extend(found.iter().cloned());
            }
        }
        endpoints.sort_unstable();
        endpoints.dedup();
        endpoints
    }

    /// The names that have no address, and why.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&Endpoint, &str)> {
        self.found
            .iter()
            .filter_map(|(endpoint, found)| match found {
                Found::Endpoints(_) => None,
                Found::Nothing { reason } => Some((endpoint, reason.as_str())),
            })
    }

    /// Has names looked up again soon, because a broker was lost.
    pub(crate) fn look_again(&self) {
        for waker in &self.wakers {
            waker.notify_one();
        }
    }

    /// Waits until something has changed. Dropping the future loses nothing.
    pub(crate) async fn changed(&mut self) {
        loop {
            let Some((endpoint, found)) = self.changes.recv().await else {
                return std::future::pending().await;
            };
            let has_endpoints = matches!(self.found.get(&endpoint), Some(Found::Endpoints(_)));
            let is_news = match &found {
                // Addresses are kept while the name server is away.
                Found::Nothing { .. } if has_endpoints => false,
                Found::Nothing { .. } | Found::Endpoints(_) => {
                    self.found.get(&endpoint) != Some(&found)
                }
            };
            if is_news {
                self.found.insert(endpoint, found);
                return;
            }
        }
    }
}

/// The name and port of an endpoint that is to be looked up.
fn name_of(endpoint: &Endpoint) -> Option<(String, u16)> {
    match endpoint {
        Endpoint::Tcp { host, port } if host.parse::<IpAddr>().is_err() => {
            Some((host.clone(), *port))
        }
        Endpoint::Tcp { .. } | Endpoint::Ipc { .. } => None,
    }
}

async fn keep_looking_up(
    name: String,
    port: u16,
    endpoint: Endpoint,
    changes: mpsc::Sender<(Endpoint, Found)>,
    wake: Arc<Notify>,
) {
    loop {
        let found = look_up(&name, port, &endpoint).await;
        let has_failed = matches!(found, Found::Nothing { .. });
        if changes.send((endpoint.clone(), found)).await.is_err() {
            return;
        }
        sleep(SHORTEST_INTERVAL).await;
        if !has_failed {
            // Both ends of the wait mean the same.
            let _ = timeout(LOOKUP_INTERVAL, wake.notified()).await;
        }
    }
}

async fn look_up(name: &str, port: u16, endpoint: &Endpoint) -> Found {
    let addresses = match lookup_host((name, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Found::Nothing {
                reason: error.to_string(),
            };
        }
    };
    match equal_brokers(endpoint, addresses) {
        endpoints if endpoints.is_empty() => Found::Nothing {
            reason: io::Error::from(io::ErrorKind::NotFound).to_string(),
        },
        endpoints => Found::Endpoints(endpoints),
    }
}

/// Tells brokers from addresses: those of the larger family, so that a host with two stacks is not
/// two brokers; the name itself where it has one address of each at most.
fn equal_brokers(endpoint: &Endpoint, addresses: Vec<SocketAddr>) -> Vec<Endpoint> {
    let (mut v4, mut v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    for family in [&mut v4, &mut v6] {
        family.sort_unstable();
        family.dedup();
    }
    let larger = if v4.len() >= v6.len() { v4 } else { v6 };
    match larger.len() {
        0 => Vec::new(),
        1 => vec![endpoint.clone()],
        _ => larger
            .into_iter()
            .map(|address| Endpoint::Tcp {
                host: address.ip().to_string(),
                port: address.port(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(addresses: &[&str]) -> Vec<String> {
        let endpoint = "tcp://brokers.example:9797".parse().unwrap();
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        let brokers = equal_brokers(&endpoint, addresses.collect());
        brokers.iter().map(Endpoint::to_string).collect()
    }

    #[test]
    fn a_name_with_several_addresses_is_several_brokers() {
        assert_eq!(
            brokers(&["10.0.0.2:9797", "10.0.0.1:9797", "10.0.0.2:9797"]),
            ["tcp://10.0.0.1:9797", "tcp://10.0.0.2:9797"]
        );
        assert_eq!(
            brokers(&["10.0.0.1:9797", "[fd00::1]:9797", "[fd00::2]:9797"]),
            ["tcp://[fd00::1]:9797", "tcp://[fd00::2]:9797"]
        );
    }

    #[test]
    fn a_host_with_two_stacks_is_one_broker() {
        let name = ["tcp://brokers.example:9797"];
        assert_eq!(brokers(&["127.0.0.1:9797", "[::1]:9797"]), name);
        assert_eq!(brokers(&["[::1]:9797"]), name);
        assert!(brokers(&[]).is_empty());
    }

    #[test]
    fn endpoints_to_listen_at_cannot_be_dialled() {
        for endpoint in ["tcp://*:9797", "tcp://127.0.0.1:0"] {
            let refused = BrokerList::parse(&[endpoint.to_owned()]);
            let not_dialable = endpoint.parse::<Endpoint>().unwrap().check_dialable();
            assert_eq!(refused.unwrap_err(), not_dialable.unwrap_err().into());
        }
        assert_eq!(BrokerList::parse(&[]).unwrap_err(), ConfigError::NoBroker);
    }

    #[tokio::test]
    async fn addresses_are_known_at_once_and_names_soon() {
        let list = ["tcp://127.0.0.1:1", "tcp://localhost:2", "ipc:///tmp/x"];
        let list = BrokerList::parse(&list.map(str::to_owned)).unwrap();
        let mut directory = Directory::new(list);
        assert_eq!(directory.endpoints().len(), 2);
        directory.changed().await;
        let name = "tcp://localhost:2".parse().unwrap();
        assert!(directory.endpoints().contains(&name));
    }
}

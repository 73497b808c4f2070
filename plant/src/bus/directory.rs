//! Which buses there are, and where.

use std::collections::BTreeMap;

use plantd_client::{Client, Endpoint};
use serde::Deserialize;

use crate::cli::{BusChoice, Options};
use crate::connect::{ask, connect};
use crate::failure::Failure;
use crate::listing::read;

/// What `mmi.buses` says; fields that a broker leaves out are their defaults.
#[derive(Debug, Deserialize)]
pub(super) struct Buses {
    pub(super) total: usize,
    pub(super) buses: Vec<Bus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Bus {
    pub(super) name: String,
    pub(super) frontend: Vec<String>,
    pub(super) backend: Vec<String>,
    pub(super) publishers: u64,
    pub(super) subscribers: u64,
    pub(super) messages_per_second: u64,
    pub(super) bytes_per_second: u64,
    pub(super) messages: u64,
    pub(super) dropped: u64,
}

/// A side of a bus that can be connected to, at each broker that has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its name, where it is known.
    pub(super) bus: Option<String>,
    pub(super) endpoints: Vec<String>,
}

/// Where publishers, or subscribers, of the chosen buses connect: of all buses without a choice.
pub(super) async fn places(
    options: &Options,
    choice: &BusChoice,
    side: fn(Bus) -> Vec<String>,
) -> Result<Vec<Place>, Failure> {
    if !choice.endpoint.is_empty() {
        return Ok(vec![Place {
            bus: None,
            endpoints: choice.endpoint.iter().map(ToString::to_string).collect(),
        }]);
    }
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (broker, buses) in ask_all(options).await? {
        for bus in buses.buses {
            let name = bus.name.clone();
            let endpoints = side(bus);
            let endpoints = endpoints
                .into_iter()
                .map(|endpoint| dialable(endpoint, &broker));
            found.entry(name).or_default().extend(endpoints);
        }
    }
    let names = || found.keys().cloned().collect::<Vec<_>>().join(", ");
    match &choice.bus {
        None if found.is_empty() => Err(Failure::Usage(
            "the broker has no buses; name one by --endpoint".to_owned(),
        )),
        None => Ok(found
            .into_iter()
            .map(|(name, endpoints)| Place {
                bus: Some(name),
                endpoints,
            })
            .collect()),
        Some(name) => match found.get(name) {
            Some(endpoints) => Ok(vec![Place {
                bus: Some(name.clone()),
                endpoints: endpoints.clone(),
            }]),
            None => Err(Failure::Usage(format!(
                "the broker has no bus {name:?}; it has: {}",
                names()
            ))),
        },
    }
}

/// Where publishers of one bus connect, and where its subscribers do.
pub(crate) async fn sides(
    options: &Options,
    bus: &str,
) -> Result<(Vec<String>, Vec<String>), Failure> {
    let choice = BusChoice {
        bus: Some(bus.to_owned()),
        endpoint: Vec::new(),
    };
    let frontends = places(options, &choice, |bus| bus.frontend).await?;
    let backends = places(options, &choice, |bus| bus.backend).await?;
    let endpoints = |places: Vec<Place>| places.into_iter().flat_map(|place| place.endpoints);
    Ok((
        endpoints(frontends).collect(),
        endpoints(backends).collect(),
    ))
}

/// Asks each broker: equal brokers carry parts of one bus. One that does not answer is left out,
/// unless none does.
async fn ask_all(options: &Options) -> Result<Vec<(Endpoint, Buses)>, Failure> {
    let mut answers = Vec::new();
    let mut failure = None;
    for broker in &options.broker {
        let alone = options.with_broker(broker.clone());
        match ask_one(&alone).await {
            Ok(buses) => answers.push((broker.clone(), buses)),
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        Some(failure) if answers.is_empty() => Err(failure),
        Some(_) | None => Ok(answers),
    }
}

async fn ask_one(options: &Options) -> Result<Buses, Failure> {
    let client: Client = connect(options).await?;
    read(ask(&client, options, "buses", None).await?)
}

/// An endpoint that a broker listens at as one to connect to: all interfaces are those of the host
/// at which the broker was asked.
fn dialable(endpoint: String, broker: &Endpoint) -> String {
    let Ok(Endpoint::Tcp { host, port }) = endpoint.parse() else {
        return endpoint;
    };
    let Endpoint::Tcp { host: broker, .. } = broker else {
        return match host.as_str() {
            "*" => format!("tcp://127.0.0.1:{port}"),
            _ => endpoint,
        };
    };
    match host.as_str() {
        "*" | "0.0.0.0" | "::" => Endpoint::Tcp {
            host: broker.clone(),
            port,
        }
        .to_string(),
        _ => endpoint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_interfaces_are_those_of_the_broker_that_was_asked() {
        let broker = "tcp://plant.example:9797".parse().unwrap();
        let dialable = |endpoint: &str| dialable(endpoint.to_owned(), &broker);
        assert_eq!(dialable("tcp://*:11001"), "tcp://plant.example:11001");
        assert_eq!(dialable("tcp://0.0.0.0:11001"), "tcp://plant.example:11001");
        assert_eq!(dialable("tcp://[::]:11001"), "tcp://plant.example:11001");
        assert_eq!(dialable("tcp://127.0.0.1:11001"), "tcp://127.0.0.1:11001");
        assert_eq!(dialable("ipc:///run/metric"), "ipc:///run/metric");
    }
}
